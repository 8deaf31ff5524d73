from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from parsl import File
from parsl.app.errors import BadStdStreamFile
from typeguard import TypeCheckError

from wq_package.executor.staging import Cargo, StagingOptions, stage_files
from wq_package.task import InputFile, OutputFile


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def stage(*args: Any, options: StagingOptions | None = None, **kwargs: Any) -> Cargo:
    return stage_files(args, kwargs, options or StagingOptions())


def test_stage_files__no_files__changes_nothing() -> None:
    kwargs = {"x": 1, "inputs": [], "stdout": None}
    cargo = stage_files((1, "two"), kwargs, StagingOptions())
    assert cargo == Cargo((1, "two"), kwargs)
    assert cargo.kwargs is kwargs


def test_stage_files__relative_files__keep_their_names(tmp_path: Path) -> None:
    one, two, three, four = File("a/one"), File("two"), File("three"), File("b/four")
    cargo = stage(one, inputs=[two], other=three, outputs=[four])
    assert cargo.args == (one,)
    assert cargo.kwargs == {"inputs": [two], "other": three, "outputs": [four]}
    assert {(file.sandbox_name, file.path) for file in cargo.inputs} == {
        ("a/one", str(tmp_path / "a/one")),
        ("two", str(tmp_path / "two")),
        ("three", str(tmp_path / "three")),
    }
    assert cargo.outputs == (OutputFile("b/four", str(tmp_path / "b/four")),)


def test_stage_files__same_input_twice__is_sent_once() -> None:
    assert len(stage(File("a"), inputs=[File("a")]).inputs) == 1


def test_stage_files__absolute_and_remote_files__are_left_alone() -> None:
    files = [File("/data/x"), File("http://host/y")]
    cargo = stage(inputs=files)
    assert cargo.kwargs["inputs"] == files
    assert cargo.inputs == ()


def test_stage_files__path_that_leads_out__gets_a_name_inside(tmp_path: Path) -> None:
    file = File("../up")
    cargo = stage(file)
    assert cargo.inputs == (InputFile(".wq-package-outside/0/up", path=str(tmp_path.parent / "up")),)
    assert cargo.args[0].filepath == ".wq-package-outside/0/up"
    assert file.local_path is None


def test_stage_files__shared_file_system__makes_paths_absolute(tmp_path: Path) -> None:
    options = StagingOptions(shared_fs=True, is_bash=True)
    cargo = stage(File("a"), options=options, outputs=[File("b")], stdout="out", stderr=("err", "w"))
    assert (cargo.inputs, cargo.outputs) == ((), ())
    assert cargo.args[0].filepath == str(tmp_path / "a")
    assert cargo.kwargs["outputs"][0].filepath == str(tmp_path / "b")
    assert cargo.kwargs["stdout"] == (str(tmp_path / "out"), "a+")
    assert cargo.kwargs["stderr"] == (str(tmp_path / "err"), "w")


def test_stage_files__relative_stream__is_an_output(tmp_path: Path) -> None:
    cargo = stage(stdout="logs/out")
    assert cargo.kwargs == {"stdout": "logs/out"}
    assert cargo.outputs == (OutputFile("logs/out", str(tmp_path / "logs/out")),)
    assert cargo.inputs == ()


def test_stage_files__stream_to_append_to__travels_both_ways(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    cargo = stage(stdout=("out", "a"))
    assert cargo.inputs == (InputFile("out", path=str(tmp_path / "out"), cache=False),)
    assert stage(stdout=("out", "w")).inputs == ()


def test_stage_files__absolute_stream__is_staged_for_bash_apps_only(tmp_path: Path) -> None:
    path = str(tmp_path / "task_0.stdout")
    assert stage(stdout=path).outputs == ()
    cargo = stage(stdout=path, options=StagingOptions(is_bash=True))
    assert cargo.outputs == (OutputFile(".wq-package-outside/0/task_0.stdout", path),)
    assert cargo.kwargs["stdout"] == (".wq-package-outside/0/task_0.stdout", "a+")


def test_stage_files__anything_as_stream_of_a_python_app__is_left_alone() -> None:
    for value in (("name", "w", "extra"), 7, ["x"]):
        assert stage(stdout=value).kwargs["stdout"] == value


@pytest.mark.parametrize("wrong", [("name", "w", "extra"), 7, ["x"], ("x", None)])
def test_stage_files__bad_stream_of_a_bash_app__is_what_parsl_raises(wrong: Any) -> None:
    with pytest.raises(TypeCheckError):
        stage(stdout=wrong, options=StagingOptions(is_bash=True))


def test_stage_files__stream_in_no_folder__is_what_parsl_raises() -> None:
    with pytest.raises(BadStdStreamFile):
        stage(stdout="/dev/null/x", options=StagingOptions(is_bash=True))


def test_stage_files__stream_as_file__is_an_output(tmp_path: Path) -> None:
    assert stage(stdout=File("out")).outputs == (OutputFile("out", str(tmp_path / "out")),)


def test_stage_files__remote_file_with_a_local_path__is_staged_once_it_is_there(tmp_path: Path) -> None:
    file = File("http://host/page")
    file.local_path = "page"
    assert stage(file).inputs == ()
    (tmp_path / "page").touch()
    assert stage(file).inputs == (InputFile("page", path=str(tmp_path / "page")),)
    assert stage(outputs=[file]).outputs == (OutputFile("page", str(tmp_path / "page")),)

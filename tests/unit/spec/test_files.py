from __future__ import annotations

import os
from pathlib import Path

import pytest

from wq_package.errors import InvalidSpecError, SpecError
from wq_package.spec.environment import EnvironmentSpec, LocalSource, WheelRequirement
from wq_package.spec.files import digest_local_source, load_spec, render_environment_yml, save_spec
from wq_package.spec.local_source import iter_local_files


def make_package(folder: Path) -> Path:
    package = folder / "mypkg"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("x = 1\n")
    (package / "data" / "table.csv").write_text("1,2\n")
    return package


def test_save_and_load__local_source__is_relative_in_the_file_and_absolute_in_the_value(
    tmp_path: Path,
) -> None:
    package = make_package(tmp_path)
    spec = EnvironmentSpec(
        python="3.11.7",
        channels=("conda-forge",),
        wheels=(WheelRequirement("numpy==2.1.0"),),
        local=(LocalSource("mypkg", str(package), digest_local_source(package)),),
    )
    target = tmp_path / "specs" / "env.yml"
    target.parent.mkdir()

    save_spec(spec, target)

    assert "path: ../mypkg" in target.read_text()
    assert load_spec(target) == spec


def test_load__digest_left_out__is_computed(tmp_path: Path) -> None:
    package = make_package(tmp_path)
    file = tmp_path / "env.yml"
    file.write_text("wq-package: {local: [{import: mypkg, path: ./mypkg}]}\n")

    assert load_spec(file).local[0].digest == digest_local_source(package)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("env.yaml", "dependencies: [{pip: ['numpy==2.1.0']}]"),
        ("requirements.txt", "numpy==2.1.0\n"),
        ("poncho.json", '{"conda": {"packages": []}, "pip": ["numpy==2.1.0"]}'),
        ("pylock.toml", 'lock-version = "1.0"\n[[packages]]\nname = "numpy"\nversion = "2.1.0"\n'),
        ("app.py", '# /// script\n# dependencies = ["numpy==2.1.0"]\n# ///\n'),
        ("noname", '{"pip": ["numpy==2.1.0"]}'),
        ("nosuffix", "dependencies: [{pip: ['numpy==2.1.0']}]"),
    ],
)
def test_load__every_format__is_told_by_name_or_content(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)

    assert load_spec(tmp_path / name).wheels == (WheelRequirement("numpy==2.1.0"),)


def test_load__requirements_that_include_others__are_joined(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-r sub/more.txt\nsix\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "more.txt").write_text("numpy\n")

    wheels = load_spec(tmp_path / "requirements.txt").wheels
    assert wheels == (WheelRequirement("six"), WheelRequirement("numpy"))


def test_load__requirements_that_include_themselves__are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r b.txt\n")
    (tmp_path / "b.txt").write_text("-r a.txt\n")

    with pytest.raises(InvalidSpecError):
        load_spec(tmp_path / "a.txt")


def test_load__missing_binary_or_folder__is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "nosuch.yml", tmp_path / "binary.yml", tmp_path):
        with pytest.raises(InvalidSpecError) as raised:
            load_spec(path)
        assert str(path) in str(raised.value)


def test_load__script_without_block__says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import numpy\n")

    with pytest.raises(InvalidSpecError) as raised:
        load_spec(tmp_path / "app.py")
    assert "wq-package analyze" in str(raised.value.hint)


def test_save__folder_is_missing__leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be written"):
        save_spec(EnvironmentSpec(), tmp_path / "nosuch" / "env.yml")
    assert list(tmp_path.iterdir()) == []


def test_save__target_is_a_folder__leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "env.yml").mkdir()

    with pytest.raises(SpecError, match="cannot be written"):
        save_spec(EnvironmentSpec(), tmp_path / "env.yml")
    assert [path.name for path in tmp_path.iterdir()] == ["env.yml"]


def test_render__base_given__paths_are_relative_to_it(tmp_path: Path) -> None:
    spec = EnvironmentSpec(local=(LocalSource("helpers", str(tmp_path / "a" / "helpers.py"), "0"),))

    assert "path: ../a/helpers.py" in render_environment_yml(spec, tmp_path / "b")


def test_digest__droppings_and_times__do_not_count(tmp_path: Path) -> None:
    package = make_package(tmp_path)
    before = digest_local_source(package)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"x")
    (package / ".hidden").write_text("x")
    (package / "mypkg.egg-info").mkdir()
    (package / "mypkg.egg-info" / "PKG-INFO").write_text("x")
    os.utime(package / "__init__.py", (1, 1))

    assert digest_local_source(package) == before


@pytest.mark.parametrize("name", ["__init__.py", "data/table.csv", "data/new.bin"])
def test_digest__any_content_or_name__counts(tmp_path: Path, name: str) -> None:
    package = make_package(tmp_path)
    before = digest_local_source(package)
    (package / name).write_text("changed")

    assert digest_local_source(package) != before


def test_digest__moved__is_the_same(tmp_path: Path) -> None:
    first = make_package(tmp_path / "one")
    second = make_package(tmp_path / "two")

    assert digest_local_source(first) == digest_local_source(second)


def test_digest__linked_folder_loop__ends(tmp_path: Path) -> None:
    package = make_package(tmp_path)
    (package / "loop").symlink_to(package)

    assert [name for name, _ in iter_local_files(package)] == ["__init__.py", "data/table.csv"]


def test_digest__nothing_there__is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "nosuch.py"):
        with pytest.raises(InvalidSpecError):
            digest_local_source(tmp_path / name)

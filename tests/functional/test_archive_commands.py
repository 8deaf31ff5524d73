"""`wq-package run`, `unpack`, `inspect` and `verify`, called as a user calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from small_archives import make_archive, make_layer
from wq_package.archive.layer import Compression, LayerHeader, LayerKind

_PYTHON = f'#!/bin/sh\nexec "{os.path.realpath(sys.executable)}" "$@"\n'.encode()
_SHOW = b'#!/bin/sh\necho "$CONDA_PREFIX|${PYTHONPATH-}|$*"\nexit 7\n'


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    header = LayerHeader(LayerKind.INTERPRETER, "python", "3.11.7", machine=os.uname().machine, glibc=(2, 17))
    layers = [
        make_layer({"bin/python3": _PYTHON}, header=header, compression=Compression.GZIP),
        make_layer({"bin/show": _SHOW, "lib/x": b"x" * 1000}, "thing", compression=Compression.GZIP),
    ]
    path, _ = make_archive(tmp_path, layers, name="env.tar.gz", lock="thing==1.0\n")
    return path


def _call(*words: object, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wq_package_cli", *(str(word) for word in words)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)


def test_run__command_of_the_environment__its_exit_code_and_arguments_pass(
    tmp_path: Path, archive: Path
) -> None:
    env = {"WQ_PACKAGE_STORE": str(tmp_path / "st ore"), "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(2):
        done = _call("run", archive, "--", "show", "a b", "--", "-x", env=env)
        assert done.returncode == 7
        assert done.stdout.startswith(f"{tmp_path}/st ore/envs/")
        assert done.stdout.endswith("||a b -- -x\n")
        assert done.stderr == ""


def test_run__environment_is_leased_while_the_command_runs(tmp_path: Path, archive: Path) -> None:
    evict = f"from pathlib import Path; from wq_package.worker.store import Store; print(Store(Path({str(tmp_path / 's')!r})).evict(0).freed)"
    done = _call("run", "--store", tmp_path / "s", archive, "--", sys.executable, "-c", evict)
    assert (done.stdout, done.returncode) == ("0\n", 0)
    subprocess.run([sys.executable, "-c", evict], check=True, capture_output=True)
    assert not list((tmp_path / "s/envs").iterdir())


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], 2, "no command given"),
        (["--"], 2, "no command given"),
        (["--", "no-such-command"], 127, "`no-such-command` cannot be run (No such file or directory)"),
        (["--", "/etc/passwd"], 126, "`/etc/passwd` cannot be run (Permission denied)"),
    ],
)
def test_run__no_command_that_can_be_run__one_sentence_and_its_code(
    tmp_path: Path, archive: Path, words: list[str], code: int, sentence: str
) -> None:
    done = _call("run", "--store", tmp_path / "s", archive, *words)
    assert done.returncode == code
    assert done.stderr.splitlines()[0] == f"error: {sentence}"


def test_run__for_another_machine__is_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    header = LayerHeader(LayerKind.INTERPRETER, "python", "3.11.7", machine="pdp11")
    path, _ = make_archive(tmp_path, [make_layer({"bin/python3": b""}, header=header)])
    done = _call("run", "--store", tmp_path / "s", path, "--", "python3")
    assert done.returncode == 5
    assert "is for pdp11, and this machine is" in done.stderr
    assert not (tmp_path / "s").exists()


def test_unpack__into_a_folder__works_there(tmp_path: Path, archive: Path) -> None:
    done = _call("unpack", archive, tmp_path / "my env", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["prefix"] == str(tmp_path / "my env")
    assert (tmp_path / "my env/bin/show").stat().st_mode & 0o111
    again = _call("unpack", archive, tmp_path / "my env")
    assert again.returncode == 5
    assert again.stderr.splitlines()[1].startswith("hint: ")


def test_inspect__table_and_json__name_every_layer(archive: Path) -> None:
    table = _call("inspect", archive).stdout
    assert "Python 3.11.7 for" in table
    assert "glibc 2.17 or newer" in table
    for word in ("python", "interpreter", "thing", "wheel"):
        assert word in table
    index = json.loads(_call("inspect", archive, "--json").stdout)
    assert [layer["header"]["name"] for layer in index["layers"]] == ["python", "thing"]
    assert "lib/x" in _call("inspect", archive, "--sizes").stdout
    assert _call("inspect", archive, "--lock").stdout == "thing==1.0\n"


def test_verify__whole_archive__starts_its_python(archive: Path) -> None:
    done = _call("verify", archive, "--import", "json", "--import", "email.message")
    assert (done.returncode, done.stdout) == (0, "")
    assert "is whole: 2 layers; its Python starts and imports json, email.message" in done.stderr


def test_verify__module_that_it_lacks__says_why(archive: Path) -> None:
    done = _call("verify", archive, "--import", "no_such_module")
    assert done.returncode == 5
    assert done.stderr.splitlines() == [
        "error: the environment does not work: ModuleNotFoundError: No module named 'no_such_module'",
        "hint: add what is missing to the spec, and build again",
    ]


def test_verify__one_byte_altered__names_the_layer(archive: Path) -> None:
    index = json.loads(_call("inspect", archive, "--json").stdout)
    data = bytearray(archive.read_bytes())
    data[index["layers"][1]["offset"] + 50] ^= 1
    archive.write_bytes(data)
    done = _call("verify", "--no-start", archive)
    assert done.returncode == 5
    assert "layer `thing` 1.0" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["run", "unpack", "inspect", "verify"])
@pytest.mark.parametrize("damage", ["missing", "short", "text", "empty", "folder"])
def test_every_command__no_archive_there__one_sentence_and_code_5(
    tmp_path: Path, archive: Path, command: str, damage: str
) -> None:
    path = tmp_path / "bad.tar.gz"
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes({"short": archive.read_bytes()[:-3], "text": b"hello\n" * 50, "empty": b""}[damage])
    rest = {"run": ["--", "true"], "unpack": [str(tmp_path / "env")]}.get(command, [])
    done = _call(command, path, *rest, env={"WQ_PACKAGE_STORE": str(tmp_path / "s"), "PATH": "/bin"})
    assert done.returncode == 5
    assert "bad.tar.gz" in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "s").exists()
    assert not (tmp_path / "env").exists()

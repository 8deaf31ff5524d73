from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wq_package.build.interpreter import Interpreter, describe_running_interpreter
from wq_package.build.interpreter_tree import iter_interpreter_files

_KEPT = [
    "stdlib/os.py",
    "stdlib/json/__init__.py",
    "stdlib/_sysconfigdata_x.py",
    "stdlib/config-3.11/Makefile",
    "dynload/_ssl.cpython-311.so",
    "include/Python.h",
]
_LEFT_OUT = [
    "stdlib/test/test_os.py",
    "stdlib/unittest/test/test_x.py",
    "stdlib/idlelib/idle.py",
    "stdlib/turtledemo/x.py",
    "stdlib/turtle.py",
    "stdlib/tkinter/__init__.py",
    "stdlib/ensurepip/__init__.py",
    "stdlib/site-packages/numpy/__init__.py",
    "stdlib/dist-packages/apt.py",
    "stdlib/json/__pycache__/__init__.cpython-311.pyc",
    "stdlib/config-3.11/libpython3.11.a",
    "stdlib/config-3.11/python-config.py",
    "stdlib/EXTERNALLY-MANAGED",
    "stdlib/sitecustomize.py",
    "dynload/_tkinter.cpython-311.so",
    "dynload/_testcapi.cpython-311.so",
    "dynload/xxlimited.cpython-311.so",
    "dynload/nis.cpython-311.so",
    "dynload/readme.txt",
]


@pytest.fixture
def interpreter(tmp_path: Path) -> Interpreter:
    for name in (*_KEPT, *_LEFT_OUT):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / "stdlib" / "linked.py").symlink_to(tmp_path / "nowhere")
    return replace(
        describe_running_interpreter(),
        name="python3.11",
        prefix=str(tmp_path),
        stdlib=str(tmp_path / "stdlib"),
        dynload=str(tmp_path / "dynload"),
        include=str(tmp_path / "include"),
    )


def test_iter_interpreter_files__only_what_a_worker_needs(interpreter: Interpreter) -> None:
    root = Path(interpreter.prefix)

    found = {
        str(file.source.relative_to(root))
        for file in iter_interpreter_files(interpreter)
        if root in file.source.parents
    }

    assert found == set(_KEPT)


def test_iter_interpreter_files__places_are_those_of_an_environment(interpreter: Interpreter) -> None:
    paths = [file.path for file in iter_interpreter_files(interpreter)]

    assert paths[0] == "bin/python3.11"
    assert "lib/python3.11/os.py" in paths
    assert "lib/python3.11/lib-dynload/_ssl.cpython-311.so" in paths
    assert "include/include/Python.h" in paths
    assert len(paths) == len(set(paths))

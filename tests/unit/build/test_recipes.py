from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from wq_package.archive.layer import LayerKind
from wq_package.build.interpreter import Interpreter, describe_running_interpreter
from wq_package.build.recipes import (
    make_interpreter_recipe,
    make_launcher_recipe,
    make_local_recipe,
    make_pin_key,
)
from wq_package.errors import BuildError
from wq_package.spec.environment import LocalSource

_PYTHON = describe_running_interpreter()
_SITE = _PYTHON.site_packages


def _make_key(source: LocalSource, *, bytecode: bool = True, python: Interpreter = _PYTHON) -> str:
    return make_local_recipe(source, python, bytecode=bytecode).key


def test_local_recipe__module__goes_where_it_is_imported_from(tmp_path: Path) -> None:
    (tmp_path / "renamed.py").write_text("x = 1\n")

    plan = make_local_recipe(
        LocalSource("pkg.helpers", str(tmp_path / "renamed.py"), ""), _PYTHON, bytecode=True
    ).plan(tmp_path)

    assert [entry.path for entry in plan.entries] == [f"{_SITE}/pkg/helpers.py"]
    assert [path for _, path in plan.sources] == [f"{_SITE}/pkg/helpers.py"]
    assert plan.header.kind is LayerKind.LOCAL
    assert plan.header.imports == ("pkg",)


def test_local_recipe__package__goes_with_its_data(tmp_path: Path) -> None:
    folder = tmp_path / "pkg"
    (folder / "sub").mkdir(parents=True)
    for name in ("__init__.py", "sub/a.py", "sub/table.csv"):
        (folder / name).write_text("")

    plan = make_local_recipe(LocalSource("pkg", str(folder), ""), _PYTHON, bytecode=True).plan(tmp_path)

    assert [entry.path for entry in plan.entries] == [
        f"{_SITE}/pkg/__init__.py", f"{_SITE}/pkg/sub/a.py", f"{_SITE}/pkg/sub/table.csv"
    ]  # fmt: skip
    assert len(plan.sources) == 2


def test_local_recipe__key__follows_content_name_and_python_not_place_or_time(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "m.py", tmp_path / "b" / "m.py"
    for path in (first, second):
        path.parent.mkdir()
        path.write_text("x = 1\n")
    os.utime(second, (1, 1))
    key = _make_key(LocalSource("m", str(first), "stale"))

    assert _make_key(LocalSource("m", str(second), "")) == key
    assert _make_key(LocalSource("n", str(first), "")) != key
    assert _make_key(LocalSource("m", str(first), ""), bytecode=False) != key
    assert _make_key(LocalSource("m", str(first), ""), python=replace(_PYTHON, version="3.11.99")) != key
    first.write_text("x = 2\n")
    assert _make_key(LocalSource("m", str(first), "")) != key


def test_local_recipe__nothing_there__names_it(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="`helpers`") as caught:
        make_local_recipe(LocalSource("helpers", str(tmp_path / "helpers.py"), ""), _PYTHON, bytecode=True)

    assert caught.value.hint


def test_interpreter_recipe__key__follows_its_files(tmp_path: Path) -> None:
    stdlib = tmp_path / "lib"
    (stdlib / "json").mkdir(parents=True)
    (stdlib / "json" / "__init__.py").write_text("")
    python = replace(_PYTHON, stdlib=str(stdlib), dynload=str(tmp_path / "none"))
    key = make_interpreter_recipe(python, bytecode=True).key

    assert make_interpreter_recipe(python, bytecode=True).key == key
    (stdlib / "json" / "__init__.py").write_text("changed")
    assert make_interpreter_recipe(python, bytecode=True).key != key


def test_launcher_recipe__has_the_scripts_of_every_environment(tmp_path: Path) -> None:
    plan = make_launcher_recipe(_PYTHON).plan(tmp_path)

    assert {"bin/activate", "bin/conda-unpack"} <= {entry.path for entry in plan.entries}


def test_make_pin_key__version_python_and_bytecode_decide() -> None:
    keys = {
        make_pin_key("a==1", _PYTHON, bytecode=True),
        make_pin_key("a==2", _PYTHON, bytecode=True),
        make_pin_key("a==1", _PYTHON, bytecode=False),
        make_pin_key("a==1", replace(_PYTHON, version="3.12.0"), bytecode=True),
    }

    assert len(keys) == 4

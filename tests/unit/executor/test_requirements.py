from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

from wq_package import analyze
from wq_package.executor.requirements import SourceAnalyzer, list_imports, merge_specs, say_parameters
from wq_package.executor.shipments import AppKey
from wq_package.spec.environment import EnvironmentSpec, LocalSource, WheelRequirement


def make_function(source: str, **globals_: Any) -> FunctionType:
    namespace: dict[str, Any] = {"__name__": "__main__", **globals_}
    exec(source, namespace)
    function = namespace["f"]
    assert isinstance(function, FunctionType)
    return function


def test_list_imports__body__every_form_is_found() -> None:
    source = "def f():\n    import a.b\n    from c import d\n    def inner():\n        import e\n    return inner\n"
    assert list_imports(make_function(source)) == ("a.b", "c", "e")


def test_list_imports__relative__is_made_absolute() -> None:
    function = make_function("def f():\n    from . import x\n    from ..y import z\n", __package__="top.sub")
    assert list_imports(function) == ("top.sub", "top.y")


def test_list_imports__modules_among_the_globals__are_found_through_helpers() -> None:
    source = "def helper():\n    return np.pi\ndef unused():\n    return sys\ndef f():\n    return helper()\n"
    assert list_imports(make_function(source, np=np, sys=sys)) == ("numpy",)


def test_list_imports__class_of_the_program__is_looked_through() -> None:
    source = """
import functools
class Base:
    def first(self): import a
class Model(Base):
    def __init__(self): import b
    @property
    def second(self): import c
    @staticmethod
    def third(): import d
    @functools.cached_property
    def fourth(self): import e
class Unused:
    def fifth(self): import x
model = Model.__new__(Model)
def f(): return model.first()
"""
    assert list_imports(make_function(source)) == ("a", "b", "c", "d", "e")


def test_merge_specs__keeps_everything_once() -> None:
    one = EnvironmentSpec(python="3.11.7", wheels=(WheelRequirement("a==1"), WheelRequirement("b==1")))
    other = EnvironmentSpec(
        python="3.11.7", wheels=(WheelRequirement("b==1"),), local=(LocalSource("m", "/m.py", "d"),)
    )
    merged = merge_specs([one, other])
    assert [wheel.text for wheel in merged.wheels] == ["a==1", "b==1"]
    assert merged.local == other.local
    assert merged.python == "3.11.7"


@pytest.fixture
def program(tmp_path: Path) -> Iterator[ModuleType]:
    """A program of two files: an app that uses a module beside it."""
    (tmp_path / "beside.py").write_text("import pandas\n\ndef read(): return pandas\n")
    path = tmp_path / "program.py"
    path.write_text(
        "import beside\nimport requests\n\ndef f():\n    import numpy as np\n    return beside.read, np\n\n"
        "def g(path):\n    import pandas as pd\n    return pd.read_excel(path)\n"
    )
    spec = importlib.util.spec_from_file_location("program_of_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["program_of_test"] = module
    sys.path.insert(0, str(tmp_path))
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(tmp_path))
    for name in ("program_of_test", "beside"):
        sys.modules.pop(name, None)


def test_find_needs__source__only_what_the_function_uses(program: ModuleType) -> None:
    needs = SourceAnalyzer([], "parsl").find_needs((program.f,), AppKey())
    names = {wheel.canonical_name for wheel in needs.spec.wheels}
    assert {"cloudpickle", "numpy", "pandas"} <= names
    assert "requests" not in names
    assert "parsl" not in names
    assert [source.import_name for source in needs.spec.local] == ["beside"]
    assert set(needs.imports) == {"numpy", "pandas"}


def test_find_needs__what_no_import_shows__is_suggested_until_it_is_taken_along(program: ModuleType) -> None:
    (suggestion,) = SourceAnalyzer([], "parsl").find_needs((program.g,), AppKey()).suggestions
    assert "program.py:10: " in suggestion
    assert "to take it along: `extra_pkgs=['openpyxl']`" in suggestion
    assert SourceAnalyzer([], "parsl").find_needs((program.f,), AppKey()).suggestions == ()
    assert SourceAnalyzer(["openpyxl"], "parsl").find_needs((program.g,), AppKey()).suggestions == ()


def test_find_needs__modules_of_the_pickle__are_added() -> None:
    needs = SourceAnalyzer(["rich"], "parsl").find_needs((), AppKey(modules=("numpy",)))
    names = {wheel.canonical_name for wheel in needs.spec.wheels}
    assert {"numpy", "rich", "cloudpickle"} <= names


def test_find_needs__parsls_wrappers__bring_parsl() -> None:
    needs = SourceAnalyzer([], "parsl").find_needs((), AppKey(modules=("parsl",), needs_parsl=True))
    assert {"parsl", "dill", "typeguard"} <= {wheel.canonical_name for wheel in needs.spec.wheels}


def test_find_needs__changed_file__falls_back_on_the_bytecode(program: ModuleType) -> None:
    Path(str(program.__file__)).write_text("# nothing left\n")
    needs = SourceAnalyzer([], "parsl").find_needs((program.f,), AppKey())
    assert "numpy" in {wheel.canonical_name for wheel in needs.spec.wheels}
    assert [source.import_name for source in needs.spec.local] == ["beside"]


def test_find_needs__unknown_module__is_a_problem_and_no_obstacle() -> None:
    function = make_function("def f():\n    import numpy\n    import no_such_module_anywhere\n")
    needs = SourceAnalyzer([], "parsl").find_needs((function,), AppKey())
    assert "numpy" in {wheel.canonical_name for wheel in needs.spec.wheels}
    (problem,) = needs.problems
    assert "no_such_module_anywhere" in problem


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            "install what provides it, name it with `--map IMPORT=DISTRIBUTION`, or use `--keep-going`",
            "install what provides it, or name it in `extra_pkgs`",
        ),
        ("add it with `--extra rich` if it is needed", "add it with `extra_pkgs=['rich']` if it is needed"),
        ("choose with `--map yaml=PyYAML`", "choose with `extra_pkgs=['PyYAML']`"),
        ("check it, or say it with `--map`", "check it, or say it with `extra_pkgs`"),
    ],
)
def test_say_parameters__names_those_of_the_executor(said: str, meant: str) -> None:
    assert say_parameters(said) == meant


def test_hints_of_the_analysis__no_option_of_the_command_line_is_left() -> None:
    hints = [
        hint
        for path in Path(analyze.__file__).parent.glob("*.py")
        for hint in re.findall(r'[^"]*`--(?:extra|map|keep)[^"]*', path.read_text())
        if "{" not in hint and "takes the imports" not in hint
    ]
    assert len(hints) >= 4
    assert [hint for hint in hints if "--" in say_parameters(hint)] == []

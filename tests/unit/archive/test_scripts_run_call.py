from __future__ import annotations

import ast
import copyreg
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from wq_package.archive.scripts import host, run_call
from wq_package.archive.scripts.warm import calls, forking, output, packets, system, zygote


class CannotBeLoadedError(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


class KeywordError(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__("failed")
        self.code = code


class BadTextError(Exception):
    def __str__(self) -> str:
        raise ValueError


def call(function: Any, *args: Any) -> tuple[bool, Any]:
    is_returned, answer = run_call.run_callable(function, pickle.dumps((args, {})))
    found, value = pickle.loads(answer)
    assert found == is_returned
    return found, value


def raise_it(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("script", [host, run_call, calls, forking, output, packets, system, zygote])
def test_script__is_understood_by_python_3_8_and_imports_the_standard_library_alone(script: Any) -> None:
    tree = ast.parse(Path(script.__file__).read_text(), feature_version=(3, 8))

    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    modules = {node.module or "" for node in froms}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert modules - {"cloudpickle"} <= sys.stdlib_module_names | {"importlib.util"}


def test_run_callable__returns() -> None:
    assert call(divmod, 7, 2) == (True, (3, 1))


def test_run_callable__value_that_only_cloudpickle_knows__comes_back() -> None:
    is_returned, value = call(lambda: lambda: 5)

    assert is_returned
    assert value() == 5


def test_run_callable__raises__has_every_form_of_the_error() -> None:
    is_returned, bundle = call(raise_it, ValueError("no good"))

    assert not is_returned
    assert (bundle["type"], bundle["text"]) == ("ValueError", "no good")
    assert repr(pickle.loads(bundle["pickle"])) == "ValueError('no good')"
    assert bundle["traceback"].startswith("Traceback")
    assert "/run_call.py" not in bundle["traceback"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_run_callable__asks_to_leave__is_an_answer_too(error: BaseException) -> None:
    assert call(raise_it, error)[1]["type"] == type(error).__name__


@pytest.mark.parametrize("error", [CannotBeLoadedError("a", "b"), KeywordError(code=3)])
def test_run_callable__exception_whose_init_wants_other_arguments__keeps_its_type(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    # Parsl teaches every exception class to be pickled in another way, once it has been imported.
    monkeypatch.delitem(copyreg.dispatch_table, type(error), raising=False)
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(error))

    bundle = call(lambda: raise_it(error))[1]

    back = pickle.loads(bundle["pickle"])
    assert type(back) is type(error)
    assert (back.args, vars(back), str(back)) == (error.args, vars(error), str(error))


def test_run_callable__exception_that_holds_a_lock__travels_as_text() -> None:
    bundle = call(lambda: raise_it(ValueError(threading.Lock())))[1]

    assert bundle["pickle"] is None
    assert bundle["text"].startswith("<unlocked")


def test_run_callable__exception_without_text__still_answers() -> None:
    assert call(lambda: raise_it(BadTextError()))[1]["text"] == "<no text>"


def test_run_callable__value_cannot_travel__says_which() -> None:
    bundle = call(threading.Lock)[1]

    assert bundle["type"] == "PicklingError"
    assert "lock" in bundle["text"]

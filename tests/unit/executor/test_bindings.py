from __future__ import annotations

import gc
import weakref
from types import FunctionType
from typing import Any

import pytest

from wq_package.executor.app_book import AppBook
from wq_package.executor.bindings import list_functions, note_bindings

SOURCE = """
import functools
import math
FACTOR = 3
UNUSED = 1
TABLE = [1]
POWER = 2

SETTINGS = {"depth": {"max": 1}, "tags": {"a"}}

class Model:
    def __init__(self, inner=None):
        self.inner, self.rate, self.many = inner, 0.1, list(range(1000))

MODEL = Model(Model())

@functools.singledispatch
def describe(x):
    return SETTINGS, MODEL

class Shape:
    DIMENSIONS = 2

    def __init__(self, size):
        self.size = size

    @functools.cached_property
    def area(self):
        return self.size ** POWER

@functools.cache
def root(x):
    return math.sqrt(x)

def helper(x):
    return [root(y) * FACTOR for y in TABLE]

def app(x):
    return lambda: helper(sorted(x)), Shape, LATER, describe(x)
"""


@pytest.fixture
def module() -> dict[str, Any]:
    """What a notebook has run."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(SOURCE, namespace)
    return namespace


def get_function(module: dict[str, Any], name: str) -> FunctionType:
    function = module[name]
    assert isinstance(function, FunctionType)
    return function


def test_list_functions__through_names__finds_what_is_called(module: dict[str, Any]) -> None:
    found = list_functions([get_function(module, "app")])
    assert sorted(function.__name__ for function in found) == [
        "__init__",
        "__init__",
        "app",
        "area",
        "describe",
        "helper",
        "root",
    ]


@pytest.mark.parametrize(
    ("cell", "changed"),
    [
        ("", False),
        ("UNUSED = 2", False),
        ("NEW = 2", False),
        ("TABLE.append(2)", True),
        ("TABLE[0] = 7", True),
        ("TABLE[0] = 1", False),
        ("SETTINGS['depth']['max'] = 2", True),
        ("SETTINGS['tags'].add('b')", True),
        ("SETTINGS['new'] = 1", True),
        ("MODEL.rate = 0.5", True),
        ("MODEL.inner.rate = 0.5", True),
        ("MODEL.many[5] = 0", False),
        ("MODEL.many.append(0)", True),
        ("Shape.DIMENSIONS = 3", True),
        ("Shape(1).size", False),
        ("describe.register(int, lambda x: x)", True),
        ("FACTOR = 10", True),
        ("TABLE = [1]", True),
        ("def root(x): return x", True),
        ("class Shape: pass", True),
        ("import cmath as math", True),
        ("del helper", True),
        ("Shape = None", True),
        ("POWER = 3", True),
        ("def sorted(x): return x", True),
        ("LATER = 1", True),
        ("LATER = None", True),
    ],
)
def test_have_changed__cell_is_run__tells_whether_the_app_sees_it(
    module: dict[str, Any], cell: str, changed: bool
) -> None:
    bindings = note_bindings(list_functions([get_function(module, "app")]))
    exec(cell, module)
    gc.collect()
    assert (bindings.find_changed() is not None) is changed


def make_closure() -> tuple[FunctionType, dict[str, Any]]:
    settings, factor = {"rate": 1}, 1

    def app() -> Any:
        return settings, factor, app

    def rebind() -> None:
        nonlocal factor
        factor = 2

    assert isinstance(app, FunctionType)
    return app, {"settings": settings, "rebind": rebind}


@pytest.mark.parametrize(
    ("cell", "changed"), [("", None), ("settings['rate'] = 2", "settings"), ("rebind()", "factor")]
)
def test_find_changed__variable_of_another_function__is_named(cell: str, changed: str | None) -> None:
    app, names = make_closure()
    bindings = note_bindings([app])
    exec(cell, names)
    assert bindings.find_changed() == changed


def test_note_bindings__what_goes_away__is_not_kept(module: dict[str, Any]) -> None:
    bindings = note_bindings(list_functions([get_function(module, "app")]))
    shape = weakref.ref(module["Shape"])
    module.clear()
    gc.collect()
    assert shape() is None
    assert bindings.find_changed() is None  # nobody can call the app


def test_app_book__name_is_bound_anew__packs_again_and_only_then(module: dict[str, Any]) -> None:
    book = AppBook()
    first = book.find_shipment(module["app"])
    assert book.find_shipment(module["app"]) is first
    module["FACTOR"] = 10
    second = book.find_shipment(module["app"])
    assert second.function != first.function
    assert second.key.places == first.key.places
    assert book.find_shipment(module["app"]) is second
    exec("def root(x):\n    import cmath\n    return cmath.sqrt(x)\n", module)
    third = book.find_shipment(module["app"])
    assert third.key.places != first.key.places
    assert book.get_roots(third) == (module["app"],)


def test_app_book__class_is_written_anew__has_an_environment_of_its_own(module: dict[str, Any]) -> None:
    book = AppBook()
    first = book.find_shipment(module["app"])
    exec("class Shape:\n    def area(self):\n        import numpy\n", module)
    assert book.find_shipment(module["app"]).key.places != first.key.places


def test_app_book__variable_of_another_function_changes__packs_again_and_only_then() -> None:
    book = AppBook()
    app, names = make_closure()
    first = book.find_shipment(app)
    assert book.find_shipment(app) is first
    names["rebind"]()
    assert book.find_shipment(app).function != first.function
    assert first.key.places == book.find_shipment(app).key.places


def test_app_book__packed_again_and_again__says_once_what_changes(
    module: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    book = AppBook()
    for number in range(30):
        module["SETTINGS"]["number"] = number + 1000
        book.find_shipment(module["app"])
    (record,) = caplog.records
    assert "app app was packed 20 times, now because `SETTINGS` has changed" in record.getMessage()

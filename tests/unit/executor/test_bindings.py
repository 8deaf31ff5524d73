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

class Shape:
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
    return lambda: helper(sorted(x)), Shape, LATER
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
    assert sorted(function.__name__ for function in found) == ["__init__", "app", "area", "helper", "root"]


@pytest.mark.parametrize(
    ("cell", "changed"),
    [
        ("", False),
        ("UNUSED = 2", False),
        ("NEW = 2", False),
        ("TABLE.append(2)", False),
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
    assert bindings.have_changed() is changed


def test_note_bindings__what_goes_away__is_not_kept(module: dict[str, Any]) -> None:
    bindings = note_bindings(list_functions([get_function(module, "app")]))
    shape = weakref.ref(module["Shape"])
    module.clear()
    gc.collect()
    assert shape() is None
    assert bindings.have_changed() is False  # nobody can call the app


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

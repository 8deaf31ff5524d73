from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parsl import File

from wq_package.executor.bindings import list_functions
from wq_package.executor.pickling import pack_value
from wq_package.executor.requirements import list_imports

_PROGRAM = """
import functools, threading

guard, again, own = threading.Lock(), threading.RLock(), threading.local()
own.value = 1

@functools.lru_cache(maxsize=32, typed=True)
def count(n):
    return 1 if n < 2 else count(n - 1) + count(n - 2)

@functools.singledispatch
def describe(value):
    "Says what it is."
    return "thing"

@describe.register
def _(value: list):
    import json
    return f"{len(value)} of {describe(value[0])}"

describe.register(int, lambda value: f"number {count(value)}")
describe.author = "me"

class Shape:
    def __init__(self, size):
        self.size = size
        self.ready = threading.Event()

    @functools.cached_property
    def area(self):
        return self.size ** 2

    @functools.singledispatchmethod
    def grow(self, by):
        return self.size

    @grow.register
    def _(self, by: int):
        return self.size + by

def app(value):
    with guard, again:
        return describe(value), Shape(2).grow(3), Shape(2).grow("")
"""


@pytest.fixture
def module() -> dict[str, Any]:
    """A program that was typed at a prompt."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(_PROGRAM, namespace)
    return namespace


def load_elsewhere(value: object, program: str) -> list[str]:
    """Load `it` in another process, which has nothing of this one; tell what the program prints."""
    payload, modules = pack_value(value)
    assert modules == frozenset()
    program = f"import pickle, sys; it = pickle.load(sys.stdin.buffer)\n{program}"
    program += "\nassert not any(name.startswith('wq_package') for name in sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, input=payload, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


# -- what goes by name ---------------------------------------------------------------------------------------------------


def test_pack_value__plain_values__need_nothing() -> None:
    data, modules = pack_value(((1, "two", [3.0], Path("four")), {"five": {6}}))
    assert pickle.loads(data) == ((1, "two", [3.0], Path("four")), {"five": {6}})
    assert modules == frozenset()


def test_pack_value__array__needs_its_distribution() -> None:
    assert pack_value(np.zeros(3))[1] == {"numpy"}


@pytest.mark.parametrize("value", [np.linalg.norm, np.sin, np.float64, np.random.default_rng])
def test_pack_value__anything_by_name__needs_its_distribution(value: object) -> None:
    assert pack_value(value)[1] == {"numpy"}


def test_pack_value__parsl_file__needs_nothing() -> None:
    data, modules = pack_value(File("a/b"))
    assert modules == frozenset()
    assert pickle.loads(data).filepath == "a/b"


# -- what stands for more than its pickle can hold ------------------------------------------------------------------------


def test_pack_value__cached_function_of_the_program__goes_with_what_it_is(module: dict[str, Any]) -> None:
    program = "print(it(10), it.cache_parameters(), it.cache_info().currsize, it.__name__)"
    expected = "89 {'maxsize': 32, 'typed': True} 11 count"
    assert load_elsewhere(module["count"], program) == [expected]


def test_pack_value__dispatcher__finds_its_functions_and_they_find_it(module: dict[str, Any]) -> None:
    program = "print(it([4, 5]), it(4), it(''), it.__name__, it.author, it.__doc__, it.__wrapped__(0))"
    expected = "2 of number 5 number 5 thing describe me Says what it is. thing"
    assert load_elsewhere(module["describe"], program) == [expected]


def test_pack_value__dispatcher__takes_further_functions_there(module: dict[str, Any]) -> None:
    program = "it.register(str, lambda value: 'text'); print(it(''), it(4))"
    assert load_elsewhere(module["describe"], program) == ["text number 5"]


def test_pack_value__function_that_uses_all_of_them__works_there(module: dict[str, Any]) -> None:
    assert load_elsewhere(module["app"], "print(it([4]))") == ["('1 of number 5', 5, 2)"]


def test_pack_value__class_with_a_cached_property__works_there(module: dict[str, Any]) -> None:
    program = "print(it.area, it.area, it.size, it.ready.is_set())"
    assert load_elsewhere(module["Shape"](3), program) == ["9 9 3 False"]


def test_pack_value__held_lock__is_a_free_one_there_and_the_same_wherever_it_is_used(
    module: dict[str, Any],
) -> None:
    guard = module["guard"]
    with guard:
        program = "print(it[0] is it[1], it[0].acquire(blocking=False), it[0].acquire(blocking=False))"
        assert load_elsewhere((guard, guard), program) == ["True True False"]


def test_pack_value__data_of_a_thread__are_nobodys_there(module: dict[str, Any]) -> None:
    assert load_elsewhere(module["own"], "print(vars(it))") == ["{}"]


@pytest.mark.parametrize(
    ("value", "hint"), [(Future(), "send its result"), (threading.Thread(), "start it there")]
)
def test_pack_value__what_is_bound_to_this_process__is_refused(value: object, hint: str) -> None:
    with pytest.raises(TypeError, match=hint):
        pack_value([value])


def test_list_functions__behind_a_dispatcher__are_found(module: dict[str, Any]) -> None:
    found = {function.__name__ for function in list_functions([module["app"]])}
    assert {"app", "describe", "_", "<lambda>", "count", "grow"} <= found
    assert "json" in list_imports(module["app"])

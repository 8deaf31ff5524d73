"""Notices when a name that an app uses means something else than when the app was packed (logic module).

Functions travel with the values of the names that they use. In a notebook or at a prompt these are bound anew all the time: the
app has to be packed again then. Keeps no object of the user's alive that can be referred to weakly.
"""

from __future__ import annotations

import dis
import functools
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

__all__ = ["Bindings", "list_functions", "note_bindings", "unwrap_cached"]

_ABSENT = object()
_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})


@dataclass(frozen=True, slots=True)
class _Binding:
    """One name of a function's module, and what gives the value that it had."""

    function: weakref.ref[FunctionType]
    name: str
    held: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Bindings:
    """What the names that an app uses meant."""

    noted: tuple[_Binding, ...] = ()

    def have_changed(self) -> bool:
        """Tell whether a name is bound to another object now; what changes inside an object is not noticed."""
        for binding in self.noted:
            function = binding.function()
            if function is not None and function.__globals__.get(binding.name, _ABSENT) is not binding.held():
                return True
        return False


def note_bindings(functions: Iterable[FunctionType]) -> Bindings:
    """Note what the names mean that functions use."""
    return Bindings(
        tuple(
            _Binding(weakref.ref(function), name, _hold(function.__globals__[name]))
            for function in functions
            for name in _list_names(function)
        )
    )


def list_functions(roots: Iterable[FunctionType]) -> tuple[FunctionType, ...]:
    """List functions, and those of the same module that they call by a name of it, and so on."""
    found: dict[int, FunctionType] = {}
    waiting = list(roots)
    while waiting:
        function = waiting.pop()
        if id(function) not in found:
            found[id(function)] = function
            values = (unwrap_cached(function.__globals__[name]) for name in _list_names(function))
            waiting.extend(
                value
                for value in values
                if isinstance(value, FunctionType) and value.__globals__ is function.__globals__
            )
    return tuple(found.values())


def unwrap_cached(value: object) -> object:
    """Give the function behind `lru_cache`, and anything else as it is."""
    return value.__wrapped__ if isinstance(value, functools._lru_cache_wrapper) else value


def _list_names(function: FunctionType) -> list[str]:
    """List the names of its module that a function uses, as far as they are bound."""
    return sorted({name for name in _iter_names(function.__code__) if name in function.__globals__})


def _iter_names(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in _GLOBAL:
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _iter_names(constant)


def _hold(value: object) -> Callable[[], Any]:
    try:
        return weakref.ref(value)
    except TypeError:  # numbers, texts, lists
        return lambda: value

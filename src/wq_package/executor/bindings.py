"""Notices when a name that an app uses means something else than when the app was packed (logic module).

Functions travel with the values of the names that they use. In a notebook or at a prompt these are bound anew all the time: the
app has to be packed again then. Keeps no object of the user's alive that can be referred to weakly, but for code.
"""

from __future__ import annotations

import dis
import functools
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

__all__ = ["Bindings", "is_dispatcher", "iter_behind", "iter_functions", "list_functions", "note_bindings"]

_ABSENT = object()
_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of one module that functions of it use, each once.

    Attributes:
        functions: those that use them.
        referred: what was bound to names and can be referred to weakly.
        kept: what was bound to the others: numbers, texts, lists, or nothing at all.
    """

    functions: tuple[weakref.ref[FunctionType], ...]
    referred: tuple[tuple[str, weakref.ref[Any]], ...]
    kept: tuple[tuple[str, Any], ...]

    def have_changed(self) -> bool:
        function = next((found for each in self.functions if (found := each()) is not None), None)
        if function is None:  # nobody can call it
            return False
        get = function.__globals__.get
        for name, reference in self.referred:  # no generators: this is done for each task
            value = get(name)
            if value is None or value is not reference():  # what went away refers to `None`
                return True
        for name, held in self.kept:  # noqa: SIM110
            if get(name, _ABSENT) is not held:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Bindings:
    """What the names that an app uses meant."""

    noted: tuple[_Names, ...] = ()

    def have_changed(self) -> bool:
        """Tell whether a name is bound to another object now; what changes inside an object is not noticed."""
        return any(names.have_changed() for names in self.noted)


def note_bindings(functions: Iterable[FunctionType]) -> Bindings:
    """Note what the names mean that functions use, and which of them mean nothing yet."""
    modules: dict[int, list[FunctionType]] = {}
    for function in functions:
        modules.setdefault(id(function.__globals__), []).append(function)
    return Bindings(tuple(map(_note_names, modules.values())))


def _note_names(functions: list[FunctionType]) -> _Names:
    namespace = functions[0].__globals__
    referred: list[tuple[str, weakref.ref[Any]]] = []
    kept: list[tuple[str, Any]] = []
    for name in sorted({name for function in functions for name in _list_names(function.__code__)}):
        value = namespace.get(name, _ABSENT)
        try:
            referred.append((name, weakref.ref(value)))
        except TypeError:
            kept.append((name, value))
    return _Names(tuple(map(weakref.ref, functions)), tuple(referred), tuple(kept))


def list_functions(roots: Iterable[FunctionType]) -> tuple[FunctionType, ...]:
    """List functions, and those of the same module that they use by a name of it, methods of classes too, and so on."""
    found: dict[int, FunctionType] = {}
    waiting = list(roots)
    while waiting:
        function = waiting.pop()
        if id(function) not in found:
            found[id(function)] = function
            namespace = function.__globals__
            for name in _list_names(function.__code__):
                waiting.extend(iter_functions(namespace.get(name), namespace))
    return tuple(found.values())


def iter_functions(value: object, namespace: dict[str, Any]) -> Iterator[FunctionType]:
    """Go through the functions of a module that a value is, or has as a class of that module or as an object of one."""
    parts = [*iter_behind(value)]
    for kind in (value if isinstance(value, type) else type(value)).__mro__:
        if kind.__module__ == namespace.get("__name__"):
            parts += [part for member in vars(kind).values() for part in _iter_parts(member)]
    for part in parts:
        if isinstance(part, FunctionType) and part.__globals__ is namespace:
            yield part


def _iter_parts(member: object) -> Iterator[object]:
    match member:
        case property():
            yield from (member.fget, member.fset, member.fdel)
        case functools.cached_property():
            yield member.func
        case staticmethod() | classmethod():
            yield from iter_behind(member.__func__)
        case functools.singledispatchmethod():
            yield from iter_behind(member.dispatcher)
        case _:
            yield from iter_behind(member)


def iter_behind(value: object) -> Iterator[object]:
    """Give what is called behind `lru_cache` and `singledispatch`, and anything else as it is."""
    if isinstance(value, functools._lru_cache_wrapper):
        yield value.__wrapped__
    elif is_dispatcher(value):
        yield from value.registry.values()  # type: ignore[attr-defined]  # that is what it is known by
    else:
        yield value


_DISPATCHER = functools.singledispatch(len).__code__  # type: ignore[attr-defined]  # it is a function


def is_dispatcher(value: object) -> bool:
    """Tell whether `singledispatch` made a function."""
    return isinstance(value, FunctionType) and value.__code__ is _DISPATCHER


@functools.lru_cache(maxsize=4096)
def _list_names(code: CodeType) -> tuple[str, ...]:
    return tuple(sorted(set(_iter_names(code))))


def _iter_names(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in _GLOBAL:
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _iter_names(constant)

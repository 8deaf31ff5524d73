"""Notices when a name that an app uses means something else than when the app was packed (logic module).

Functions travel with the values of the names that they use. In a notebook or at a prompt these are bound anew all the time, and
settings change in place: the app has to be packed again then. Keeps no object of the user's alive that can be referred to weakly, but for code.
"""

from __future__ import annotations

import dis
import functools
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CellType, CodeType, FunctionType
from typing import Any

from wq_package.executor.behind import iter_behind
from wq_package.executor.contents import Contents, note_contents, refer, stands_for

__all__ = ["Bindings", "iter_functions", "list_functions", "note_bindings"]

_ABSENT = object()
_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of one module that functions of it use, each once.

    Attributes:
        functions: those that use them.
        referred: what was bound to names and can be referred to weakly.
        kept: what was bound to the others: numbers, texts, lists, or nothing at all.
        contents: what was in those that may change.
    """

    functions: tuple[weakref.ref[FunctionType], ...]
    referred: tuple[tuple[str, weakref.ref[Any]], ...]
    kept: tuple[tuple[str, Any], ...]
    contents: tuple[tuple[str, Contents], ...]

    def find_changed(self) -> str | None:
        function = next((found for each in self.functions if (found := each()) is not None), None)
        if function is None:  # nobody can call it
            return None
        get = function.__globals__.get
        for name, reference in self.referred:  # no generators: this is done for each task
            value = get(name)
            if value is None or value is not reference():  # what went away refers to `None`
                return name
        for name, held in self.kept:
            if get(name, _ABSENT) is not held:
                return name
        for name, contents in self.contents:
            if contents.have_changed(get(name)):
                return name
        return None


@dataclass(frozen=True, slots=True)
class _Closure:
    """The variables of other functions that a function uses, in the order of its cells."""

    function: weakref.ref[FunctionType]
    values: tuple[object, ...]
    contents: tuple[Contents | None, ...]

    def find_changed(self) -> str | None:
        function = self.function()
        if function is None:
            return None
        names, cells = function.__code__.co_freevars, function.__closure__ or ()
        for name, cell, held, contents in zip(names, cells, self.values, self.contents, strict=True):
            value = _read_cell(cell)
            if not stands_for(held, value) or (contents is not None and contents.have_changed(value)):
                return name
        return None


@dataclass(frozen=True, slots=True)
class Bindings:
    """What the names that an app uses meant."""

    noted: tuple[_Names | _Closure, ...] = ()

    def find_changed(self) -> str | None:
        """Find a name that is bound to another object now, or whose object has other parts; `None` if there is none."""
        for each in self.noted:
            changed = each.find_changed()
            if changed is not None:
                return changed
        return None


def note_bindings(functions: Iterable[FunctionType]) -> Bindings:
    """Note what the names mean that functions use, and which of them mean nothing yet."""
    modules: dict[int, list[FunctionType]] = {}
    closures: list[_Closure] = []
    for function in functions:
        modules.setdefault(id(function.__globals__), []).append(function)
        if function.__closure__:
            closures.append(_note_closure(function, function.__closure__))
    return Bindings((*map(_note_names, modules.values()), *closures))


def _note_closure(function: FunctionType, cells: Iterable[CellType]) -> _Closure:
    module = _name_module(function)
    values = [_read_cell(cell) for cell in cells]
    return _Closure(
        weakref.ref(function),
        tuple(map(refer, values)),
        tuple(note_contents(value, module) for value in values),
    )


def _read_cell(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return _ABSENT


def _name_module(function: FunctionType) -> str:
    return str(function.__globals__.get("__name__"))


def _note_names(functions: list[FunctionType]) -> _Names:
    namespace = functions[0].__globals__
    module = _name_module(functions[0])
    referred: list[tuple[str, weakref.ref[Any]]] = []
    kept: list[tuple[str, Any]] = []
    noted: list[tuple[str, Contents]] = []
    for name in sorted({name for function in functions for name in _list_names(function.__code__)}):
        value = namespace.get(name, _ABSENT)
        try:
            referred.append((name, weakref.ref(value)))
        except TypeError:
            kept.append((name, value))
        contents = note_contents(value, module)
        if contents is not None:
            noted.append((name, contents))
    return _Names(tuple(map(weakref.ref, functions)), tuple(referred), tuple(kept), tuple(noted))


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

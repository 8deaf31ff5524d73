"""From what Parsl hands to `submit` back to the user's function (logic module).

Knows the wrappers that Parsl puts round an app and which of them can be taken off without changing what the app does;
knows nothing of how a function travels, of environments or of queues.

- `wrap_error` comes off: the worker's own answer tells a raised exception from a value.
- a walltime comes off and is put back by `scripts/call.py`, which needs no Parsl.
- `remote_side_bash_executor` likewise: the command line is made and run by `scripts/call.py`.
- anything else of Parsl's (monitoring, staging inside the task) stays on, and so does what a staging provider of the user's puts round: the callable travels whole, and its environment
  needs the Parsl of the submit side.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

from parsl.app.bash import remote_side_bash_executor
from parsl.app.errors import wrap_error
from parsl.app.python import timeout
from parsl.monitoring.remote import monitor_wrapper

from wq_package.executor.behind import iter_behind

__all__ = ["AppKind", "ResolvedApp", "find_roots", "is_users", "resolve_app"]


class AppKind(enum.Enum):
    """How a callable travels."""

    PYTHON = "python"
    """The user's own function."""
    BASH = "bash"
    """The user's own function, which makes a command line."""
    WHOLE = "whole"
    """With Parsl's wrappers on; the worker needs Parsl."""


@dataclass(frozen=True, slots=True)
class ResolvedApp:
    """What Parsl handed over, taken apart.

    Attributes:
        function: what travels.
        name: what the user calls the app.
        walltime: seconds after which a python app is interrupted.
    """

    function: Callable[..., Any]
    kind: AppKind
    name: str
    walltime: float | None = None


def _find_inner_code(outer: Callable[..., Any], name: str) -> CodeType:
    for constant in outer.__code__.co_consts:
        if isinstance(constant, CodeType) and constant.co_name == name:
            return constant
    raise ImportError(
        f"this release of Parsl has no `{name}` in `{outer.__name__}`; see the supported range in the docs"
    )


_WRAP_ERROR = _find_inner_code(wrap_error, "wrapper")
_TIMEOUT = _find_inner_code(timeout, "wrapper")
_MONITOR = _find_inner_code(monitor_wrapper, "wrapped")
_REMOVABLE = (_WRAP_ERROR, _TIMEOUT)


# -- taking wrappers off -------------------------------------------------------------------------------------------------


def resolve_app(func: Callable[..., Any]) -> ResolvedApp:
    """Take off what can be taken off of the callable that Parsl submits."""
    inner: Any = func
    walltime: float | None = None
    while True:
        code = getattr(inner, "__code__", None)
        if code is _WRAP_ERROR:
            inner = inner.__wrapped__
        elif code is _TIMEOUT:
            walltime = _read_cell(inner, "seconds")
            inner = _read_cell(inner, "f")
        elif _is_bash(inner):
            (inner,) = inner.args
            return ResolvedApp(inner, AppKind.BASH, _name_callable(inner))
        elif _is_parsl_wrapper(inner) or _find_enclosed(inner) is not None:
            return ResolvedApp(func, AppKind.WHOLE, _name_callable(_find_innermost(inner)))
        else:
            return ResolvedApp(inner, AppKind.PYTHON, _name_callable(inner), walltime)


def _find_enclosed(function: object) -> Any:
    """Find the app, with Parsl's wrappers on, that a function of the user's closes over: a staging provider of theirs made it."""
    waiting: list[tuple[object, object]] = [(function, None)]
    seen: set[int] = set()
    while waiting:
        holder, first = waiting.pop()
        if id(holder) in seen or not isinstance(holder, FunctionType):
            continue
        seen.add(id(holder))
        for value in _iter_cells(holder):
            if getattr(value, "__code__", None) in _REMOVABLE or _is_bash(value) or _is_parsl_wrapper(value):
                return first or value
            waiting.append((value, first or value))
    return None


def _iter_cells(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # not bound yet
            yield cell.cell_contents


def _is_bash(function: object) -> bool:
    return (
        isinstance(function, functools.partial)
        and function.func is remote_side_bash_executor
        and len(function.args) == 1
        and not function.keywords
    )


def _is_parsl_wrapper(function: object) -> bool:
    if not isinstance(function, FunctionType):
        return False
    if function.__code__ is _MONITOR:
        return True
    # A wrapper of a staging provider: closes over the function that it wraps, and has no `__wrapped__`.
    in_parsl = (function.__module__ or "").split(".")[0] == "parsl"
    return in_parsl and function.__closure__ is not None


def _read_cell(function: FunctionType, name: str) -> Any:
    index = function.__code__.co_freevars.index(name)
    closure = function.__closure__
    assert closure is not None
    return closure[index].cell_contents


def _find_innermost(function: Any) -> Any:
    """Go down to the user's function, through every wrapper that is known, to name it."""
    for _ in range(100):
        below = _find_below(function)
        if below is None:
            return function
        function = below
    return function


def _find_below(function: Any) -> Any:
    if isinstance(function, functools.partial):
        return function.args[0] if _is_bash(function) else function.func
    if isinstance(function, FunctionType) and _is_parsl_wrapper(function):
        for name in ("func", "f"):
            if name in function.__code__.co_freevars:
                return _read_cell(function, name)
    return _find_enclosed(function) or getattr(function, "__wrapped__", None)


def _name_callable(function: object) -> str:
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


# -- finding the user's code ---------------------------------------------------------------------------------------------


def find_roots(function: object) -> tuple[FunctionType, ...]:
    """Find the Python functions that travel by value in a callable, through wrappers, closures and partials.

    Those that travel by name are left out, and Parsl's wrappers: what they import, their distribution brings.
    """
    found: dict[int, FunctionType] = {}
    seen: dict[int, object] = {}
    todo: list[object] = [function]
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen[id(item)] = item
        if isinstance(item, FunctionType) and _is_root(item):
            found[id(item)] = item
        todo.extend(_iter_parts(item))
    return tuple(
        sorted(found.values(), key=lambda root: (root.__code__.co_filename, root.__code__.co_firstlineno))
    )


def _is_root(function: FunctionType) -> bool:
    if function.__code__ in _REMOVABLE or _is_parsl_wrapper(function):
        return False
    return is_users(function.__module__, function.__code__.co_filename) or not _is_importable(function)


def _is_importable(function: FunctionType) -> bool:
    """Tell whether a function is found under its name; where a decorator made an app of it, the app is found."""
    found: object = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function


def _iter_parts(item: object) -> Iterator[object]:
    yield from (part for part in iter_behind(item) if part is not item)
    if isinstance(item, functools.partial):
        yield from (item.func, *item.args, *item.keywords.values())
    elif isinstance(item, MethodType):
        yield item.__func__
        yield from _iter_methods(type(item.__self__))
    elif isinstance(item, FunctionType):
        yield from _iter_cells(item)
        wrapped = getattr(item, "__wrapped__", None)
        if wrapped is not None:
            yield wrapped
    elif callable(item) and not isinstance(item, type):
        yield from _iter_methods(type(item))


def _iter_methods(kind: type) -> Iterator[object]:
    for base in kind.__mro__:
        yield from (member for member in vars(base).values() if isinstance(member, FunctionType))


@functools.cache
def _list_installed_roots() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple(sorted({str(Path(path).resolve()) + "/" for path in map(sysconfig.get_path, names) if path}))


@functools.cache
def is_users(module: str | None, path: str) -> bool:
    """Tell whether code of this module and file is the user's own, not installed with Python or by an installer."""
    if module in sys.builtin_module_names or path.startswith("<frozen"):
        return False
    if not path.startswith(("/", ".")) and not Path(path).exists():
        return True  # a REPL, a notebook or `exec`
    return not str(Path(path).resolve()).startswith(_list_installed_roots())

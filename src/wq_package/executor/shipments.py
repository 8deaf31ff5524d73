"""From the user's function to the bytes that a worker's interpreter loads, and what those bytes need (logic module).

Knows cloudpickle and the script that travels with every function; knows nothing of environments, files or queues.

A function of a module that defines apps travels by value, with the globals that it uses, so that the module itself,
its `import parsl` and its decorators never run on the worker. Other modules travel by name, and are written down.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import operator
import os
import pickle
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from types import FunctionType
from typing import Any

import cloudpickle
from parsl.app.app import AppBase

from wq_package.executor.bindings import list_functions
from wq_package.executor.failures import UnsendableError
from wq_package.executor.functions import AppKind, ResolvedApp, is_users
from wq_package.executor.pickling import can_travel, pack_value
from wq_package.task import Function

__all__ = ["AppKey", "Shipment", "pack_function", "stamp_own_files"]


@dataclass(frozen=True, slots=True)
class AppKey:
    """What an app's environment hangs on: where its functions stand, never which object holds them.

    Attributes:
        places: file, first line, qualified name and code of each function of the user's, and of those that it calls.
        modules: what its pickles import by name when they are loaded.
        needs_parsl: whether it travels with Parsl's wrappers on.
        given: the environment that the user named for it; then only modules of the user's own join what is in there.
        edition: stands for the state of the user's own files when the function was first seen.
    """

    places: tuple[tuple[str, int, str, int], ...] = ()
    modules: tuple[str, ...] = ()
    needs_parsl: bool = False
    given: str = ""
    edition: int = 0


@dataclass(frozen=True, slots=True)
class Shipment:
    """A callable ready to travel. Holds none of the user's objects, so that it may outlive them.

    Attributes:
        modules: those of its key, to compare with.
        wrapper: the callable itself, if it is another object for each call and so travels with the arguments: the function
            is then what unpickles and calls it, the same for all.
        category: its name, as the queue can write it.
    """

    function: Function
    name: str
    kind: AppKind
    key: AppKey
    modules: frozenset[str]
    category: str = "app"
    wrapper: bytes = b""


def pack_function(app: ResolvedApp, roots: tuple[FunctionType, ...], edition: int | None = None) -> Shipment:
    """Turn a callable, and the user's functions found in it, into the bytes that a worker's interpreter loads.

    Args:
        app: what Parsl handed over, taken apart.
        roots: the user's functions in it.
        edition: what `stamp_own_files` said; it is asked if this is left out.

    Raises:
        UnsendableError: it cannot be pickled.
    """
    _register_own_modules(roots)
    try:
        payload, modules = pack_value(app.function)
    except Exception as error:  # whatever the objects it refers to raise
        raise UnsendableError(
            f"app `{app.name}` cannot be pickled: {error}", hint=_find_culprits(roots)
        ) from error
    is_whole = app.kind is AppKind.WHOLE
    body = _pickle_script(app, b"" if is_whole else payload)
    places = tuple(_locate(function) for function in list_functions(roots))
    key = AppKey(
        places, tuple(sorted(modules)), is_whole, edition=stamp_own_files() if edition is None else edition
    )
    function = Function(hashlib.sha256(body).hexdigest(), body)
    wrapper = payload if is_whole else b""
    return Shipment(function, app.name, app.kind, key, modules, _name_category(app.name), wrapper)


def _name_category(app: str) -> str:
    """Write an app's name in the letters that the queue has: names in Python may have any."""
    return app.encode("ascii", "backslashreplace").decode().replace(" ", "_")[:200] or "app"


def _find_culprits(roots: Iterable[FunctionType]) -> str | None:
    """Name the variables that functions use, themselves or in others that they call, and that cannot travel."""
    names = {
        name
        for function in list_functions(roots)
        for name, value in _iter_variables(function)
        if not isinstance(value, FunctionType) and not can_travel(value)
    }
    if not names:
        return None
    return f"make {', '.join(f'`{name}`' for name in sorted(names))} inside the app instead of using it from outside"


def _iter_variables(function: FunctionType) -> Iterator[tuple[str, object]]:
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield name, function.__globals__[name]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # not bound yet
            yield name, cell.cell_contents


def stamp_own_files() -> int:
    """Tell one state of the user's loaded modules from another: a notebook edits and reloads them."""
    stamps: list[tuple[str, int]] = []
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path is not None and is_users(name, path):
            with contextlib.suppress(OSError):
                stamps.append((path, os.stat(path).st_mtime_ns))  # noqa: PTH116 - half as long as with `Path`
    return hash(tuple(stamps))


def _locate(root: FunctionType) -> tuple[str, int, str, int]:
    code = root.__code__
    return code.co_filename, code.co_firstlineno, code.co_qualname, hash(code)


def _register_own_modules(roots: Iterable[FunctionType]) -> None:
    """Let the user's modules that apps stand in travel by value from now on, classes in arguments included.

    It has to last: an argument made of a class by name is not an instance of the same class that came by value.
    """
    own = {root.__module__ for root in roots if _stands_in_own_module(root)}
    for name in own - {None, "__main__"} - cloudpickle.list_registry_pickle_by_value():
        if name in sys.modules:
            cloudpickle.register_pickle_by_value(sys.modules[name])


def _stands_in_own_module(root: FunctionType) -> bool:
    """Tell whether a function's module is the user's, or defines it as an app, wherever the module is installed."""
    if is_users(root.__module__, root.__code__.co_filename):
        return True
    return isinstance(getattr(sys.modules.get(root.__module__), root.__name__, None), AppBase)


# -- the script round it -------------------------------------------------------------------------------------------------


class _Compiles:
    """Pickles as the code of the script, under a name that means something in a traceback."""

    def __init__(self, source: str) -> None:
        self.source = source

    def __reduce__(self) -> tuple[Any, ...]:
        return compile, (self.source, "<wq-package call>", "exec")


class _RunsScript:
    """Pickles as `exec(source, namespace)`."""

    def __init__(self, source: str, namespace: dict[str, Any]) -> None:
        self.source = source
        self.namespace = namespace

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (_Compiles(self.source), self.namespace)


class _CallFromScript:
    """Pickles as `namespace[exec(source, namespace)]`: what the script left under `None`."""

    def __init__(self, source: str, namespace: dict[str, Any]) -> None:
        self.source = source
        self.namespace = namespace

    def __reduce__(self) -> tuple[Any, ...]:
        return operator.getitem, (self.namespace, _RunsScript(self.source, self.namespace))


def _pickle_script(app: ResolvedApp, payload: bytes) -> bytes:
    arguments = {
        "kind": app.kind.value,
        "name": app.name,
        "python": sys.version_info[:2],
        "walltime": app.walltime,
        "payload": payload,
    }
    namespace = {"__name__": "wq_package_call", "arguments": arguments}
    # Protocol 4: the message about a wrong Python has to be readable by every Python that a worker may have.
    return pickle.dumps(_CallFromScript(_read_script(), namespace), protocol=4)


@functools.cache
def _read_script() -> str:
    return resources.files("wq_package.executor.scripts").joinpath("call.py").read_text(encoding="utf-8")

"""From the user's objects to the bytes that a worker's interpreter loads, and which modules those need there (logic module).

Knows cloudpickle, and what pickles cannot hold although it means the same in another process: caches, dispatchers, locks. Knows
nothing of apps. What stands in for such objects is made of the standard library alone: the worker has nothing of ours.
"""

from __future__ import annotations

import functools
import io
import operator
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import ModuleType
from typing import Any

import cloudpickle

from wq_package.executor.behind import is_dispatcher
from wq_package.executor.functions import is_users

__all__ = ["can_travel", "pack_value"]


def _travels_by_value(function: Any) -> bool:
    """Tell whether a function that cloudpickle takes for an object goes with what it is, like those beside it."""
    module = function.__module__
    by_value = {"__main__", None} | cloudpickle.list_registry_pickle_by_value()
    return module in by_value or "<locals>" in function.__qualname__


class _MakesCache:
    """Pickles as `lru_cache(maxsize, typed)`."""

    def __init__(self, maxsize: int | None, typed: bool) -> None:  # noqa: FBT001 - as in `functools`
        self.arguments = (maxsize, typed)

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.lru_cache, self.arguments


def _make_restorer() -> Callable[..., None]:
    """Make what completes a dispatcher; a function in a function, and so it travels by value."""

    def restore(dispatcher: Any, state: tuple[dict[type, Any], dict[str, Any]]) -> None:
        functions, attributes = state
        for kind, function in functions.items():
            dispatcher.register(kind, function)
        for name, value in attributes.items():
            setattr(dispatcher, name, value)

    return restore


_RESTORE = _make_restorer()
_NOTHING = functools.partial(len)
"""What a dispatcher calls until it is complete: its functions may use it themselves."""
_OWN_NAMES = frozenset({"register", "dispatch", "registry", "_clear_cache"})
_NAMES = ("__name__", "__qualname__", "__module__", "__doc__")


def _reduce_dispatcher(dispatcher: Any) -> tuple[Any, ...]:
    """Pickle what `singledispatch` made: its functions, and what it is called."""
    attributes = {name: value for name, value in vars(dispatcher).items() if name not in _OWN_NAMES}
    attributes |= {name: getattr(dispatcher, name) for name in _NAMES}
    state = (dict(dispatcher.registry), attributes)
    return functools.singledispatch, (_NOTHING,), state, None, None, _RESTORE


# What guards or belongs to the threads of one process: in another it begins as it would if its module were imported there.
_MADE_ANEW: dict[type, Callable[[], object]] = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
    threading.local: threading.local,
}
_BOUND = {
    Future: "a future cannot be sent to a worker, where nobody would complete it: send its result",
    threading.Thread: "a thread cannot be sent to a worker: start it there",
}
_BOUND_KINDS = tuple(_BOUND)


class _RecordingPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle is not typed
    """Notes which modules the pickle will import when it is loaded."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.modules: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        """Pickle what cloudpickle cannot, and write down what it takes by name."""
        make = _MADE_ANEW.get(type(obj))
        if make is not None:
            return make, ()
        if isinstance(obj, _BOUND_KINDS):
            raise TypeError(next(words for kind, words in _BOUND.items() if isinstance(obj, kind)))
        if is_dispatcher(obj) and _travels_by_value(obj):
            return _reduce_dispatcher(obj)
        if isinstance(obj, functools._lru_cache_wrapper) and _travels_by_value(obj):
            return operator.call, (_MakesCache(**obj.cache_parameters()), obj.__wrapped__)
        if isinstance(obj, functools.cached_property):  # it has a lock before Python 3.12
            return functools.cached_property, (obj.func,), {"attrname": obj.attrname}
        reduced = super().reducer_override(obj)
        if isinstance(obj, ModuleType):
            self.modules.add(obj.__name__)
        elif reduced is NotImplemented and hasattr(
            obj, "__name__"
        ):  # else an instance, whose class comes next
            module = getattr(obj, "__module__", None)
            self.modules.add(module if isinstance(module, str) else type(obj).__module__)
        return reduced


def pack_value(value: object) -> tuple[bytes, frozenset[str]]:
    """Pickle a value, and name the modules that have to be there where it is loaded, the standard library's aside."""
    file = io.BytesIO()
    pickler = _RecordingPickler(file)
    pickler.dump(value)
    if not pickler.modules:
        return file.getvalue(), _NO_MODULES
    return file.getvalue(), frozenset(
        name for module in pickler.modules if (name := _name_requirement(module))
    )


def can_travel(value: object) -> bool:
    """Tell whether a value can be pickled."""
    try:
        pack_value(value)
    except Exception:  # noqa: BLE001 - whatever it raises, it cannot
        return False
    return True


_NO_MODULES: frozenset[str] = frozenset()

_ALWAYS_THERE = sys.stdlib_module_names | {"", "__main__", "cloudpickle"}

_STAND_INS = frozenset({"parsl.errors", "parsl.app.errors", "parsl.data_provider.files"})
"""Modules of Parsl for whose classes `scripts/call.py` has stand-ins."""


@functools.cache
def _name_requirement(module: str) -> str | None:
    """Name what has to be there for a module to be imported: its top level where that says enough."""
    top = module.partition(".")[0]
    if top in _ALWAYS_THERE or module in _STAND_INS:
        return None
    path = getattr(sys.modules.get(top), "__file__", None)  # a namespace package has none
    return module if path is None or is_users(top, path) else top

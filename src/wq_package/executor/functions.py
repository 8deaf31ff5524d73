"""From what Parsl hands to `submit` back to the user's function, and from there to bytes (logic module).

Knows the wrappers that Parsl puts round an app and which of them can be taken off without changing what the app does;
knows nothing of environments, files or queues.

- `wrap_error` comes off: the worker's own answer tells a raised exception from a value.
- a walltime comes off and is put back by `scripts/call.py`, which needs no Parsl.
- `remote_side_bash_executor` likewise: the command line is made and run by `scripts/call.py`.
- anything else of Parsl's (monitoring, staging inside the task) stays on: the callable travels whole, and its environment
  needs the Parsl of the submit side.

A function of a module that defines apps travels by value, with the globals that it uses, so that the module itself,
its `import parsl` and its decorators never run on the worker. Other modules travel by name.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import hashlib
import io
import operator
import pickle
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import cloudpickle
from parsl.app.app import AppBase
from parsl.app.bash import remote_side_bash_executor
from parsl.app.errors import wrap_error
from parsl.app.python import timeout
from parsl.monitoring.remote import monitor_wrapper

from wq_package.executor.failures import UnsendableError
from wq_package.task import Function

__all__ = [
    "AppKey",
    "AppKind",
    "ResolvedApp",
    "Shipment",
    "find_roots",
    "is_users",
    "pack_function",
    "pack_value",
    "resolve_app",
]


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


@dataclass(frozen=True, slots=True)
class AppKey:
    """What an app's environment hangs on: where its functions stand, never which object holds them.

    Attributes:
        places: file, first line, qualified name and code of each function of the user's.
        modules: what its pickles import by name when they are loaded.
        needs_parsl: whether it travels with Parsl's wrappers on.
        given: the archive or spec file that the user wants for it; then nothing else counts.
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
    """

    function: Function
    name: str
    kind: AppKind
    key: AppKey
    modules: frozenset[str]


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
        elif _is_parsl_wrapper(inner):
            return ResolvedApp(func, AppKind.WHOLE, _name_callable(_find_innermost(inner)))
        else:
            return ResolvedApp(inner, AppKind.PYTHON, _name_callable(inner), walltime)


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
    return getattr(function, "__wrapped__", None)


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
    if function.__code__ in (_WRAP_ERROR, _TIMEOUT) or _is_parsl_wrapper(function):
        return False
    return is_users(function.__module__, function.__code__.co_filename) or not _is_importable(function)


def _is_importable(function: FunctionType) -> bool:
    """Tell whether a function is found under its name; where a decorator made an app of it, the app is found."""
    found: object = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function


def _iter_parts(item: object) -> Iterator[object]:
    if isinstance(item, functools.partial):
        yield from (item.func, *item.args, *item.keywords.values())
    elif isinstance(item, MethodType):
        yield item.__func__
        yield from _iter_methods(type(item.__self__))
    elif isinstance(item, FunctionType):
        for cell in item.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # a name that is not bound yet
                continue
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


# -- to bytes ------------------------------------------------------------------------------------------------------------


def pack_function(app: ResolvedApp, roots: tuple[FunctionType, ...]) -> Shipment:
    """Turn a callable, and the user's functions found in it, into the bytes that a worker's interpreter loads.

    Raises:
        UnsendableError: it cannot be pickled.
    """
    _register_own_modules(roots)
    try:
        payload, modules = pack_value(app.function)
    except Exception as error:  # whatever the objects it refers to raise
        raise UnsendableError(f"app `{app.name}` cannot be pickled: {error}") from error
    body = _pickle_script(app, payload)
    places = tuple(_locate(root) for root in roots)
    key = AppKey(places, tuple(sorted(modules)), app.kind is AppKind.WHOLE, edition=_stamp_own_files())
    return Shipment(Function(hashlib.sha256(body).hexdigest(), body), app.name, app.kind, key, modules)


def _stamp_own_files() -> int:
    """Tell one state of the user's loaded modules from another: a notebook edits and reloads them."""
    stamps: list[tuple[str, int]] = []
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path is not None and is_users(name, path):
            with contextlib.suppress(OSError):
                stamps.append((path, Path(path).stat().st_mtime_ns))
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


class _RecordingPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle is not typed
    """Notes which modules the pickle will import when it is loaded."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.modules: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
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

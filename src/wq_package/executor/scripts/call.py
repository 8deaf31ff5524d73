"""What a shipped function is made of on the worker (runs in the interpreter of an environment; data to this package).

Executed as text, never imported: the worker has no wq-package, the environment need not have Parsl. Knows how Parsl
calls a python app and a bash app; knows nothing of wires, sandboxes or archives. Standard library only, Python 3.8.

The namespace it runs in brings `arguments`, those of `_make_call` at the end. It leaves the callable under the key `None`, because that is what `exec`
returns and so what the pickle that runs it looks up; see `wq_package.executor.shipments`.
"""

# The classes have the names of Parsl's, and a worker's interpreter is spared pathlib.
# ruff: noqa: N818, PTH103, PTH110, PTH120, PTH123

from __future__ import annotations

import ctypes
import importlib.util
import os
import pickle
import subprocess
import sys
import threading
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, Any


# -- the few names of Parsl that cross the wire --------------------------------------------------------------------------
# Where Parsl is not installed these stand in for its classes, under Parsl's own module names, so that a `File` or an
# `AppTimeout` pickled on one side is the right class on the other.


class ParslError(Exception):
    """As in Parsl."""


class AppException(ParslError):
    """As in Parsl."""


class AppBadFormatting(ParslError):
    """As in Parsl."""


class BashExitFailure(AppException):
    """As in Parsl."""

    def __init__(self, app_name: str, exitcode: int) -> None:
        self.app_name = app_name
        self.exitcode = exitcode

    def __str__(self) -> str:
        return f"bash_app {self.app_name} failed with unix exit code {self.exitcode}"


class AppTimeout(AppException):
    """As in Parsl."""


class BashAppNoReturn(AppException):
    """As in Parsl."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MissingOutputs(ParslError):
    """As in Parsl."""

    def __init__(self, reason: str, outputs: list[Any]) -> None:
        super().__init__(reason, outputs)
        self.reason = reason
        self.outputs = outputs

    def __str__(self) -> str:
        return f"Missing Outputs: {self.outputs}, Reason: {self.reason}"


class BadStdStreamFile(ParslError):
    """As in Parsl."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self._reason = reason

    def __str__(self) -> str:
        return f"Bad Stream File: {self._reason}"


class File:
    """As in Parsl; made by unpickling only."""

    url: str
    scheme: str
    netloc: str
    path: str
    filename: str
    local_path: str | None

    def cleancopy(self) -> File:
        """Copy all but the local path."""
        copy = File.__new__(File)
        copy.__dict__.update(self.__dict__)
        copy.local_path = None
        return copy

    @property
    def filepath(self) -> str:
        """Where the file is, on the side where this is asked."""
        if self.local_path is not None:
            return self.local_path
        if self.scheme == "file":
            return self.path
        raise ValueError(f"No local_path set for {self!r}")

    def __str__(self) -> str:
        return self.filepath

    def __fspath__(self) -> str:
        return self.filepath

    def __repr__(self) -> str:
        return f"<File at 0x{id(self):x} url={self.url} local_path={self.local_path}>"


_STAND_INS = {
    "parsl": (),
    "parsl.errors": (ParslError,),
    "parsl.app": (),
    "parsl.app.errors": (
        AppException, AppBadFormatting, BashExitFailure, AppTimeout, BashAppNoReturn, MissingOutputs, BadStdStreamFile,
    ),
    "parsl.data_provider": (),
    "parsl.data_provider.files": (File,),
}  # fmt: skip


def _stand_in_for_parsl() -> None:
    if "parsl" in sys.modules or importlib.util.find_spec("parsl") is not None:
        return
    for module_name, classes in _STAND_INS.items():
        module = types.ModuleType(module_name, "Stands in for Parsl, which this environment does not have.")
        module.__path__ = []
        for member in classes:
            member.__module__ = module_name
            setattr(module, member.__name__, member)
        sys.modules[module_name] = module
        parent, _, child = module_name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


# -- a python app --------------------------------------------------------------------------------------------------------


def _limit(function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    """Raise Parsl's `AppTimeout` in the calling thread when the call takes too long, as Parsl's `timeout` does."""
    from parsl.app.errors import AppTimeout as Timeout

    def call(*args: Any, **kwargs: Any) -> Any:
        thread = threading.get_ident()
        lock = threading.Lock()
        ended: list[bool] = []

        def interrupt() -> None:
            with lock:
                if not ended:
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(thread), ctypes.py_object(Timeout)
                    )

        timer = threading.Timer(seconds, interrupt)
        timer.daemon = True
        timer.start()
        try:
            return function(*args, **kwargs)
        finally:
            with lock:  # an interrupt that comes later would hit whatever this thread does next
                ended.append(True)
            timer.cancel()

    return call


# -- a bash app ----------------------------------------------------------------------------------------------------------


def _make_bash_call(function: Callable[..., Any]) -> Callable[..., Any]:
    app = getattr(function, "__name__", "bash_app")

    def call(*args: Any, **kwargs: Any) -> int:
        command = _make_command(app, function, args, kwargs)
        with _open_stream("stdout", kwargs) as out, _open_stream("stderr", kwargs) as err:
            if err.file is not None:
                err.file.write(f"--> executable follows <--\n{command}\n--> end executable <--\n")
                err.file.flush()
            code = _run_command(app, command, (out.file, err.file), kwargs.get("walltime"))
        _check_outputs(app, code, kwargs.get("outputs", []))
        return code

    return call


def _make_command(
    app: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> str:
    import parsl.app.errors as pe

    command = None
    try:
        command = function(*args, **kwargs)
        if not isinstance(command, str):
            raise ValueError(f"Expected a str for bash_app commandline, got {type(command)}")
    except AttributeError as error:
        if command is not None:
            raise pe.AppBadFormatting(
                f"App formatting failed for app '{app}' with AttributeError: {error}"
            ) from error
        raise pe.BashAppNoReturn(
            f"Bash app '{app}' did not return a value, or returned None - with this exception: {error}"
        ) from error
    except IndexError as error:
        raise pe.AppBadFormatting(
            f"App formatting failed for app '{app}' with IndexError: {error}"
        ) from error
    return command


class _Stream:
    def __init__(self, file: IO[str] | None) -> None:
        self.file = file

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.file is not None:
            self.file.close()


def _open_stream(stream: str, kwargs: dict[str, Any]) -> _Stream:
    import parsl.app.errors as pe

    wanted = kwargs.get(stream)
    if wanted is None:
        return _Stream(None)
    path, mode = _name_stream(stream, wanted)
    try:
        if os.path.dirname(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        return _Stream(open(path, mode))
    except Exception as error:
        raise pe.BadStdStreamFile(str(path)) from error


def _name_stream(stream: str, wanted: Any) -> tuple[str, str]:
    import parsl.app.errors as pe

    if type(wanted).__name__ == "File":
        return os.fspath(wanted), "w"
    if isinstance(wanted, tuple):
        if len(wanted) != 2:
            raise pe.BadStdStreamFile(f"std descriptor {stream} has incorrect tuple length {len(wanted)}")
        path, mode = wanted
    else:
        path, mode = wanted, "a+"
    try:
        return os.fsdecode(path), mode
    except TypeError:
        raise pe.BadStdStreamFile(f"fname has invalid type {type(path)}") from None


def _run_command(app: str, command: str, streams: tuple[Any, Any], limit: float | None) -> int:
    import parsl.app.errors as pe

    try:
        process = subprocess.Popen(  # noqa: S602 - a shell command is what a bash app is
            command,
            stdout=streams[0],
            stderr=streams[1],
            shell=True,
            executable="/bin/bash",
            close_fds=False,
        )
    except Exception as error:
        raise pe.AppException(f"App {app} caught exception", error) from error
    try:
        return process.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        raise pe.AppTimeout(f"App {app} exceeded walltime: {limit} seconds") from None
    finally:
        if process.poll() is None:  # Parsl leaves it running
            process.kill()
            process.wait()


def _check_outputs(app: str, code: int, outputs: list[Any]) -> None:
    import parsl.app.errors as pe

    if code != 0:
        raise pe.BashExitFailure(app, code)
    missing = [output for output in outputs if not os.path.exists(output.filepath)]
    if missing:
        raise pe.MissingOutputs(f"Missing outputs from app {app}", missing)


# -- a callable with Parsl's wrappers on, which are other objects for each call ------------------------------------------


def _call_wrapper(wrapper: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return pickle.loads(wrapper)(*args, **kwargs)


# -- which of them -------------------------------------------------------------------------------------------------------


def _make_call(
    kind: str, name: str, python: tuple[int, int], walltime: float | None, payload: bytes
) -> Callable[..., Any]:
    """Make the callable.

    Args:
        kind: "python", "bash" or "whole"; the last has no payload here but one with each call.
        name: what the user calls the app.
        python: the version that pickled the function.
        walltime: seconds after which a python app is interrupted.
        payload: a cloudpickle of the function.
    """
    if sys.version_info[:2] != python:
        # The pickle holds bytecode, which another Python would misread, or crash on.
        here = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise RuntimeError(
            f"app `{name}` was sent by Python {python[0]}.{python[1]}, and the worker's interpreter is Python {here}: "
            "use pack=True, or start the workers with the same Python"
        )
    _stand_in_for_parsl()
    if kind == "whole":
        return _call_wrapper
    function = pickle.loads(payload)
    if kind == "bash":
        return _make_bash_call(function)
    if walltime is not None:
        return _limit(function, walltime)
    return function  # type: ignore[no-any-return]  # whatever was pickled


globals()[None] = _make_call(**globals()["arguments"])  # type: ignore[index]  # see the top

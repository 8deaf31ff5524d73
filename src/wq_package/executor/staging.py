"""Which files a task brings along and leaves behind, and under which names its app finds them (shell module).

Knows Parsl's `File` and its keywords `inputs`, `outputs`, `stdout` and `stderr`; knows nothing of how files travel. Touches the
disk only for streams: is one that is appended to there already, and can its folder be written.

A file with a relative path is staged through the sandbox under the same relative path. One with an absolute path is taken
to be visible to the worker, as with Parsl's own executors; only the streams of a bash app, whose absolute paths Parsl
itself may have chosen (`AUTO_LOGNAME`), are staged too. On a shared file system nothing is staged, and relative paths
become absolute ones.
"""

# Paths are only names here, and Parsl has them as text.
# ruff: noqa: PTH100, PTH103, PTH110, PTH117, PTH120

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from parsl.app.errors import BadStdStreamFile
from parsl.data_provider.files import File
from parsl.utils import get_std_fname_mode

from wq_package.task import InputFile, OutputFile

__all__ = ["Cargo", "StagingOptions", "stage_files"]

_STREAMS = ("stdout", "stderr")
_OUTSIDE = ".wq-package-outside"
"""Folder in the sandbox for files whose own relative path would lead out of it."""


@dataclass(frozen=True, slots=True)
class StagingOptions:
    """How files are staged for one app.

    Attributes:
        is_bash: streams are opened for the app, so they are checked, and staged even with absolute paths.
        cache: keep inputs on the worker for other tasks.
    """

    shared_fs: bool = False
    is_bash: bool = False
    cache: bool = True


@dataclass(frozen=True, slots=True)
class Cargo:
    """What travels with a call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[InputFile, ...] = ()
    outputs: tuple[OutputFile, ...] = ()


def stage_files(args: Sequence[Any], kwargs: dict[str, Any], options: StagingOptions) -> Cargo:
    """Find the files of a call; what Parsl handed over is not changed."""
    if not _has_files(args, kwargs):
        return Cargo(tuple(args), kwargs)
    plan = _Plan(options)
    staged_args = tuple(plan.stage(item, is_output=False) for item in args)
    return Cargo(
        staged_args, plan.stage_keywords(kwargs), tuple(plan.inputs.values()), tuple(plan.outputs.values())
    )


def _has_files(args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    for item in args:
        if isinstance(item, File):
            return True
    for key, item in kwargs.items():
        if key in _STREAMS:
            if item is not None:
                return True
        elif isinstance(item, File) or (key in ("inputs", "outputs") and item):
            return True
    return False


class _Plan:
    def __init__(self, options: StagingOptions) -> None:
        self.options = options
        self.inputs: dict[str, InputFile] = {}
        self.outputs: dict[str, OutputFile] = {}

    def stage_keywords(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        staged: dict[str, Any] = {}
        for key, item in kwargs.items():
            if key in ("inputs", "outputs") and isinstance(item, list | tuple):
                staged[key] = [self.stage(member, is_output=key == "outputs") for member in item]
            elif key in _STREAMS:
                staged[key] = self.stage_stream(key, item)
            else:
                staged[key] = self.stage(item, is_output=False)
        return staged

    def stage(self, item: Any, *, is_output: bool) -> Any:
        if not isinstance(item, File) or (item.scheme != "file" and item.local_path is None):
            return item
        path = item.filepath
        if os.path.isabs(path):
            return item
        if item.scheme != "file" and not is_output and not os.path.exists(path):
            return item  # a staging provider will put it there, inside the task
        if self.options.shared_fs:
            return _place(item, os.path.abspath(path))
        name = self._name(path)
        if is_output:
            self.outputs[name] = OutputFile(name, os.path.abspath(path))
        else:
            self._bring(name, path)
        return item if name == path else _place(item, name)

    def stage_stream(self, key: str, wanted: Any) -> Any:
        if isinstance(wanted, File):
            return self.stage(wanted, is_output=True)
        if wanted is None:
            return None
        if not self.options.is_bash and not _is_stream(wanted):
            return wanted  # a python app may have any parameter of that name
        path, mode = get_std_fname_mode(key, wanted)
        if self.options.shared_fs:
            return wanted if os.path.isabs(path) else (os.path.abspath(path), mode)
        if os.path.isabs(path) and not self.options.is_bash:
            return wanted
        if self.options.is_bash:
            _make_folder(path)
        name = self._name(path)
        self.outputs[name] = OutputFile(name, os.path.abspath(path))
        if mode.startswith(("a", "r")) and os.path.exists(path):
            self.inputs[name] = InputFile(name, path=os.path.abspath(path), cache=False)
        return wanted if name == path else (name, mode)

    def _bring(self, name: str, path: str) -> None:
        self.inputs.setdefault(name, InputFile(name, path=os.path.abspath(path), cache=self.options.cache))

    def _name(self, path: str) -> str:
        name = os.path.normpath(path)
        if os.path.isabs(name) or name.startswith(".."):
            number = len(self.inputs) + len(self.outputs)
            return f"{_OUTSIDE}/{number}/{PurePath(name).name}"
        return name


def _is_stream(wanted: object) -> bool:
    name = wanted[0] if isinstance(wanted, tuple) and len(wanted) == 2 else wanted
    return isinstance(name, str | os.PathLike)


def _make_folder(path: str) -> None:
    """Make the folder of a stream, as Parsl does where the app runs; a bad one is told before anything runs."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise BadStdStreamFile(path) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadStdStreamFile(path)


def _place(file: File, path: str) -> File:
    copy = file.cleancopy()
    copy.local_path = path
    return copy

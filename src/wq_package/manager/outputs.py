"""Stores what a worker sends back, out of sight until it is complete (shell module).

An output is written beside its destination and renamed when its last byte is there. The paths that a worker sends are
not trusted.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from wq_package.errors import RemoteProtocolError
from wq_package.manager.bodies import BodyGatherer
from wq_package.manager.state.actions import Fetch
from wq_package.manager.state.events import OutputFetched

MOST_LEVELS = 200
"""Folders in each other that an input or output may have: Python's own functions for trees fail beyond some hundreds."""


class OutputWriter:
    """Takes in the answer to one `Get`."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._is_missing = False
        self._message = ""
        self._answer = BodyGatherer()
        self._file: BinaryIO | None = None
        self._partial: Path | None = None
        if fetch.path is not None:
            destination = Path(fetch.path)
            self._partial = destination.parent / f".{destination.name}.{secrets.token_hex(6)}.partial"

    def open_file(self, name: str) -> None:
        """Begin a file."""
        inner = self._find_inner(name)
        if self._partial is not None:
            self._guard(self._open, self._partial / inner if inner else self._partial)

    def _open(self, path: Path) -> None:
        _check_depth(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "xb", opener=_open_executable)  # noqa: SIM115 - closed by `close_file`

    def write(self, data: bytes) -> None:
        """Take in a piece of the file."""
        if self._partial is None:
            self._answer.add(data)
        elif self._file is not None:
            self._guard(self._file.write, data)

    def close_file(self) -> None:
        """End the file."""
        if self._file is not None:
            self._guard(self._file.close)
            self._file = None

    def add_folder(self, name: str) -> None:
        """Make a folder."""
        inner = self._find_inner(name)
        if self._partial is not None:
            self._guard(_make_folder, self._partial / inner)

    def add_missing(self, name: str) -> None:
        """Note that the worker could not read something."""
        self._find_inner(name)
        self._is_missing = True

    @property
    def task_id(self) -> int:
        """Whose output it is."""
        return self._fetch.task_id

    def abandon(self) -> None:
        """Store nothing, whatever is still to come."""
        self._message = self._message or "the task was cancelled"
        self.discard()

    def finish(self) -> OutputFetched:
        """Publish what came, and tell how it went."""
        fetch = self._fetch
        if self._partial is not None and not self._message and os.path.lexists(self._partial):
            assert fetch.path is not None
            self._guard(_publish, self._partial, Path(fetch.path))
        answer, is_truncated = self._answer.finish()
        if is_truncated:
            self._message = "the answer is too large, or cannot be stored until all of it is there"
        self.discard()
        return OutputFetched(
            fetch.worker,
            fetch.task_id,
            fetch.sandbox_name,
            self._is_missing or bool(self._message),
            answer,
            self._message,
        )

    def discard(self) -> None:
        """Leave nothing half written behind."""
        self._answer.discard()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
        if self._partial is not None:
            with contextlib.suppress(OSError):
                _remove(self._partial)

    def _find_inner(self, name: str) -> str:
        """Tell the path below the output itself.

        Raises:
            RemoteProtocolError: the worker sent something else than what was asked for.
        """
        root = self._fetch.cache_name
        if name == root:
            return ""
        inner = name.removeprefix(f"{root}/")
        parts = inner.split("/")
        if inner == name or "" in parts or "." in parts or ".." in parts or "\0" in inner:
            raise RemoteProtocolError(f"the worker sent `{name}` where `{root}` was asked for")
        return inner

    def _guard(self, act: Callable[..., object], *arguments: object) -> None:
        if self._message:
            return
        try:
            act(*arguments)
        except OSError as error:
            where = self._fetch.path
            self._message = f"output file `{where}` cannot be stored: {error.strerror or error}"
            self.discard()  # at once: a full disk stays full for everybody while the worker goes on sending


def _publish(partial: Path, destination: Path) -> None:
    if not partial.is_dir():
        partial.replace(destination)
        return
    if not os.path.lexists(destination):
        partial.rename(destination)
        return
    for folder, folders, files in os.walk(partial):
        target = destination / Path(folder).relative_to(partial)
        for name in folders:
            if (target / name).is_symlink():  # what a worker sends goes nowhere but below the destination
                raise OSError(errno.ELOOP, f"`{target / name}` is a link to another place")
            (target / name).mkdir(exist_ok=True)
        for name in files:
            (Path(folder) / name).replace(target / name)


def _make_folder(path: Path) -> None:
    _check_depth(path)
    path.mkdir(parents=True, exist_ok=True)


def _check_depth(path: Path) -> None:
    if len(path.parts) > MOST_LEVELS:
        raise OSError(errno.ENAMETOOLONG, "its folders are nested too deeply")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _open_executable(path: str, flags: int) -> int:
    # The wire carries no modes; as with the original manager, everything may be executable.
    return os.open(path, flags, 0o777)

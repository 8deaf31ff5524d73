"""Locks and leases that end with their process (shell module).

Everything rests on `flock`: the kernel gives a lock back whatever way its holder dies. Lock files are never deleted, because a lock on
a deleted file protects nothing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Wait for a lock and hold it alone."""
    file = _open(path)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold a lock alone if nobody else has it, and tell whether that is so."""
    file = _open(path)
    try:
        yield _try(file)
    finally:
        os.close(file)


class Lease:
    """Keeps an environment, and perhaps layers, from eviction until it is closed or its process ends.

    Any number of processes may hold leases on one environment.

    Args:
        paths: lock files of what is kept.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files: list[int] = []
        try:
            for path in paths:
                self._files.append(_open(path))
                fcntl.flock(self._files[-1], fcntl.LOCK_SH)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def keep_over_exec(self) -> None:
        """Let the program that replaces this one hold the lease."""
        for file in self._files:
            fcntl.fcntl(file, fcntl.F_SETFD, 0)

    def close(self) -> None:
        """Give the lease back; harmless if it was."""
        while self._files:
            with suppress(OSError):
                os.close(self._files.pop())


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

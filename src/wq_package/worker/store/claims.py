"""Which process fetches a layer that the store lacks (shell module).

A claim is a lock on a file, so the kernel gives it back whatever way its holder dies. It only saves work: a layer that two
processes fetch all the same is published once. Nobody waits here, and a claim is held for no longer than the layer is on its
way, so claims that are taken in any order cannot block each other.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

STALL_SECONDS = 60.0
"""A claim whose holder lives but has not got a byte for so long counts for nothing."""
_NOTE_SECONDS = 5.0


class Claims:
    """The layers that one process has undertaken to fetch. Safe from several threads.

    Args:
        folder: of the lock files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}
        self._noted: dict[str, float] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def take(self, digest: str) -> bool:
        """Undertake to fetch a layer, unless somebody else has, or this process already.

        Raises:
            OSError: the store cannot be written.
        """
        with self._lock:
            if self._is_closed or digest in self._held:
                return False
            file = os.open(self._folder / f"{digest}.claim", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                is_mine = _try(file) or _is_stalled(file)
                if is_mine:
                    os.utime(file)  # from now on, our own progress counts
                    self._held[digest] = file
                    self._noted[digest] = time.monotonic()
            except OSError:
                os.close(file)
                raise
            if not is_mine:
                os.close(file)
            return is_mine

    def note_progress(self, digest: str) -> None:
        """Let the others see that a claimed layer is still arriving; cheap enough for every piece."""
        now = time.monotonic()
        if now - self._noted.get(digest, now) < _NOTE_SECONDS:
            return
        with self._lock, suppress(OSError):
            if digest in self._held:
                self._noted[digest] = now
                os.utime(self._held[digest])

    def give_back(self, digest: str) -> None:
        """Let others fetch a layer, if it is not there; harmless if it was not claimed."""
        with self._lock:
            file = self._held.pop(digest, None)
            self._noted.pop(digest, None)
            if file is not None:
                os.close(file)

    def close(self) -> None:
        """Give everything back, and take nothing more."""
        with self._lock:
            self._is_closed = True
            while self._held:
                os.close(self._held.popitem()[1])


def _try(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_stalled(file: int) -> bool:
    return time.time() - os.fstat(file).st_mtime > STALL_SECONDS

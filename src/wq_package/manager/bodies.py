"""Gathers what a task printed or answered until all of it is there (shell module).

Small bodies stay in memory, larger ones go to a file without a name: many workers that have announced a gigabyte each
must not fill the manager's memory with what may never be complete.
"""

from __future__ import annotations

import tempfile
from typing import BinaryIO

LARGEST_BODY = 2**30
"""More of a task's output or answer than this is thrown away."""
KEPT_IN_MEMORY = 2**20


class BodyGatherer:
    """One body after the other."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._file: BinaryIO | None = None
        self._is_lost = False

    def add(self, piece: bytes) -> None:
        """Take in a piece."""
        self._size += len(piece)
        if self._size > LARGEST_BODY or self._is_lost:
            self._is_lost = True
        elif self._size <= KEPT_IN_MEMORY:
            self._pieces.append(piece)
        else:
            self._store(piece)

    def _store(self, piece: bytes) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `finish` and `discard`
                self._file.write(b"".join(self._pieces))
                self._pieces.clear()
            self._file.write(piece)
        except OSError:  # the disk is full: as if it were larger than we take
            self._is_lost = True

    def finish(self) -> tuple[bytes, bool]:
        """Give the body, and whether something of it was thrown away; begin with the next."""
        is_truncated = self._is_lost
        if self._file is not None:
            try:
                self._file.seek(0)
                body = self._file.read()
            except OSError:
                body, is_truncated = b"", True
        else:
            body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self.discard()
        return body, is_truncated

    def discard(self) -> None:
        """Forget what was gathered."""
        self._pieces = []
        self._size, self._is_lost = 0, False
        if self._file is not None:
            self._file.close()
            self._file = None

"""Bodies that are gathered: small ones in memory, large ones in files (shell module).

Knows pieces in the order in which they come, and where a function is kept; knows nothing of tasks.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import BinaryIO

from wq_package.archive.scripts.warm.packets import INLINE_LIMIT
from wq_package.errors import RemoteProtocolError

__all__ = ["BodyReceiver", "BodyWatch", "keep_function"]

STALL_SECONDS = 60.0
"""A body of which nothing has come for so long is not counted on any more."""


class BodyReceiver:
    """Gathers one body after the other.

    Args:
        folder: for the files of large ones; made if absent.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._last = 0
        self._pieces: list[bytes] = []
        self._file: BinaryIO | None = None
        self._path = ""

    def begin(self, size: int) -> None:
        """Begin a body.

        Raises:
            OSError: the disk is full, or refuses.
        """
        self._pieces = []
        self._path = ""
        if size > INLINE_LIMIT:
            self._last += 1
            self._path = f"{self._folder}/{time.monotonic_ns()}.{self._last}"
            self._file = open(self._path, "wb", buffering=0)  # noqa: SIM115 - closed by finish or abort

    def take(self, piece: bytes) -> None:
        """Add a piece.

        Raises:
            OSError: the disk is full, or refuses.
        """
        if self._file is None:
            self._pieces.append(piece)
            return
        view = memoryview(piece)
        while view:
            view = view[self._file.write(view) :]

    def finish(self) -> tuple[bytes, str]:
        """Give the body, or the path of its file."""
        self.abort()
        pieces, self._pieces = self._pieces, []
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), self._path

    def abort(self) -> None:
        """Close what is open."""
        if self._file is not None:
            self._file.close()
            self._file = None


class BodyWatch:
    """Knows whether anything has come of late."""

    def __init__(self, now: float) -> None:
        self._received = 0
        self._changed = now

    def is_coming(self, received: int, now: float) -> bool:
        """Tell whether it still comes, by how much there was each time that this was asked."""
        if received != self._received:
            self._received, self._changed = received, now
        return now - self._changed < STALL_SECONDS


def keep_function(digest: str, body: bytes, path: str, folder: Path) -> None:
    """Put a function that has arrived, as bytes or as a file, where warm interpreters look for it.

    Raises:
        RemoteProtocolError: it is not what its digest says.
        OSError: the disk is full, or refuses.
    """
    if path:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    else:
        found = hashlib.sha256(body).hexdigest()
    if found != digest:
        raise RemoteProtocolError(f"the function {digest} arrived damaged")
    target = folder / digest
    if not path:
        path = f"{target}.part"
        Path(path).write_bytes(body)
    os.replace(path, target)

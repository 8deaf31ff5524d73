"""How the bytes of a layer go from the loop to a thread that blocks (shell module).

Knows pieces in the order in which they come. When they come faster than the thread takes them, the link is left unread, so that
memory stays bounded. Knows nothing of what they mean.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO

from wq_package.errors import CorruptArchiveError

__all__ = ["CopyingReader", "LayerFeed"]

_ROOM_BYTES = 8 * 2**20


class LayerFeed(io.RawIOBase):
    """A file that the loop writes and a thread reads, with room for some megabytes.

    Args:
        loop: the loop that writes.
        on_read: called in the thread whenever some bytes have come.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_read: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._loop = loop
        self._on_read = on_read
        self._condition = threading.Condition()
        self._pieces: deque[memoryview] = deque()
        self._waiting = 0
        self._is_complete = False
        self._is_aborted = False
        self._room = asyncio.Event()
        self._room.set()

    # -- in the loop ---------------------------------------------------------------------------------------------------

    def feed(self, piece: bytes) -> None:
        """Append a piece; `wait_for_room` says when more is welcome."""
        with self._condition:
            if self._is_aborted:
                return
            self._pieces.append(memoryview(piece))
            self._waiting += len(piece)
            if self._waiting > _ROOM_BYTES:
                self._room.clear()
            self._condition.notify()

    def complete(self) -> None:
        """Say that this was everything."""
        with self._condition:
            self._is_complete = True
            self._condition.notify()

    def abort(self) -> None:
        """Say that no more will come, or that no more is read: both sides give up."""
        with self._condition:
            self._is_aborted = True
            self._pieces.clear()
            self._condition.notify()
        self._loop.call_soon_threadsafe(self._room.set)

    async def wait_for_room(self) -> None:
        """Wait until the thread has caught up."""
        await self._room.wait()

    # -- in the thread -------------------------------------------------------------------------------------------------

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # narrower than typeshed's
        """Wait for bytes and give them; 0 at the end."""
        view = memoryview(buffer)
        with self._condition:
            while not (self._pieces or self._is_complete or self._is_aborted):
                self._condition.wait()
            if self._is_aborted:
                raise CorruptArchiveError("layer", ("the connection was lost while it arrived",))
            if not self._pieces:
                return 0
            piece = self._pieces[0]
            count = min(len(piece), len(view))
            view[:count] = piece[:count]
            self._consume(count)
        self._on_read()
        return count

    def _consume(self, count: int) -> None:
        piece = self._pieces[0]
        if count == len(piece):
            self._pieces.popleft()
        else:
            self._pieces[0] = piece[count:]
        self._waiting -= count
        if not self._room.is_set() and self._waiting <= _ROOM_BYTES // 2:
            self._loop.call_soon_threadsafe(self._room.set)


class CopyingReader(io.RawIOBase):
    """Gives what it reads, and writes it to a file as well, as long as that works."""

    def __init__(self, source: LayerFeed, copy: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self._copy: BinaryIO | None = copy

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # narrower than typeshed's
        """Read, and copy."""
        count = self._source.readinto(buffer)
        view = memoryview(buffer)[:count]
        try:
            while len(view) and self._copy is not None:
                view = view[self._copy.write(view) :]
        except OSError:  # the disk is full: it is only not passed on
            self._copy = None
        return count

"""Bytes that have arrived and are not yet read (logic module).

Knows lines and counts. Knows nothing of what they mean. Every read is bounded, and none copies what stays behind more
than once.
"""

from __future__ import annotations

from collections.abc import Generator

from wq_package.errors import RemoteProtocolError

MAX_LINE = 4096
"""Longest line, its end included: a real peer drops whoever sends a longer one."""

Wait = Generator[None, None, bytes]
"""A read that yields whenever bytes are missing, and returns what it read."""


class ReceiveBuffer:
    """Holds what has arrived; gives out whole lines and counted pieces."""

    def __init__(self) -> None:
        self._data = b""
        self._start = 0
        self._is_complete = False

    def __len__(self) -> int:
        return len(self._data) - self._start

    def feed(self, data: bytes | memoryview) -> None:
        """Append what has arrived."""
        if self._start == len(self._data):
            # The usual case keeps the caller's object: a body that streams through is copied once, when it is cut.
            self._data = bytes(data)
        else:
            self._data = self._data[self._start :] + bytes(data)
        self._start = 0

    def take_line(self) -> bytes | None:
        """Take a line without its end, or `None` if it is not complete.

        Carriage returns are dropped wherever they stand.

        Raises:
            RemoteProtocolError: the line is longer than `MAX_LINE`.
        """
        start = self._start
        end = self._data.find(b"\n", start, start + MAX_LINE)
        if end < 0:
            if len(self._data) - start >= MAX_LINE:
                raise RemoteProtocolError(f"the peer sent a line of more than {MAX_LINE} bytes")
            return None
        self._start = end + 1
        line = self._data[start:end]
        return line.replace(b"\r", b"") if b"\r" in line else line

    def take(self, count: int) -> bytes:
        """Take at most `count` bytes, which may be none."""
        start = self._start
        if not start and count >= len(self._data):
            piece, self._data = self._data, b""
            return piece
        piece = self._data[start : start + count]
        self._start = start + len(piece)
        return piece

    def read_line(self) -> Wait:
        """Read a line, yielding until it is complete."""
        while (line := self.take_line()) is None:
            yield
        return line

    def read_exactly(self, count: int) -> Wait:
        """Read `count` bytes, yielding until they are there. For small counts only: it gathers them."""
        piece = self.take(count)
        if len(piece) == count:
            return piece
        pieces = [piece]
        missing = count - len(piece)
        while missing:
            yield
            piece = self.take(missing)
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

"""What a worker has still to send, in order (shell module).

Knows a link and files. A body that comes from a file takes time; whatever is sent meanwhile waits here behind it, so
that no message lands inside another one's body.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from wq_package.errors import LocalProtocolError
from wq_package.link import Link
from wq_package.protocol import messages as wire
from wq_package.protocol.printing import escape_controls
from wq_package.worker.cache import iter_entry, open_file, open_whole, remove_tree

__all__ = ["Outbox"]

_INLINE_LIMIT = 64 * 1024
_LONGEST_NAME = 1000


@dataclass(frozen=True, slots=True)
class _FileBody:
    """A header whose body is a file, which is removed afterwards, and what is said if that is not to be had."""

    header: wire.Message
    path: str
    size: int
    otherwise: wire.Message


@dataclass(frozen=True, slots=True)
class _Entry:
    """The answer to `Get`."""

    name: str
    path: str | None
    is_recursive: bool


_Item = tuple[wire.Message, bytes] | _FileBody | _Entry


class Outbox:
    """Sends in order; at once while nothing long is on its way.

    Args:
        on_error: called when something could not be sent, with why.
    """

    def __init__(self, link: Link, on_error: Callable[[Exception], None]) -> None:
        self._link = link
        self._on_error = on_error
        self._items: deque[_Item] = deque()
        self._pump: asyncio.Task[None] | None = None

    def send(self, message: wire.Message, body: bytes = b"") -> None:
        """Send a message and its body."""
        if self._pump is not None:
            self._items.append((message, body))
            return
        self._link.send(message)
        if body:
            self._link.send_body(body)

    def send_file(self, header: wire.Message, path: str, size: int, otherwise: wire.Message) -> None:
        """Send a message whose body is a file, which is removed then; `otherwise` if it cannot be read."""
        if size > _INLINE_LIMIT:
            self._append(_FileBody(header, path, size, otherwise))
            return
        file = open_whole(path, size)
        if file is None:
            self.send(otherwise)
        else:
            with file:
                self.send(header, file.read(size))
        remove_tree(path)

    def send_entry(self, name: str, path: str | None, *, is_recursive: bool) -> None:
        """Send what `Get` asked for."""
        self._append(_Entry(name, path, is_recursive))

    @property
    def is_busy(self) -> bool:
        """Whether something long is on its way."""
        return self._pump is not None

    async def close(self) -> None:
        """Give up what is still to be sent, and remove its files; the link is gone."""
        if (pump := self._pump) is not None:
            pump.cancel()
            await asyncio.wait([pump])
        while self._items:
            item = self._items.popleft()
            if isinstance(item, _FileBody):
                remove_tree(item.path)

    def _append(self, item: _Item) -> None:
        self._items.append(item)
        if self._pump is None:
            self._pump = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._items:
                await self._send_item(self._items.popleft())
        except Exception as error:  # noqa: BLE001 - the top of this task: the session decides
            self._on_error(error)
        finally:
            self._pump = None

    async def _send_item(self, item: _Item) -> None:
        if isinstance(item, _FileBody):
            await self._send_file_body(item)
        elif isinstance(item, _Entry):
            await self._send_entry(item)
        else:
            message, body = item
            self._link.send(message)
            if body:
                self._link.send_body(body)

    async def _send_file_body(self, item: _FileBody) -> None:
        try:
            file = open_whole(item.path, item.size)
            if file is None:
                self._link.send(item.otherwise)
                return
            with file:
                self._link.send(item.header)
                await self._link.send_file(file, 0, item.size)
        finally:
            remove_tree(item.path)

    async def _send_entry(self, item: _Entry) -> None:
        for message, path in _iter_answer(item):
            if isinstance(message, wire.File):
                await self._send_opened(message.name, path)
            else:
                self._send_or_miss(message)
            await self._link.drain()
        self._link.send(wire.End())

    async def _send_opened(self, name: str, path: str) -> None:
        """Announce a file only once it is open, with the size that it has now."""
        try:
            file = open_file(path)
        except OSError as error:
            self._send_or_miss(wire.Missing(name, error.errno or errno.EIO))
            return
        with file:
            size = os.fstat(file.fileno()).st_size
            if self._send_or_miss(wire.File(name, size)) and size:
                await self._link.send_file(file, 0, size)

    def _send_or_miss(self, message: wire.Dir | wire.File | wire.Missing) -> bool:
        """Send a part of an answer; tell whether its name can be told at all."""
        try:
            self._link.send(message)
        except LocalProtocolError:  # this manager could not read it: it would drop us and try for ever
            number = message.errno if isinstance(message, wire.Missing) else errno.EINVAL
            self._link.send(wire.Missing(_make_tellable(message.name), number))
            return False
        return True


def _iter_answer(item: _Entry) -> Iterator[tuple[wire.Dir | wire.File | wire.Missing, str]]:
    if item.path is None:
        return iter([(wire.Missing(item.name, errno.ENOENT), "")])
    return iter_entry(item.path, item.name, recursive=item.is_recursive)


def _make_tellable(name: str) -> str:
    """Make what stands for a name that no message can have: with a line break, or longer than a line."""
    text = escape_controls(name)
    return text if len(text) <= _LONGEST_NAME else "…" + text[-_LONGEST_NAME:]

"""One connection between a manager and a worker, as the rest of the program sees it (shell module).

Knows how to wait, to send files, and to close; leaves bytes to `wire` and meaning to the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import socket
from types import TracebackType
from typing import BinaryIO, Self

from wq_package.errors import QueueError
from wq_package.link.wire import BodySink, Consumer, Wire
from wq_package.protocol import messages as m

FILE_PIECE = 256 * 1024
SYSTEM_PIECE = 1024 * 1024
"""Copied by the system in one turn of the loop."""
CLOSE_TIMEOUT = 5.0
"""Seconds that a peer has, when we close, to take what was sent."""


class Link:
    """One connection between a manager and a worker. `connect` and `serve` make them.

    One task receives; one task at a time sends. After a header with a body, nothing else may be sent until its whole
    body was given to `send_body` or `send_file`.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def receive(self) -> list[m.Event]:
        """Wait for events and give all that have come; the last one is `ConnectionClosed`.

        Raises:
            RemoteProtocolError: the peer broke the protocol. The connection is closed.
            AuthenticationError: the peer asks for a password that we do not have.
        """
        wire = self._wire
        while not wire.events:
            if wire.error is not None:
                raise wire.error
            if wire.is_ended or wire.is_closing:
                return [m.ConnectionClosed()]
            wire.is_awaited = True
            await wire.wait()
        wire.is_awaited = False
        return wire.take_events()

    def deliver(self, consumer: Consumer) -> None:
        """Let events be taken in as they come, which spares turns of the loop, while `receive` waits.

        The consumer gives back the events that have to be waited with: those, and what comes until the next `receive`,
        are received. What it raises, `receive` raises.
        """
        self._wire.consumer = consumer

    def divert_body(self, sink: BodySink | None) -> None:
        """Let the body of the header that was just received go uncopied to a function, where possible.

        Pieces that were read with the header still come as `Data`, and so does `EndOfBody`: then give `None`. What the
        function raises, `receive` raises.
        """
        self._wire.body_sink = sink

    def hold(self) -> None:
        """Keep what is sent back until `release`."""
        self._wire.flushes.hold()

    def release(self) -> None:
        """Write out what was sent since `hold`."""
        self._wire.flushes.release()

    def send(self, *messages: m.Message) -> None:
        """Queue messages; they go out together at the end of this turn of the loop.

        Raises:
            LocalProtocolError: one may not be said. Those before it are queued, it and those after it are not.
        """
        wire = self._wire
        if wire.is_traced:
            wire.trace(">", messages)
        for message in messages:
            wire.connection.send(message)
        wire.plan_flush()

    def send_body(self, data: bytes | memoryview) -> None:
        """Queue a piece of the body that the last header announced.

        Raises:
            LocalProtocolError: it is more than announced.
        """
        self._wire.connection.send_body(data)
        self._wire.plan_flush()

    async def send_file(self, file: BinaryIO, offset: int, count: int, *, is_filled_up: bool = False) -> None:
        """Send a part of a file as the body, without reading it into this process where the system can.

        A file that ends early or cannot be read closes the link. For who can tell the peer afterwards that the body is
        worth nothing, it `is_filled_up` with zeros instead, and the link stays.

        Raises:
            LocalProtocolError: it is more than announced.
            QueueError: the connection was lost, or the file ended early or could not be read.
        """
        self._wire.connection.expect_passthrough(count)
        self._wire.flush()
        try:
            sent = await self._copy_file(file, offset, count)
            if sent != count and is_filled_up:
                await self._fill_up(count - sent)
        except OSError as error:
            self.close()
            raise QueueError(
                f"the connection to {self.peer_address} was lost while a file was sent"
            ) from error
        if sent == count:
            return
        if not is_filled_up:
            self.close()
        raise QueueError(
            f"a file ended after {sent} of the {count} bytes to send", hint="do not alter inputs"
        )

    async def drain(self) -> None:
        """Write out what is queued; wait while the peer is too slow to take it. Returns at once if it is gone."""
        await self._wire.drain()

    def close(self) -> None:
        """Close after what was sent; nothing more is received."""
        if self._wire.is_closing:
            return
        self._wire.is_closing = True
        self._wire.flush()
        self._wire.transport.close()
        self._wire.wake_readers()

    def abort(self) -> None:
        """Close now; what the peer has not taken is lost."""
        self._wire.is_closing = True
        self._wire.transport.abort()

    async def aclose(self) -> None:
        """Close, and wait a moment until what was sent has gone out or the peer is gone."""
        self.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                while not self._wire.is_lost:
                    await self._wire.wait()
        except TimeoutError:
            self.abort()

    async def wait_ready(self) -> None:
        """Wait until the password dialogue is over.

        Raises:
            AuthenticationError: the passwords differ.
        """
        wire = self._wire
        while not wire.connection.is_ready and not wire.is_closing:
            if wire.error is not None:
                raise wire.error
            await wire.wait()

    async def wait_events(self) -> None:
        """Wait until `receive` would return at once."""
        wire = self._wire
        while not (wire.events or wire.error or wire.is_ended or wire.is_closing):
            await wire.wait()

    @property
    def peer_address(self) -> str:
        """Host and port of the peer, as text."""
        return self._wire.peer_address

    @property
    def local_host(self) -> str:
        """The address of this machine that the peer is connected to."""
        return str(self._wire.transport.get_extra_info("sockname")[0])

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self._wire.is_encrypted

    @property
    def bytes_received(self) -> int:
        """How many bytes have come."""
        return self._wire.bytes_received

    @property
    def buffered(self) -> int:
        """How many bytes wait to be taken by the peer's machine."""
        return self._wire.connection.outgoing_size + self._wire.transport.get_write_buffer_size()

    @property
    def peer_version(self) -> int | None:
        """The protocol number that the worker's greeting named, or `None` before it."""
        return self._wire.connection.peer_version

    @property
    def is_dialect_offered(self) -> bool:
        """Whether the worker has announced our dialect."""
        return self._wire.connection.is_dialect_offered

    @property
    def speaks_dialect(self) -> bool:
        """Whether the manager has said `Hello`."""
        return self._wire.connection.speaks_dialect

    @property
    def is_authenticated(self) -> bool:
        """Whether both sides have proved that they know the password."""
        return self._wire.connection.is_authenticated

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be sent."""
        return self._wire.is_closing or self._wire.is_lost or self._wire.error is not None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _copy_file(self, file: BinaryIO, offset: int, count: int) -> int:
        transport = self._wire.transport
        if transport.is_closing():
            raise ConnectionResetError
        sent = 0
        if not self._wire.is_encrypted:
            with contextlib.suppress(io.UnsupportedOperation, AttributeError):  # no file of the system's
                sent = await self._copy_by_system(file.fileno(), offset, count)
        return await self._copy_pieces(file, offset, count, sent)

    async def _copy_by_system(self, file: int, offset: int, count: int) -> int:
        """Let the system copy from file to socket; give how much it did, which is all unless it cannot or the file ends.

        Not by asyncio's own `sendfile`, which stops reading meanwhile: whatever the peer says would wait for the last byte.
        """
        await self._wire.drain_fully()
        sent = 0
        # asyncio lets nobody else wait for its transports' own descriptors.
        with socket.socket(fileno=os.dup(self._wire.transport.get_extra_info("socket").fileno())) as target:
            while sent < count and not self._wire.is_lost:
                try:
                    step = os.sendfile(target.fileno(), file, offset + sent, min(SYSTEM_PIECE, count - sent))
                except BlockingIOError:
                    await self._wire.wait_writable(target)
                    continue
                except ConnectionError:
                    raise
                except OSError:  # not this kind of file, or it cannot be read: the other way finds out
                    break
                if not step:
                    break
                sent += step
                await asyncio.sleep(0)
        return sent

    async def _copy_pieces(self, file: BinaryIO, offset: int, count: int, sent: int) -> int:
        while sent < count and not self._wire.is_lost:
            piece = await asyncio.to_thread(_read_at, file, offset + sent, min(FILE_PIECE, count - sent))
            if not piece:
                break
            await self._write_piece(piece)
            sent += len(piece)
        if self._wire.is_lost:
            raise ConnectionResetError
        return sent

    async def _fill_up(self, count: int) -> None:
        for start in range(0, count, FILE_PIECE):
            await self._write_piece(bytes(min(FILE_PIECE, count - start)))
            if self._wire.is_lost:
                raise ConnectionResetError

    async def _write_piece(self, piece: bytes) -> None:
        self._wire.transport.write(piece)
        await self.drain()


def _read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    """Read a piece of a file; nothing if it has ended, or cannot be read."""
    try:
        return os.pread(file.fileno(), count, offset)
    except (io.UnsupportedOperation, AttributeError):
        file.seek(offset)
        return file.read(count)
    except OSError:
        return b""

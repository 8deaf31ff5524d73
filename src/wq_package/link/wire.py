"""Moves bytes between an asyncio transport and a connection, and wakes who waits (shell module).

What arrives waits here until it is received, and reading stops while too much waits; what is sent goes out once per
turn of the loop. Knows nothing of who connects to whom.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence

from wq_package.errors import WQPackageError
from wq_package.link.flushes import Flushes
from wq_package.protocol import messages as m
from wq_package.protocol.connection import Connection

_logger = logging.getLogger(__package__)

READ_SIZE = 1024 * 1024
"""Large, because reading and writing pieces of a body costs as much as the bytes themselves when they are small."""
MAX_WAITING_BYTES = 2 * 1024 * 1024
"""Reading stops while more than this waits to be received."""
WRITE_HIGH_WATER = 1024 * 1024
FLUSH_AT_ONCE = 64 * 1024
"""More than this is not kept back until the end of the loop's turn."""
KEEPALIVE_IDLE = 60
"""Seconds of silence after which the kernel asks whether the peer's machine is still there."""

Consumer = Callable[[list[m.Event]], list[m.Event]]
"""Takes in events at once, and gives back those that have to be waited with."""
BodySink = Callable[[memoryview], None]
"""Takes in a piece of a body, which it must not keep."""


class Wire(asyncio.BufferedProtocol):
    """What asyncio calls: moves bytes between a transport and a connection, and wakes who waits."""

    def __init__(self, connection: Connection, read_buffer: memoryview, flushes: Flushes) -> None:
        self.connection = connection
        self.flushes = flushes
        self.consumer: Consumer | None = None
        self.body_sink: BodySink | None = None
        self.is_awaited = False
        """Whether `receive` waits and nothing is queued, so that events may go to the consumer at once."""
        self.events: list[m.Event] = []
        self.error: Exception | None = None
        self.is_ended = False
        self.is_cut = False
        """Whether the peer went in the middle of something."""
        self.is_lost = False
        self.is_closing = False
        self.is_encrypted = False
        """Whether TLS is spoken; the transport forgets it when it closes."""
        self.bytes_received = 0
        self.is_traced = _logger.isEnabledFor(logging.DEBUG)
        self._transport: asyncio.Transport | None = None
        self._peer_address = ""
        self._read_buffer = read_buffer
        self._waiting_bytes = 0
        self._is_reading = True
        self._has_room = True
        self._is_flush_planned = False
        self._readers: list[asyncio.Future[None]] = []
        self._drainers: list[asyncio.Future[None]] = []

    @property
    def transport(self) -> asyncio.Transport:
        """The transport, once it is there."""
        assert self._transport is not None
        return self._transport

    @property
    def peer_address(self) -> str:
        """Host and port of the peer, as text."""
        if not self._peer_address:
            host, port = (self.transport.get_extra_info("peername") or ("", 0))[:2]
            self._peer_address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return self._peer_address

    # -- called by asyncio --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport, and say what is to be said first."""
        assert isinstance(transport, asyncio.Transport)
        self.adopt(transport)
        self.flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Give the buffer to read into; all wires of a server share one, since each reading is taken in at once."""
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take in what was read, and stop reading if nobody receives it."""
        if self.error is not None or self.is_closing:
            return
        self.bytes_received += nbytes
        piece = self._read_buffer[:nbytes]
        if self.body_sink is not None and self.is_awaited:
            rest = self._divert(piece, self.body_sink)
            if rest is None:
                return
            piece = rest
        self.connection.receive_data(piece)
        self._take_events()
        if self.events:
            self._waiting_bytes += nbytes
        if self._waiting_bytes > MAX_WAITING_BYTES and self._is_reading and self.error is None:
            self._is_reading = False
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Take in the end; keep our half open if there is one."""
        self._end()
        # A status tool may close its half before it reads the answer. TLS has no half to close.
        return not self.is_encrypted

    def connection_lost(self, exc: Exception | None) -> None:
        """Take in that all is over."""
        if self.is_traced:
            _logger.debug("x %s: %s", self.peer_address, exc or "closed")
        self.is_lost = True
        self._end()
        _wake(self._readers)
        self.resume_writing()

    def pause_writing(self) -> None:
        """Remember that the peer is slow."""
        self._has_room = False

    def resume_writing(self) -> None:
        """Let go on who waited for the peer."""
        self._has_room = True
        _wake(self._drainers)

    def adopt(self, transport: asyncio.Transport) -> None:
        """Use a transport from now on."""
        self._transport = transport
        self.is_encrypted = transport.get_extra_info("ssl_object") is not None
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        _set_socket_options(transport.get_extra_info("socket"))

    # -- called by the link -------------------------------------------------------------------------------------------

    def take_events(self) -> list[m.Event]:
        """Give what has come, and read on if reading had stopped."""
        events, self.events = self.events, []
        self._waiting_bytes = 0
        if not self._is_reading:
            self._is_reading = True
            if not self.transport.is_closing():
                self.transport.resume_reading()
        return events

    async def wait(self) -> None:
        """Wait until something has changed: events, an error, the end, or a password dialogue that is over."""
        waiter = asyncio.get_running_loop().create_future()
        self._readers.append(waiter)
        await waiter

    async def drain(self) -> None:
        """Write out what is queued, and wait while the peer is slow."""
        self.flush()
        if self._has_room or self.is_lost:
            # Always give the loop a turn, so that a sender in a loop cannot starve it.
            await asyncio.sleep(0)
            return
        waiter = asyncio.get_running_loop().create_future()
        self._drainers.append(waiter)
        await waiter

    async def drain_fully(self) -> None:
        """Write out what is queued, and wait until the system has all of it."""
        self.flush()
        self.transport.set_write_buffer_limits(high=0)
        try:
            while self.transport.get_write_buffer_size() and not self.is_lost:
                await self.drain()
        finally:
            self.transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)

    async def wait_writable(self, target: socket.socket) -> None:
        """Wait until a copy of this connection's socket takes more, or the connection is lost."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._drainers.append(waiter)
        loop.add_writer(target, _wake, [waiter])
        try:
            await waiter
        finally:
            loop.remove_writer(target)

    def plan_flush(self) -> None:
        """Write out at the end of the loop's turn, or now if it is much."""
        if self.connection.outgoing_size > FLUSH_AT_ONCE:
            self.flush()
        elif not self._is_flush_planned:
            self._is_flush_planned = True
            self.flushes.add(self._flush_as_planned)

    def flush(self) -> None:
        """Write out what is queued."""
        data = self.connection.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def fail(self, error: Exception) -> None:
        """Close because of an error, after what was already sent."""
        if self.is_traced:
            _logger.debug("! %s: %s", self.peer_address, error)
        self.error = error
        self.flush()
        self.transport.close()

    def wake_readers(self) -> None:
        """Let look again who waits for events."""
        _wake(self._readers)

    def trace(self, sign: str, events: Sequence[m.Event]) -> None:
        """Log messages or events."""
        for event in events:
            if isinstance(event, m.Data):
                _logger.debug("%s %s Data of %d bytes", sign, self.peer_address, len(event.body))
            else:
                _logger.debug("%s %s %r", sign, self.peer_address, event)

    def _end(self) -> None:
        if self.is_ended:
            return
        self.is_ended = True
        if self.error is None and not self.is_closing:
            self.connection.receive_eof()
            self._take_events()
            self.is_cut = self.error is not None

    def _flush_as_planned(self) -> None:
        self._is_flush_planned = False
        self.flush()

    def _take_events(self) -> None:
        try:
            events = self.connection.next_events()
        except WQPackageError as error:
            self.fail(error)
        else:
            if self.is_traced:
                self.trace("<", events)
            self.flush()
            self._hand_over(events)
            if self.connection.error is not None:
                self.fail(self.connection.error)
        if self.events or self.error is not None or self.is_ended or not self.is_awaited:
            self.is_awaited = False
            _wake(self._readers)

    def _divert(self, piece: memoryview, sink: BodySink) -> memoryview | None:
        """Give what belongs to a body to who asked for it, and return the rest; nothing if it was refused."""
        count = self.connection.skip_body(len(piece))
        if count:
            if self.is_traced:
                _logger.debug("< %s Data of %d bytes", self.peer_address, count)
            try:
                sink(piece[:count])
            except Exception as error:  # noqa: BLE001 - it is raised where the events would have been received
                self.fail(error)
                self.is_awaited = False
                _wake(self._readers)
                return None  # what follows must not be taken for a body that is complete
        return piece[count:]

    def _hand_over(self, events: list[m.Event]) -> None:
        """Give events to the consumer if it may have them now; what it leaves waits to be received."""
        if events and self.consumer is not None and self.is_awaited and not self.is_ended:
            try:
                events = self.consumer(events)
            except Exception as error:  # noqa: BLE001 - it is raised where the events would have been received
                self.fail(error)
                return
        self.events += events


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()


def _set_socket_options(sock: socket.socket) -> None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)

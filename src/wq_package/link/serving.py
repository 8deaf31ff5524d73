"""Accepts connections and runs a task for each (shell module).

Knows deadlines and crowds: whoever says nothing costs little and does not last. What is said is the handler's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from wq_package.errors import AuthenticationError, QueueError, WQPackageError
from wq_package.link.flushes import Flushes
from wq_package.link.link import Link
from wq_package.link.nonces import make_nonce
from wq_package.link.wire import READ_SIZE, Wire
from wq_package.protocol import messages as m
from wq_package.protocol.connection import Connection, Role
from wq_package.protocol.printing import escape_controls

_logger = logging.getLogger(__package__)


ACCEPTED_AT_ONCE = 8
"""How many connections are accepted in one turn of the loop.

asyncio takes as many as the backlog in one go, before any of them can be dropped: a crowd would use up every file
descriptor of this process, and the log.
"""


MOST_FILES = 65_536

_TURNS_TO_ACCEPT = 4
"""How many turns of its loop asyncio needs from a connection to its protocol."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a server treats those who connect.

    Attributes:
        password_timeout: seconds for the password dialogue, and for the TLS handshake before it.
        greeting_timeout: seconds until the first message.
        max_silent: how many connections may be without a first message; beyond that the oldest are dropped.
        backlog: of the listening socket.
    """

    password_timeout: float = 15.0
    greeting_timeout: float = 30.0
    max_silent: int = 512
    backlog: int = 1024


class Server:
    """Accepts connections and runs a task for each. `serve` makes it.

    A connection reaches the handler when its password is proved and its first message is there; until then it costs
    little and does not last.
    """

    def __init__(
        self,
        handler: Callable[[Link], Awaitable[None]],
        password: bytes | None,
        context: ssl.SSLContext | None,
        options: ServeOptions,
    ) -> None:
        self.flushes = Flushes()
        self._handler = handler
        self._password = password
        self._context = context
        self._options = options
        self._listener: asyncio.Server | None = None
        self._read_buffer = memoryview(bytearray(READ_SIZE))
        self._silent: dict[Link, None] = {}
        self._tasks: dict[asyncio.Task[None], Link] = {}
        self._is_closed = False

    @property
    def port(self) -> int:
        """The port that is listened on; of the first address, if there are several."""
        return self.addresses[0][1]

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Hosts and ports that are listened on."""
        assert self._listener is not None
        return [sock.getsockname()[:2] for sock in self._listener.sockets]

    async def listen(self, host: str | None, port: int) -> None:
        """Start to accept."""
        _allow_many_files()
        self._listener = await self._bind(host, port)
        if len({address[1] for address in self.addresses}) > 1:
            # Of port 0, every address family got another one; workers are told only one.
            port = self.port
            self._listener.close()
            self._listener = await self._bind(host, port)
        for listening in self._listener.sockets:
            _lengthen_queue(listening.fileno(), self._options.backlog)

    async def _bind(self, host: str | None, port: int) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(self._make_wire, host, port, backlog=ACCEPTED_AT_ONCE)

    def close(self) -> None:
        """Accept no more; connections stay."""
        if self._listener is None or self._is_closed:
            return
        self._is_closed = True
        loop = asyncio.get_running_loop()
        for listening in self._listener.sockets:
            loop.remove_reader(listening.fileno())

    async def aclose(self) -> None:
        """Accept no more, cancel every handler and close every connection."""
        self.close()
        # asyncio loses, without closing them, the connections that are on the way to their protocol when it closes.
        for _ in range(_TURNS_TO_ACCEPT):
            await asyncio.sleep(0)
        if self._listener is not None:
            self._listener.close()
        tasks = dict(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A task that was cancelled before it began has closed nothing.
        await asyncio.gather(*(link.aclose() for link in tasks.values()))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _make_wire(self) -> _AcceptedWire:
        connection = Connection(Role.MANAGER, password=self._password, nonce=make_nonce())
        return _AcceptedWire(connection, self._read_buffer, self.flushes, self._context, self._accept)

    def _accept(self, wire: _AcceptedWire) -> None:
        link = Link(wire)
        if self._is_closed:
            link.abort()
            return
        self._silent[link] = None
        if len(self._silent) > self._options.max_silent:
            oldest = next(iter(self._silent))
            _logger.debug("%% %s: dropped, too many silent connections", oldest.peer_address)
            del self._silent[oldest]
            oldest.abort()
        task = asyncio.get_running_loop().create_task(self._attend(wire, link))
        self._tasks[task] = link
        task.add_done_callback(self._tasks.pop)

    async def _attend(self, wire: _AcceptedWire, link: Link) -> None:
        try:
            if await self._has_spoken(wire, link):
                await self._handler(link)
        except WQPackageError as error:
            _logger.warning("dropped %s: %s", link.peer_address, escape_controls(str(error)))
        except Exception:
            _logger.exception("dropped %s", link.peer_address)
        finally:
            self._silent.pop(link, None)
            await link.aclose()

    async def _has_spoken(self, wire: _AcceptedWire, link: Link) -> bool:
        """Wait for the first message."""
        try:
            async with asyncio.timeout(self._options.password_timeout):
                await wire.secure()
                await link.wait_ready()
            async with asyncio.timeout(self._options.greeting_timeout):
                await link.wait_events()
        except (TimeoutError, OSError) as error:
            _logger.debug("%% %s: dropped, said nothing: %r", link.peer_address, error)
            return False
        except AuthenticationError:
            if not wire.is_cut:
                raise
        self._silent.pop(link, None)
        # Whoever goes without a word is not worth a line in the log, as every scan of ports would be.
        return (
            not wire.is_closing
            and wire.events != [m.ConnectionClosed()]
            and not (wire.is_cut and not wire.events)
        )


def _allow_many_files() -> None:
    """Let this process open as many files as it may: 1,024, as is usual, are too few for a thousand workers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _lengthen_queue(descriptor: int, backlog: int) -> None:
    """Let the system hold more connections that wait to be accepted."""
    with socket.socket(fileno=os.dup(descriptor)) as listening:
        listening.listen(backlog)


class _AcceptedWire(Wire):
    """A wire that tells its server when it is there, and speaks TLS only then.

    So whoever connects and says nothing is counted from the start, not from the end of a handshake.
    """

    def __init__(
        self,
        connection: Connection,
        read_buffer: memoryview,
        flushes: Flushes,
        context: ssl.SSLContext | None,
        accept: Callable[[_AcceptedWire], None],
    ) -> None:
        super().__init__(connection, read_buffer, flushes)
        self._context = context
        self._accept = accept
        self._is_secure = context is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; with TLS, say and read nothing before the handshake."""
        assert isinstance(transport, asyncio.Transport)
        self.adopt(transport)
        if not self._is_secure:
            transport.pause_reading()
        self.flush()
        self._accept(self)

    def flush(self) -> None:
        """Write out what is queued, but never in the clear what belongs inside TLS."""
        # The peer's first words may come, and be answered, before `start_tls` has returned.
        if self._is_secure:
            super().flush()

    async def secure(self) -> None:
        """Do the handshake, if there is one to do.

        Raises:
            OSError: it failed (TLS errors are such).
        """
        if self._context is None or self.is_closing:
            return
        raw = self.transport
        try:
            loop = asyncio.get_running_loop()
            secured = await loop.start_tls(raw, self, self._context, server_side=True)
            if secured is None or raw.is_closing():
                raise ConnectionResetError("the connection was closed during the handshake")
        except BaseException:
            # asyncio tells nobody that this connection is lost.
            self.is_ended = self.is_lost = True
            self.wake_readers()
            raise
        self.adopt(secured)
        self._is_secure = True
        self.flush()


async def serve(
    handler: Callable[[Link], Awaitable[None]],
    host: str | None,
    port: int,
    *,
    password: bytes | None = None,
    tls: ssl.SSLContext | None = None,
    options: ServeOptions = ServeOptions(),  # frozen
) -> Server:
    """Listen, and run the handler for each connection; the link is closed when it returns.

    Args:
        handler: what to do with a connection. An exception of this package that it lets through is logged.
        host: address to listen on; `None` for all of them.
        port: 0 for any that is free; see `Server.port`.
        password: the raw bytes of the password file, or `None` to let in everybody.
        tls: with a certificate, to speak TLS only.
        options: deadlines and limits.

    Raises:
        QueueError: the port cannot be had.
    """
    server = Server(handler, password, tls, options)
    try:
        await server.listen(host, port)
    except (OSError, OverflowError) as error:  # the latter for a number that is no port
        raise QueueError(
            f"cannot listen on {host or '*'}:{port}: {getattr(error, 'strerror', None) or error}",
            hint="choose another port, or 0 for any that is free",
        ) from error
    return server

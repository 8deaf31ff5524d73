"""Accepts connections and runs a task for each (shell module).

Knows deadlines and crowds: whoever says nothing costs little and does not last. What is said is the handler's business.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from wq_package.errors import QueueError, WQPackageError
from wq_package.link.link import Link
from wq_package.link.nonces import make_nonce
from wq_package.link.wire import READ_SIZE, Wire
from wq_package.protocol import messages as m
from wq_package.protocol.connection import Connection, Role

_logger = logging.getLogger(__package__)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a server treats those who connect.

    Attributes:
        password_timeout: seconds for the password dialogue, and for the TLS handshake before it.
        greeting_timeout: seconds until the first message.
        max_silent: how many connections may be without a first message; beyond that the oldest are dropped.
        backlog: of the listening socket.
    """

    password_timeout: float = 5.0
    greeting_timeout: float = 30.0
    max_silent: int = 512
    backlog: int = 1024


class Server:
    """Accepts connections and runs a task for each. `serve` makes it.

    A connection reaches the handler when its password is proved and its first message is there; until then it costs
    little and does not last.
    """

    def __init__(
        self, handler: Callable[[Link], Awaitable[None]], password: bytes | None, options: ServeOptions
    ) -> None:
        self._handler = handler
        self._password = password
        self._options = options
        self._listener: asyncio.Server | None = None
        self._read_buffer = memoryview(bytearray(READ_SIZE))
        self._silent: dict[Link, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port that is listened on; of the first address, if there are several."""
        return self.addresses[0][1]

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Hosts and ports that are listened on."""
        assert self._listener is not None
        return [sock.getsockname()[:2] for sock in self._listener.sockets]

    async def listen(self, host: str | None, port: int, context: ssl.SSLContext | None) -> None:
        """Start to accept."""
        loop = asyncio.get_running_loop()
        timeout = None if context is None else self._options.password_timeout
        self._listener = await loop.create_server(
            self._make_wire,
            host,
            port,
            ssl=context,
            backlog=self._options.backlog,
            ssl_handshake_timeout=timeout,
        )

    def close(self) -> None:
        """Accept no more; connections stay."""
        if self._listener is not None:
            self._listener.close()

    async def aclose(self) -> None:
        """Accept no more, cancel every handler and close every connection."""
        self.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _make_wire(self) -> _AcceptedWire:
        connection = Connection(Role.MANAGER, password=self._password, nonce=make_nonce())
        return _AcceptedWire(connection, self._read_buffer, self._accept)

    def _accept(self, link: Link) -> None:
        self._silent[link] = None
        if len(self._silent) > self._options.max_silent:
            oldest = next(iter(self._silent))
            _logger.debug("%% %s: dropped, too many silent connections", oldest.peer_address)
            del self._silent[oldest]
            oldest.abort()
        task = asyncio.get_running_loop().create_task(self._attend(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attend(self, link: Link) -> None:
        try:
            if await self._is_alive(link):
                await self._handler(link)
        except WQPackageError as error:
            _logger.warning("dropped %s: %s", link.peer_address, error)
        except Exception:
            _logger.exception("dropped %s", link.peer_address)
        finally:
            self._silent.pop(link, None)
            link.close()

    async def _is_alive(self, link: Link) -> bool:
        try:
            async with asyncio.timeout(self._options.password_timeout):
                await link.wait_ready()
            async with asyncio.timeout(self._options.greeting_timeout):
                await link.wait_events()
        except TimeoutError:
            _logger.debug("%% %s: dropped, said nothing", link.peer_address)
            return False
        self._silent.pop(link, None)
        return link._wire.events != [m.ConnectionClosed()] and not link._wire.is_closing


class _AcceptedWire(Wire):
    """A wire that tells its server when it is there."""

    def __init__(
        self, connection: Connection, read_buffer: memoryview, accept: Callable[[Link], None]
    ) -> None:
        super().__init__(connection, read_buffer)
        self._accept = accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._accept(Link(self))


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
    server = Server(handler, password, options)
    try:
        await server.listen(host, port, tls)
    except OSError as error:
        raise QueueError(
            f"cannot listen on {host or '*'}:{port}: {error.strerror or error}",
            hint="choose another port, or 0 for any that is free",
        ) from error
    return server

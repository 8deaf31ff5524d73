"""Bytes on asyncio's sockets ⇄ the protocol (shell module).

Knows sockets, TLS and back-pressure. Decides nothing about tasks or order, which is `protocol.connection`'s and the
caller's business. A `Link` is one connection; `connect` opens one, `serve` accepts many. What arrives waits in the link
until it is received, and reading stops while too much waits; what is sent goes out once per turn of the loop, and
`drain` waits while the peer is slow. The wire trace is on this module's logger at DEBUG, with the signs `<` received,
`>` sent, `x` closed, `%` timer, `!` error.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import os
import secrets
import socket
import ssl
import string
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Self

from wq_package.errors import AuthenticationError, ManagerUnreachableError, QueueError, WQPackageError
from wq_package.protocol import messages as m
from wq_package.protocol.connection import Connection, Role
from wq_package.protocol.password import NONCE_MARKER

__all__ = ["Link", "ServeOptions", "Server", "TlsOptions", "connect", "serve"]

_logger = logging.getLogger(__name__)

READ_SIZE = 256 * 1024
MAX_WAITING_BYTES = 2 * 1024 * 1024
"""Reading stops while more than this waits to be received."""
WRITE_HIGH_WATER = 1024 * 1024
FLUSH_AT_ONCE = 64 * 1024
"""More than this is not kept back until the end of the loop's turn."""
FILE_PIECE = 256 * 1024
CLOSE_TIMEOUT = 5.0
"""Seconds that a peer has, when we close, to take what was sent."""
KEEPALIVE_IDLE = 60
"""Seconds of silence after which the kernel asks whether the peer's machine is still there."""
_NONCE_LENGTH = 63
_NONCE_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How the connecting side checks who answers.

    Attributes:
        context: what to verify with; `None` for the default one, or for a pin.
        fingerprint: hex sha256 of the only certificate to accept, whoever signed it.
        server_name: the name that the certificate must carry; the host if empty.
    """

    context: ssl.SSLContext | None = None
    fingerprint: str = ""
    server_name: str = ""

    def make_context(self) -> ssl.SSLContext:
        """Make the context to connect with."""
        if self.context is not None:
            return self.context
        context = ssl.create_default_context()
        if self.fingerprint:
            # The pin is a stricter check than a chain of signatures, and a self-signed certificate has none.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


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


class _Wire(asyncio.BufferedProtocol):
    """What asyncio calls: moves bytes between a transport and a connection, and wakes who waits."""

    def __init__(self, connection: Connection, read_buffer: memoryview) -> None:
        self.connection = connection
        self.link = Link(self)
        self.events: list[m.Event] = []
        self.error: WQPackageError | None = None
        self.is_ended = False
        self.is_lost = False
        self.is_closing = False
        self.is_traced = _logger.isEnabledFor(logging.DEBUG)
        self._transport: asyncio.Transport | None = None
        self._read_buffer = read_buffer
        self._waiting_bytes = 0
        self._is_reading = True
        self._has_room = True
        self._is_flush_planned = False
        self._readers: list[asyncio.Future[None]] = []
        self._drainers: list[asyncio.Future[None]] = []

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    # -- called by asyncio --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        _set_socket_options(transport.get_extra_info("socket"))
        self.flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self.error is not None or self.is_closing:
            return
        self.connection.receive_data(self._read_buffer[:nbytes])
        self._waiting_bytes += nbytes
        self._take_events()
        if self._waiting_bytes > MAX_WAITING_BYTES and self._is_reading and self.error is None:
            self._is_reading = False
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.is_ended = True
        if self.error is None and not self.is_closing:
            self.connection.receive_eof()
            self._take_events()
        # A status tool may close its half before it reads the answer. TLS has no half to close.
        return self.transport.get_extra_info("ssl_object") is None

    def connection_lost(self, exc: Exception | None) -> None:
        if self.is_traced:
            _logger.debug("x %s: %s", self.link.peer_address, exc or "closed")
        self.is_ended = self.is_lost = True
        if self.error is None and not self.is_closing:
            self.connection.receive_eof()
            self._take_events()
        _wake(self._readers)
        self.resume_writing()

    def pause_writing(self) -> None:
        self._has_room = False

    def resume_writing(self) -> None:
        self._has_room = True
        _wake(self._drainers)

    # -- called by the link -------------------------------------------------------------------------------------------

    def take_events(self) -> list[m.Event]:
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
        self.flush()
        if self._has_room or self.is_lost:
            # Always give the loop a turn, so that a sender in a loop cannot starve it.
            await asyncio.sleep(0)
            return
        waiter = asyncio.get_running_loop().create_future()
        self._drainers.append(waiter)
        await waiter

    def plan_flush(self) -> None:
        if self.connection.outgoing_size > FLUSH_AT_ONCE:
            self.flush()
        elif not self._is_flush_planned:
            self._is_flush_planned = True
            asyncio.get_running_loop().call_soon(self._flush_as_planned)

    def flush(self) -> None:
        data = self.connection.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def fail(self, error: WQPackageError) -> None:
        """Close because of an error, after what was already sent."""
        if self.is_traced:
            _logger.debug("! %s: %s", self.link.peer_address, error)
        self.error = error
        self.flush()
        self.transport.close()

    def wake_readers(self) -> None:
        _wake(self._readers)

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
                _trace("<", self.link, events)
            self.events += events
            self.flush()
            if self.connection.error is not None:
                self.fail(self.connection.error)
        _wake(self._readers)


class Link:
    """One connection between a manager and a worker. `connect` and `serve` make them.

    One task receives; one task at a time sends. After a header with a body, nothing else may be sent until its whole
    body was given to `send_body` or `send_file`.
    """

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._peer_address = ""

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
            await wire.wait()
        return wire.take_events()

    def send(self, *messages: m.Message) -> None:
        """Queue messages; they go out together at the end of this turn of the loop.

        Raises:
            LocalProtocolError: one may not be said. Those before it are queued, it and those after it are not.
        """
        wire = self._wire
        if wire.is_traced:
            _trace(">", self, messages)
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

    async def send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        """Send a part of a file as the body, without reading it into this process where the system can.

        Raises:
            LocalProtocolError: it is more than announced.
            QueueError: the connection was lost, or the file ended early. The link is closed.
        """
        self._wire.connection.expect_passthrough(count)
        self._wire.flush()
        try:
            sent = await self._copy_file(file, offset, count)
        except OSError as error:
            self.close()
            raise QueueError(
                f"the connection to {self.peer_address} was lost while a file was sent"
            ) from error
        if sent != count:
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
        if not self._peer_address:
            host, port = (self._wire.transport.get_extra_info("peername") or ("", 0))[:2]
            self._peer_address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return self._peer_address

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
        if transport.get_extra_info("ssl_object") is None:
            with contextlib.suppress(asyncio.SendfileNotAvailableError):
                loop = asyncio.get_running_loop()
                return await loop.sendfile(transport, file, offset, count, fallback=False)
        return await self._copy_pieces(file, offset, count)

    async def _copy_pieces(self, file: BinaryIO, offset: int, count: int) -> int:
        sent = 0
        while sent < count and not self._wire.is_lost:
            piece = await asyncio.to_thread(_read_at, file, offset + sent, min(FILE_PIECE, count - sent))
            if not piece:
                break
            self._wire.transport.write(piece)
            sent += len(piece)
            await self.drain()
        if self._wire.is_lost:
            raise ConnectionResetError
        return sent


async def connect(
    host: str,
    port: int,
    *,
    role: Role = Role.WORKER,
    password: bytes | None = None,
    tls: TlsOptions | None = None,
    timeout: float = 15.0,  # noqa: ASYNC109  # it also bounds the dialogue, and becomes a clear error
) -> Link:
    """Open a connection to a manager, and prove the password if there is one.

    Raises:
        ManagerUnreachableError: nobody answers there.
        AuthenticationError: the passwords differ, or the certificate is another one.
    """
    try:
        async with asyncio.timeout(timeout):
            wire = await _open(host, port, role, password, tls)
            try:
                _check_fingerprint(wire, tls)
                await wire.link.wait_ready()
            except BaseException:
                wire.link.abort()
                raise
    except TimeoutError as error:
        raise ManagerUnreachableError(
            f"no manager answered at {host}:{port} within {timeout:g} s", hint="check host, port and firewall"
        ) from error
    except ssl.SSLError as error:
        raise _make_tls_error(host, port, error) from error
    except OSError as error:
        raise ManagerUnreachableError(
            f"no manager answers at {host}:{port}: {error.strerror or error}",
            hint="check host and port, and that the manager runs and listens on this network",
        ) from error
    return wire.link


def _make_tls_error(host: str, port: int, error: ssl.SSLError) -> AuthenticationError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return AuthenticationError(
            f"the certificate of {host}:{port} is not trusted: {error.verify_message}",
            hint="give the manager's certificate authority, or the fingerprint of its certificate",
        )
    return AuthenticationError(
        f"no TLS with {host}:{port}: {(error.reason or str(error)).lower().replace('_', ' ')}",
        hint="check that the manager uses TLS",
    )


async def _open(host: str, port: int, role: Role, password: bytes | None, tls: TlsOptions | None) -> _Wire:
    connection = Connection(role, password=password, nonce=_make_nonce())
    buffer = memoryview(bytearray(READ_SIZE))
    loop = asyncio.get_running_loop()
    if tls is None:
        _, wire = await loop.create_connection(lambda: _Wire(connection, buffer), host, port)
        return wire
    name = tls.server_name or host
    _, wire = await loop.create_connection(
        lambda: _Wire(connection, buffer), host, port, ssl=tls.make_context(), server_hostname=name
    )
    return wire


def _check_fingerprint(wire: _Wire, tls: TlsOptions | None) -> None:
    if tls is None or not tls.fingerprint:
        return
    certificate = wire.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
    found = hashlib.sha256(certificate).hexdigest()
    if not hmac.compare_digest(found, tls.fingerprint.replace(":", "").lower()):
        raise AuthenticationError(
            f"the manager's certificate has the fingerprint {found}, not the one that was given",
            hint="ask the manager's owner for its fingerprint; somebody may be listening in between",
        )


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

    def _make_wire(self) -> _Wire:
        connection = Connection(Role.MANAGER, password=self._password, nonce=_make_nonce())
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


class _AcceptedWire(_Wire):
    """A wire that tells its server when it is there."""

    def __init__(
        self, connection: Connection, read_buffer: memoryview, accept: Callable[[Link], None]
    ) -> None:
        super().__init__(connection, read_buffer)
        self._accept = accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._accept(self.link)


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


def _make_nonce() -> bytes:
    length = _NONCE_LENGTH - len(NONCE_MARKER)
    return NONCE_MARKER + "".join(secrets.choice(_NONCE_LETTERS) for _ in range(length)).encode()


def _read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    try:
        return os.pread(file.fileno(), count, offset)
    except (OSError, AttributeError):
        file.seek(offset)
        return file.read(count)


def _trace(sign: str, link: Link, events: list[m.Event] | tuple[m.Message, ...]) -> None:
    for event in events:
        if isinstance(event, m.Data):
            _logger.debug("%s %s Data of %d bytes", sign, link.peer_address, len(event.body))
        else:
            _logger.debug("%s %s %r", sign, link.peer_address, event)

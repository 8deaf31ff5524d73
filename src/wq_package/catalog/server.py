"""A small catalog for sites that have none (shell module).

Listens as Work Queue's own does: updates by UDP on a port and by TCP on the next one, queries by HTTP on the port.
Keeps everything in memory: managers advertise again every minute. Decides nothing; `book` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from types import TracebackType
from typing import Self

from wq_package.catalog.address import CatalogAddress
from wq_package.catalog.book import Answer, Book
from wq_package.catalog.records import MAX_RECORD, decode_update
from wq_package.errors import QueueError, RemoteProtocolError

_logger = logging.getLogger(__name__)

TIMEOUT = 10.0
"""Seconds for one request or one update by TCP."""
MAX_CONNECTIONS = 200
MAX_REQUEST = 16 * 1024
_ATTEMPTS = 50


class _Updates(asyncio.DatagramProtocol):
    """Takes datagrams."""

    def __init__(self, take: Callable[[bytes, str], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(data, addr[0])


class CatalogServer:
    """A catalog in this process. Use it with `async with`, or `start` and `aclose` it."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host = host
        self._port = port
        self._book = Book()
        self._open = contextlib.AsyncExitStack()
        self._attending: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def port(self) -> int:
        """The port for queries and for updates by UDP."""
        return self._port

    async def start(self) -> None:
        """Listen.

        Raises:
            QueueError: the ports cannot be had.
        """
        attempts = _ATTEMPTS if self._port == 0 else 1
        while True:
            attempts -= 1
            try:
                await self._listen()
            except OSError as error:
                await self._open.aclose()
                if not attempts:
                    raise _make_port_error(self._host, self._port, error) from error
            else:
                return

    async def aclose(self) -> None:
        """Stop, and drop whoever is being answered."""
        await self._open.aclose()
        attending = dict(self._attending)
        for writer in attending.values():
            writer.transport.abort()
        await asyncio.gather(*attending, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _listen(self) -> None:
        queries = await asyncio.start_server(self._answer, self._host, self._port, limit=MAX_REQUEST)
        self._open.push_async_callback(_close, queries)
        port = queries.sockets[0].getsockname()[1]
        updates = await asyncio.start_server(self._take_stream, self._host, port + 1)
        self._open.push_async_callback(_close, updates)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Updates(self._take), local_addr=(self._host, port)
        )
        self._open.callback(transport.close)
        self._port = port

    def _take(self, data: bytes, address: str) -> None:
        try:
            self._book.add(decode_update(data), address, time.time())
        except RemoteProtocolError as error:
            _logger.info("an update from %s is ignored: %s", address, error)

    async def _take_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._attended(writer) as is_welcome:
            if is_welcome:
                data = await _read_all(reader)
                self._take(data, _find_host(writer))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._attended(writer) as is_welcome:
            if is_welcome:
                request = await reader.readline()
                while (await reader.readline()).strip():
                    pass
                writer.write(_render_answer(self._find_answer(request)))
                await writer.drain()

    def _find_answer(self, request: bytes) -> Answer:
        method, path, *_ = [*request.decode("latin-1").split(), "", ""]
        if method != "GET":
            return Answer("405 Method Not Allowed", "text/plain", "only GET is understood\n")
        return self._book.answer(path, time.time())

    @contextlib.asynccontextmanager
    async def _attended(self, writer: asyncio.StreamWriter) -> AsyncIterator[bool]:
        """Count a connection, bound its time, and close it."""
        task = asyncio.current_task()
        assert task is not None
        self._attending[task] = writer
        try:
            async with asyncio.timeout(TIMEOUT):
                yield len(self._attending) <= MAX_CONNECTIONS
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
            _logger.info("a request from %s is dropped: %s", _find_host(writer), error)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            del self._attending[task]


def _make_port_error(host: str, port: int, error: OSError) -> QueueError:
    return QueueError(
        f"the catalog cannot listen on {host}:{port}: {error.strerror or error}",
        hint="it needs this port (TCP and UDP) and the next one (TCP); choose another",
    )


async def serve_catalog(host: str, port: int, on_ready: Callable[[CatalogAddress], None]) -> None:
    """Be a catalog until SIGTERM comes.

    Args:
        host: address to listen on.
        port: port to listen on; 0 for any.
        on_ready: called with the address once it listens.

    Raises:
        QueueError: the ports cannot be had.
    """
    is_over = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with CatalogServer(host, port) as server:
        loop.add_signal_handler(signal.SIGTERM, is_over.set)
        try:
            on_ready(CatalogAddress(host, server.port))
            await is_over.wait()
        finally:
            loop.remove_signal_handler(signal.SIGTERM)


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    data = b""
    while piece := await reader.read(64 * 1024):
        data += piece
        if len(data) > MAX_RECORD:
            raise ValueError("a record is too large")
    return data


async def _close(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()


def _find_host(writer: asyncio.StreamWriter) -> str:
    return str((writer.get_extra_info("peername") or ("",))[0])


def _render_answer(answer: Answer) -> bytes:
    body = answer.body.encode("utf-8", "replace")
    head = (
        f"HTTP/1.1 {answer.status}\r\nDate: {formatdate(usegmt=True)}\r\nServer: wq-package\r\nConnection: close\r\n"
        f"Access-Control-Allow-Origin: *\r\nContent-type: {answer.content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body

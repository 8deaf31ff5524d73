"""Layers from worker to worker (shell module).

Serves, to whoever proves the secret that the manager passes on, the layers that arrived in this session, as they arrived; and
fetches such layers from others. Both are told by the manager. Knows the link and layers by digest; knows nothing of tasks,
and decides nothing about who asks whom. What a peer gives is worth what its digest says.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from wq_package.errors import QueueError, WQPackageError
from wq_package.link import Link, ServeOptions, Server, TlsOptions, connect, make_certificate, serve
from wq_package.protocol import messages as wire

if TYPE_CHECKING:
    from wq_package.worker.layer_feed import LayerFeed

__all__ = ["PeerError", "PeerLinks", "PeerRoom"]

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 10.0
_STALL_SECONDS = 15.0
"""A peer that sends nothing for so long is given up."""
_SHORTEST_SECONDS = 60.0
_SLOWEST_RATE = 100 * 1024
_KEEP_SECONDS = 10.0
"""For so long a connection is kept for the next layer; much shorter than the other side waits for it."""
_MOST_UPLOADS = 16
"""The manager asks for fewer; more are a mistake or an attack."""
_FREE_BYTES = 2**30
"""Layers are kept to pass them on only while the disk has so much left."""
_GREETING = (wire.Workqueue(9, "peer", "Linux", "unknown", "wq-package"), wire.Feature(wire.DIALECT_FEATURE))


class PeerError(Exception):
    """A layer could not be had from a peer; `is_lie` says that the peer gave something else."""

    def __init__(self, message: str, *, is_lie: bool = False) -> None:
        super().__init__(message)
        self.is_lie = is_lie


class PeerRoom:
    """What one worker exchanges with the other workers of its manager.

    Args:
        folder: for the layers to pass on; made if absent.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._kept: set[str] = set()
        self._uploads = 0
        self._server: Server | None = None

    async def start(self, host: str, port: int, *, is_encrypted: bool) -> wire.PeerAddress:
        """Listen for other workers.

        Args:
            host: the address of this machine that the manager sees.
            port: 0 for any that is free.
            is_encrypted: speak TLS, with a certificate that is made for this.

        Raises:
            QueueError: the port cannot be had, or no certificate be made.
        """
        context: ssl.SSLContext | None = None
        fingerprint = ""
        if is_encrypted:
            certificate = await asyncio.to_thread(make_certificate)
            context, fingerprint = certificate.context, certificate.fingerprint
        secret = secrets.token_hex(32)
        options = ServeOptions(greeting_timeout=_CONNECT_SECONDS, max_silent=64)
        self._server = await serve(
            self._attend, host, port, password=secret.encode(), tls=context, options=options
        )
        _log.info("serving layers to other workers on %s:%d", host, self._server.port)
        return wire.PeerAddress(self._server.port, secret, fingerprint)

    async def close(self) -> None:
        """Serve no more, and forget what was kept."""
        if self._server is not None:
            await self._server.aclose()
        self._kept.clear()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    # -- keeping -------------------------------------------------------------------------------------------------------

    def open_copy(self, digest: str, size: int) -> BinaryIO | None:
        """Open a file for a copy of a layer as it arrives; `None` where the disk is too full for that."""
        try:
            if shutil.disk_usage(self._folder).free < size + _FREE_BYTES:
                return None
            # Never one that another fetch of the same layer still writes.
            return (self._folder / f"{digest}.part").open("xb", buffering=0)
        except OSError:
            return None

    def keep_copy(self, digest: str, size: int) -> bool:
        """Serve a copy whose layer has been verified; it goes if the disk was too full for all of it."""
        copy = self._folder / f"{digest}.part"
        try:
            if copy.stat().st_size != size:
                copy.unlink()
                return False
            copy.replace(self._folder / digest)
        except OSError:  # the room has been closed
            return False
        self._kept.add(digest)
        return True

    def drop_copy(self, digest: str) -> None:
        """Forget a copy that will not be complete."""
        (self._folder / f"{digest}.part").unlink(missing_ok=True)

    # -- serving -------------------------------------------------------------------------------------------------------

    async def _attend(self, link: Link) -> None:
        is_greeted = False
        while events := await _receive_in_time(link):
            for event in events:
                if isinstance(event, wire.ConnectionClosed):
                    return
                if isinstance(event, wire.Feature) and event.name == wire.DIALECT_FEATURE and not is_greeted:
                    link.send(wire.Hello(1, ""))
                    is_greeted = True
                elif isinstance(event, wire.LayerRequest) and not await self._send(link, event.digest):
                    return

    async def _send(self, link: Link, digest: str) -> bool:
        if digest not in self._kept or self._uploads >= _MOST_UPLOADS:
            return False
        self._uploads += 1
        try:
            with (self._folder / digest).open("rb", buffering=0) as file:
                size = file.seek(0, 2)
                link.send(wire.Layer(digest, size))
                async with asyncio.timeout(_find_time(size)):
                    await link.send_file(file, 0, size)
                    await link.drain()
        except (OSError, TimeoutError) as error:
            _log.info("layer %s was not passed on to %s: %s", digest[:12], link.peer_address, error)
            return False
        finally:
            self._uploads -= 1
        return True


async def _receive_in_time(link: Link) -> list[wire.Event]:
    """Wait for events; nothing comes of a peer that takes too long."""
    try:
        async with asyncio.timeout(_SHORTEST_SECONDS):
            return await link.receive()
    except TimeoutError:
        return []


class PeerLinks:
    """Fetches layers from other workers; the connection to each is kept for its next layer, for a while.

    Args:
        is_encrypted: accept nothing but TLS.
    """

    def __init__(self, *, is_encrypted: bool) -> None:
        self._is_encrypted = is_encrypted
        self._idle: dict[tuple[str, int, str], tuple[Link, asyncio.TimerHandle]] = {}
        self._is_closed = False

    async def fetch(self, order: wire.FetchLayer, size: int, feed: LayerFeed) -> None:
        """Fetch a layer from another worker; `feed` has all of it when this returns.

        Args:
            order: what to fetch, and from whom.
            size: how many stored bytes the layer has.
            feed: takes the layer's stored bytes.

        Raises:
            PeerError: it cannot be had there.
        """
        if self._is_encrypted and not order.fingerprint:
            raise PeerError("that worker speaks no TLS, and the manager does")
        try:
            async with asyncio.timeout(_find_time(size)):
                await self._fetch(order, size, feed)
        except TimeoutError as error:
            raise PeerError(f"{order.host}:{order.port} sent too little in too long a time") from error
        except (WQPackageError, OSError, ValueError) as error:
            raise PeerError(f"{order.host}:{order.port}: {error}") from error

    async def _fetch(self, order: wire.FetchLayer, size: int, feed: LayerFeed) -> None:
        link = self._take(order)
        is_greeted = link is not None
        if link is None:
            tls = TlsOptions(fingerprint=order.fingerprint) if order.fingerprint else None
            password = order.secret.encode()
            link = await connect(order.host, order.port, password=password, tls=tls, timeout=_CONNECT_SECONDS)
            link.send(*_GREETING)
        try:
            await _receive_layer(link, order.digest, size, feed, is_greeted=is_greeted)
        except BaseException:
            await link.aclose()
            raise
        if not self._keep(order, link):
            await link.aclose()

    def _take(self, order: wire.FetchLayer) -> Link | None:
        link, timer = self._idle.pop((order.host, order.port, order.secret), (None, None))
        if timer is not None:
            timer.cancel()
        return None if link is None or link.is_closed else link

    def _keep(self, order: wire.FetchLayer, link: Link) -> bool:
        place = (order.host, order.port, order.secret)
        if self._is_closed or place in self._idle:
            return False
        timer = asyncio.get_running_loop().call_later(_KEEP_SECONDS, self._drop, place)
        self._idle[place] = (link, timer)
        return True

    def _drop(self, place: tuple[str, int, str]) -> None:
        self._idle.pop(place)[0].close()

    async def aclose(self) -> None:
        """Keep no connection any more."""
        self._is_closed = True
        while self._idle:
            link, timer = self._idle.popitem()[1]
            timer.cancel()
            await link.aclose()


async def _receive_layer(
    link: Link, digest: str, size: int, feed: LayerFeed, *, is_greeted: bool = False
) -> None:
    is_asked = is_greeted
    if is_greeted:
        link.send(wire.LayerRequest(digest))
    while True:
        async with asyncio.timeout(_STALL_SECONDS):
            events = await link.receive()
        for event in events:
            match event:
                case wire.Hello() if not is_asked:
                    link.send(wire.LayerRequest(digest))
                    is_asked = True
                case wire.Layer():
                    if (event.digest, event.size) != (digest, size):
                        raise PeerError("it sent another layer than it was asked for", is_lie=True)
                case wire.Data():
                    feed.feed(event.body)
                case wire.EndOfBody():
                    return
                case _:
                    raise QueueError("it has no such layer, or no time for it")
        await feed.wait_for_room()


def _find_time(size: int) -> float:
    return max(_SHORTEST_SECONDS, size / _SLOWEST_RATE)

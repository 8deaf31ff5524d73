"""Tells catalogs that a manager is there (shell module).

Knows sockets and the catalog's two ways to be told; decides nothing about what is told. A catalog that cannot be
reached is no reason for a manager to stop: it is logged once, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import Callable, Mapping, Sequence

from wq_package.catalog.address import CatalogAddress
from wq_package.catalog.records import encode_update

_logger = logging.getLogger(__name__)

INTERVAL = 60.0
MAX_DATAGRAM = 60_000
TCP_TIMEOUT = 10.0
PARTING_LIFETIME = 1
"""Seconds for which a record lives on after its manager has said that it ends."""


class UpdateProtocol(enum.Enum):
    """How updates travel."""

    UDP = "udp"
    """To the catalog's port, one datagram each; larger ones go by TCP."""
    TCP = "tcp"
    """To the port after it, one connection each."""


class Advertiser:
    """Tells catalogs about one manager, again and again.

    Args:
        catalogs: whom to tell.
        make_record: makes the record; called in the loop each time.
        protocol: how.
        interval: seconds between updates.
    """

    def __init__(
        self,
        catalogs: Sequence[CatalogAddress],
        make_record: Callable[[], Mapping[str, object]],
        *,
        protocol: UpdateProtocol = UpdateProtocol.UDP,
        interval: float = INTERVAL,
    ) -> None:
        self._catalogs = tuple(catalogs)
        self._make_record = make_record
        self._protocol = protocol
        self._interval = interval
        self._unreachable: set[CatalogAddress] = set()

    async def run(self) -> None:
        """Advertise until cancelled, then say goodbye."""
        try:
            while True:
                await self.update()
                await asyncio.sleep(self._interval)
        finally:
            # A catalog keeps a record for half an hour; this shortens it to a second.
            with contextlib.suppress(Exception):
                await self._tell({**self._make_record(), "lifetime": PARTING_LIFETIME})

    async def update(self) -> None:
        """Tell every catalog once."""
        await self._tell(self._make_record())

    async def _tell(self, record: Mapping[str, object]) -> None:
        data = encode_update(record)
        await asyncio.gather(*(self._send(catalog, data) for catalog in self._catalogs))

    async def _send(self, catalog: CatalogAddress, data: bytes) -> None:
        try:
            await send_update(catalog, data, self._protocol)
        except (OSError, TimeoutError) as error:
            if catalog not in self._unreachable:
                _logger.warning("the catalog %s cannot be told: %s", catalog, error)
            self._unreachable.add(catalog)
        else:
            self._unreachable.discard(catalog)


async def send_update(catalog: CatalogAddress, data: bytes, protocol: UpdateProtocol) -> None:
    """Send one encoded record; the catalog does not answer.

    Raises:
        OSError: it cannot be reached, as far as one can know.
        TimeoutError: it takes too long.
    """
    if protocol is UpdateProtocol.UDP and len(data) <= MAX_DATAGRAM:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(catalog.host, catalog.port)
        )
        transport.sendto(data)
        transport.close()
        return
    async with asyncio.timeout(TCP_TIMEOUT):
        _, writer = await asyncio.open_connection(catalog.host, catalog.port + 1)
        try:
            writer.write(data)
            await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

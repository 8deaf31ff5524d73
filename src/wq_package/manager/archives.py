"""Open environment archives, by environment digest (shell module)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wq_package.archive.reader import ArchiveReader
from wq_package.errors import ArchiveError
from wq_package.protocol.messages import EnvironmentOffer, LayerName
from wq_package.task import Environment

MOST_OPEN = 64
"""How many archives that nobody needs at the moment stay open: a program that goes on for weeks may have thousands."""


@dataclass(slots=True, eq=False)
class OpenArchive:
    """An archive that layers are sent from."""

    offer: EnvironmentOffer
    file: BinaryIO
    ranges: Mapping[str, tuple[int, int]]
    """Layer's digest → offset and size."""
    users: int = 0


class Archives:
    """The archives that are being sent; the one that was unused for longest is closed when they are many."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], OpenArchive] = {}

    @contextlib.asynccontextmanager
    async def use(self, environment: Environment) -> AsyncIterator[OpenArchive]:
        """Have an environment's archive open.

        Raises:
            ArchiveError: it cannot be read, or has another environment in it.
        """
        archive = await self._find(environment)
        archive.users += 1
        try:
            yield archive
        finally:
            archive.users -= 1
            self._close_some()

    def _close_some(self) -> None:
        unused = [key for key, archive in self._open.items() if not archive.users]
        for key in unused[: max(0, len(self._open) - MOST_OPEN)]:
            self._open.pop(key).file.close()

    async def _find(self, environment: Environment) -> OpenArchive:
        key = (environment.digest, environment.archive)
        found = self._open.pop(key, None)
        if found is None:
            found = await asyncio.to_thread(_open_archive, environment)
            if key in self._open:  # another worker was offered it meanwhile
                found.file.close()
                found = self._open.pop(key)
        self._open[key] = found  # as the one that was used last
        return found

    def close(self) -> None:
        """Close all of them."""
        for archive in self._open.values():
            archive.file.close()
        self._open.clear()


def _open_archive(environment: Environment) -> OpenArchive:
    path = Path(environment.archive)
    with ArchiveReader(path) as reader:
        if reader.index.environment != environment.digest:
            raise ArchiveError(
                f"`{path}` has environment {reader.index.environment[:12]} in it, not {environment.digest[:12]}",
                hint="it was replaced after the task was made; build it again",
            )
        layers = tuple(LayerName(layer.digest, layer.stored_size) for layer in reader.index.layers)
        ranges = {layer.digest: reader.layer_range(layer.digest) for layer in reader.index.layers}
        offer = EnvironmentOffer(environment.digest, layers, environment.imports, reader.index_text)
    return OpenArchive(offer, path.open("rb", buffering=0), ranges)

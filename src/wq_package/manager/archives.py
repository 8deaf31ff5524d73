"""Open environment archives, by environment digest (shell module)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wq_package.archive.reader import ArchiveReader
from wq_package.errors import ArchiveError
from wq_package.protocol.messages import EnvironmentOffer, LayerName
from wq_package.task import Environment


@dataclass(frozen=True, slots=True, eq=False)
class OpenArchive:
    """An archive that layers are sent from."""

    offer: EnvironmentOffer
    file: BinaryIO
    find_range: Callable[[str], tuple[int, int]]

    def has_layer(self, digest: str) -> bool:
        """Tell whether the archive has a layer of this digest."""
        return any(layer.digest == digest for layer in self.offer.layers)


class Archives:
    """The archives that are being sent; opened once, closed at the end."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], OpenArchive] = {}

    async def open(self, environment: Environment) -> OpenArchive:
        """Open an environment's archive.

        Raises:
            ArchiveError: it cannot be read, or has another environment in it.
        """
        key = (environment.digest, environment.archive)
        found = self._open.get(key)
        if found is None:
            found = await asyncio.to_thread(_open_archive, environment)
            if key in self._open:  # another worker was offered it meanwhile
                found.file.close()
            found = self._open.setdefault(key, found)
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
    return OpenArchive(offer, path.open("rb", buffering=0), ranges.__getitem__)

"""Layers into the store, environments out of it (shell module).

Knows the store and the threads that wait for it. Knows nothing of tasks. A layer is unpacked while it arrives.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from wq_package.archive.index_text import TextError, parse_index
from wq_package.archive.launcher import make_environment_variables
from wq_package.archive.layer import ArchiveIndex
from wq_package.archive.platform import check_platform
from wq_package.errors import CorruptArchiveError, UnsafeMemberError, WQPackageError
from wq_package.protocol import messages as wire
from wq_package.worker.cache import remove_tree
from wq_package.worker.hosts import Interpreter
from wq_package.worker.layer_feed import CopyingReader, LayerFeed

if TYPE_CHECKING:
    from wq_package.worker.peers import PeerRoom
    from wq_package.worker.store import Store
    from wq_package.worker.store.claims import Claims
    from wq_package.worker.store.locks import Lease

__all__ = ["EnvironmentRoom", "Lacking", "LayerEnd", "render_failure"]

_log = logging.getLogger(__name__)
_THREADS = 2
_LAYERS_AT_ONCE = 4
"""One more than arrive at once from other workers: a layer that nobody reads would hold up what the manager says behind it."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Lacking:
    """Layers that the store lacks.

    Attributes:
        mine: this worker has undertaken to fetch them.
        awaited: another worker of the store has.
        size: uncompressed bytes of both.
    """

    mine: tuple[str, ...]
    awaited: tuple[str, ...]
    size: int = 0


@dataclass(frozen=True, slots=True)
class LayerEnd:
    """What became of a layer that was to be stored.

    Attributes:
        error: why it is not there, or an empty text.
        is_damaged: its bytes were not what they should be, or they ended early.
        is_served: other workers can have it from here.
    """

    error: str = ""
    is_damaged: bool = False
    is_served: bool = False


class EnvironmentRoom:
    """Brings environments from the wire to their prefixes.

    Args:
        store: where they are kept.
        limit_bytes: what the store may take, if there is a limit.
        free_bytes: what it leaves free of its disk.
    """

    def __init__(self, store: Store, limit_bytes: int | None = None, free_bytes: int = 0) -> None:
        self._store = store
        self._limit_bytes = limit_bytes
        self._free_bytes = free_bytes
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="layers")
        self._quick = ThreadPoolExecutor(1, thread_name_prefix="claims")  # never waits for a network
        self._storing = ThreadPoolExecutor(_LAYERS_AT_ONCE, thread_name_prefix="storing")
        self._claims = store.open_claims()
        self._leases: dict[str, Lease] = {}
        self._composed: set[str] = set()
        self._looked: dict[str, float] = {}  # when each environment was last looked for
        self._sizes: dict[str, int] = {}  # uncompressed, of every layer that was ever offered
        self._stored_sizes: dict[str, int] = {}
        self.is_short = False
        """Whether there was too little room when last it was looked at."""

    @property
    def store(self) -> Store:
        """Where all of this is kept."""
        return self._store

    async def find_missing(self, offer: wire.EnvironmentOffer) -> Lacking:
        """Name the layers of an offer that the store lacks; those that it has are kept from now on.

        Raises:
            WQPackageError: the offer makes no sense, or the store cannot be used.
            OSError: likewise.
        """
        return await self._call(self._quick, self._find_missing, offer, self._claims)

    def _find_missing(self, offer: wire.EnvironmentOffer, claims: Claims) -> Lacking:
        index = _parse_index(offer)
        check_platform(index)  # before anything travels
        self._sizes.update({layer.digest: layer.size for layer in index.layers})
        self._stored_sizes.update({layer.digest: layer.stored_size for layer in index.layers})
        self._looked[offer.digest] = time.time()
        self._hold(offer.digest, index.digests)
        missing = self._store.find_missing_layers(index.digests)
        return replace(self._claim(missing, claims), size=sum(self._sizes[digest] for digest in missing))

    async def make_room(self, size: int) -> bool:
        """Remove what nobody uses, if the store or its disk would else be too full; tell whether there is room now.

        Raises:
            OSError: the store cannot be used.
        """
        return await self._call(self._quick, self._make_room, size)

    def _make_room(self, size: int) -> bool:
        limit = None if self._limit_bytes is None else max(0, self._limit_bytes - size)
        evicted = self._store.evict(limit, free_bytes=self._free_bytes + size)
        if evicted.freed:
            _log.info("%.0f MB that nobody used were removed from the store", evicted.freed / 1e6)
        self.is_short = evicted.lacking > 0
        return not self.is_short

    async def look_again(self, awaited: Sequence[str]) -> Lacking:
        """Tell which layers are still awaited, and which are now ours to fetch; the others are here.

        Raises:
            OSError: the store cannot be used.
        """
        return await self._call(self._quick, self._look_again, awaited, self._claims)

    def _look_again(self, awaited: Sequence[str], claims: Claims) -> Lacking:
        left = [digest for digest in awaited if not self._store.has_layer(digest)]
        # One lock tells enough, or dozens of workers would spend their time trying all of them.
        first = self._claim(left[:1], claims)
        if first.awaited:
            return Lacking((), tuple(left))
        others = self._claim(left[1:], claims)
        return Lacking(first.mine + others.mine, others.awaited)

    def _claim(self, layers: Sequence[str], claims: Claims) -> Lacking:
        mine: list[str] = []
        awaited: list[str] = []
        for digest in layers:
            if self._store.has_layer(digest):
                continue
            if not claims.take(digest):
                awaited.append(digest)
            elif self._store.has_layer(digest):  # it came between the two looks
                claims.give_back(digest)
            else:
                mine.append(digest)
        return Lacking(tuple(mine), tuple(awaited))

    def release_layer(self, digest: str) -> None:
        """Let another worker fetch a layer."""
        self._claims.give_back(digest)

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments that were ever composed here."""
        return tuple(self._composed)

    def remove(self) -> None:
        """Let everything go, and remove the store."""
        self.close()
        remove_tree(str(self._store.root))

    async def end_session(self) -> None:
        """Let go of all that the manager that has gone wanted: what was to be fetched, and what was in use."""
        self._claims.close()
        self._claims = self._store.open_claims()
        await self._call(self._quick, self._release)

    def _release(self) -> None:
        while self._leases:
            self._leases.popitem()[1].close()
        self._keep_small()

    def _keep_small(self) -> None:
        try:
            self._make_room(0)
        except (WQPackageError, OSError) as error:
            _log.warning("the store cannot be kept small: %s", render_failure(error))

    @property
    def leased(self) -> tuple[str, ...]:
        """The environments that are kept from eviction."""
        return tuple(self._leases)

    def rest(self, environment: str) -> None:
        """Keep an environment from eviction no longer, and keep the store small; done before what is asked next."""
        self._quick.submit(self._rest, environment)

    def _rest(self, environment: str) -> None:
        lease = self._leases.pop(environment, None)
        if lease is not None:
            lease.close()
        self._keep_small()

    def _hold(self, environment: str, layers: tuple[str, ...]) -> None:
        if environment not in self._leases:
            self._leases[environment] = self._store.lease(environment, layers)

    def find_stored_size(self, digest: str) -> int | None:
        """Find how many bytes of a layer travel, if it was ever offered."""
        return self._stored_sizes.get(digest)

    def receive_layer(
        self, layer: wire.Layer, on_end: Callable[[LayerEnd], None], peers: PeerRoom | None = None
    ) -> LayerFeed:
        """Begin to store a layer; its claim stays until it is released.

        Args:
            layer: what arrives.
            on_end: called when it is there, or will not be.
            peers: where a copy is kept to pass it on.
        """
        loop = asyncio.get_running_loop()
        feed = LayerFeed(loop, partial(self._claims.note_progress, layer.digest))
        size = self._sizes.get(layer.digest, 0)  # the wire tells the compressed one only

        def store() -> None:
            end = _store(self._store, layer, size, feed, peers)
            if end.error:
                feed.abort()
            loop.call_soon_threadsafe(on_end, end)

        self._storing.submit(store)
        return feed

    async def compose(self, offer: wire.EnvironmentOffer) -> Interpreter:
        """Compose an environment.

        Raises:
            WQPackageError: the store cannot be used.
            OSError: likewise.
        """
        return await self._call(self._threads, self._compose, offer)

    def _compose(self, offer: wire.EnvironmentOffer) -> Interpreter:
        self._composed.add(offer.digest)
        layers = [layer.digest for layer in offer.layers]
        # Of the workers that wait for one store, one composes; the others need not look at every file once more.
        prefix = self._store.compose(offer.digest, layers, offer.index, since=self._looked.get(offer.digest))
        environ = make_environment_variables(prefix, {k: v for k, v in os.environ.items() if k != "DISPLAY"})
        return Interpreter(str(prefix / "bin" / "python3"), environ, offer.imports)

    async def _call(self, threads: ThreadPoolExecutor, function: Callable[..., _T], *args: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(threads, function, *args)

    def close(self) -> None:
        """Let every environment go."""
        self._claims.close()
        for threads in (self._storing, self._threads, self._quick):
            threads.shutdown(wait=True, cancel_futures=True)
        for lease in self._leases.values():
            lease.close()


def _store(store: Store, layer: wire.Layer, size: int, feed: LayerFeed, peers: PeerRoom | None) -> LayerEnd:
    digest = layer.digest
    copy = None if peers is None else peers.open_copy(digest, layer.size)
    source = feed if copy is None else CopyingReader(feed, copy)
    try:
        is_verified = store.add_layer(digest, size, io.BufferedReader(source, 1 << 18))
    except Exception as failure:  # noqa: BLE001 - whoever waits for the layer must hear of it, whatever it is
        if copy is not None and peers is not None:
            peers.drop_copy(digest)
        is_damaged = isinstance(failure, CorruptArchiveError | UnsafeMemberError)
        error = f"layer {digest[:12]} could not be stored: {render_failure(failure)}"
        return LayerEnd(error, is_damaged=is_damaged)
    finally:
        if copy is not None:
            copy.close()
    if copy is None or peers is None:
        return LayerEnd()
    if is_verified:
        return LayerEnd(is_served=peers.keep_copy(digest, layer.size))
    peers.drop_copy(digest)
    return LayerEnd()


def _parse_index(offer: wire.EnvironmentOffer) -> ArchiveIndex:
    """Read the index of an offer, and compare it with the offer itself."""
    try:
        index = parse_index(offer.index)
    except TextError as error:
        raise CorruptArchiveError("index", (str(error),)) from error
    if index.environment != offer.digest or index.digests != tuple(layer.digest for layer in offer.layers):
        raise CorruptArchiveError("index", ("it is not that of the environment offered",))
    return index


def render_failure(error: Exception) -> str:
    """Say in one sentence why an environment cannot be used; log what nobody has foreseen."""
    if isinstance(error, OSError):
        return f"the worker's store cannot be used: {error.strerror or error}"
    told = "; ".join(line.strip(" -") for line in str(error).splitlines())
    if isinstance(error, WQPackageError):
        return told
    _log.error("an environment failed", exc_info=error)
    return f"the worker failed: {type(error).__name__}{': ' * bool(told)}{told}"

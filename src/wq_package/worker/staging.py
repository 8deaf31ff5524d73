"""Environments and their layers in one session: offered, fetched, composed (shell module).

Knows one manager's link, the store behind `EnvironmentRoom`, other workers by `PeerRoom`, and the warm interpreters that
an environment must be able to start. Decides nothing: the state says what is asked for, the manager who is asked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

from wq_package.errors import QueueError, WQPackageError
from wq_package.link import Link
from wq_package.protocol import messages as wire
from wq_package.worker import actions as act
from wq_package.worker import events as ev
from wq_package.worker.environments import LayerEnd, render_failure
from wq_package.worker.layer_feed import LayerFeed
from wq_package.worker.outbox import Outbox
from wq_package.worker.peers import PeerError, PeerLinks, PeerRoom

if TYPE_CHECKING:
    from wq_package.worker.client import Worker

__all__ = ["Staging"]

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.1


class Staging:
    """What one session has under way to bring environments to their prefixes.

    Args:
        handle: takes the events that follow.
    """

    def __init__(
        self, worker: Worker, link: Link, outbox: Outbox, handle: Callable[[ev.Event], None]
    ) -> None:
        self._worker = worker
        self._link = link
        self._outbox = outbox
        self._handle = handle
        self._feed: LayerFeed | None = None
        self._feeds: set[LayerFeed] = set()
        self._peers: PeerRoom | None = None
        self._links: PeerLinks | None = None
        self._serving: asyncio.Task[None] | None = None
        self._offered: dict[str, float] = {}
        self._clearing = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def carry_out(self, action: act.Action) -> None:
        """Do what the state says about environments."""
        match action:
            case act.ExamineEnvironment():
                self._spawn(self._examine(action.offer))
            case act.ReleaseLayer():
                self._worker.environments.release_layer(action.digest)
            case act.ComposeEnvironment():
                self._spawn(self._compose(action.offer))
            case act.RestEnvironment():
                self._worker.calls.retire_idle(action.environment)
                self._worker.environments.rest(action.environment)
            case _:
                raise AssertionError(action)

    def receive(self, message: wire.Layer | wire.ServePeers | wire.FetchLayer) -> None:
        """Do what the manager says: take a layer whose pieces come next, or exchange layers with other workers."""
        match message:
            case wire.Layer():
                self._begin_layer(message)
            case wire.FetchLayer():
                self._spawn(self._fetch_layer(message))
            case wire.ServePeers():
                self._serving = self._serving or self._spawn(self._serve_peers())

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Give up what is under way, and let other workers fetch it."""
        self._is_closed = True
        for feed in self._feeds:
            feed.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._worker.release_environments()
        if self._links is not None:
            await self._links.aclose()
        if self._peers is not None:
            await self._peers.close()

    # -- layers from the manager ---------------------------------------------------------------------------------------

    @property
    def is_receiving(self) -> bool:
        """Whether the next pieces are a layer's."""
        return self._feed is not None

    @property
    def is_busy(self) -> bool:
        """Whether layers are being fetched or unpacked, or an environment is composed."""
        return bool(self._feeds or self._tasks)

    def take_piece(self, piece: bytes) -> None:
        """Add a piece to the layer that arrives."""
        assert self._feed is not None
        self._feed.feed(piece)

    def end_layer(self) -> None:
        """Count the layer that arrives as complete."""
        if self._feed is not None:
            self._feed.complete()
        self._feed = None

    async def wait_for_room(self) -> None:
        """Wait until the disk has caught up."""
        if self._feed is not None:
            await self._feed.wait_for_room()

    def _begin_layer(self, layer: wire.Layer) -> None:
        def end(end: LayerEnd) -> None:
            self._feeds.discard(feed)
            if not self._is_closed:  # else its claim is given back already, and its store may be gone
                self._end_layer(layer.digest, end)

        self._feed = feed = self._worker.environments.receive_layer(layer, end, self._peers)
        self._feeds.add(feed)

    def _end_layer(self, digest: str, end: LayerEnd) -> None:
        # In the loop: whoever claims it next comes after what the state makes of this.
        self._worker.environments.release_layer(digest)
        if end.error:
            self._handle(ev.LayerBroken(digest, end.error))
            return
        if self._peers is not None and not self._link.is_closed:
            self._outbox.send(wire.LayerStored(digest, end.is_served))
        self._handle(ev.LayerStored(digest))

    # -- other workers -------------------------------------------------------------------------------------------------

    async def _serve_peers(self) -> None:
        """Open a server for other workers, if the manager can be believed and nobody forbids it."""
        worker, link = self._worker, self._link
        if not worker.options.peers or not link.is_authenticated:
            return
        room = PeerRoom(worker.workspace / f"served.{next(worker.serials)}")
        try:
            address = await room.start(
                link.local_host, worker.options.peer_port, is_encrypted=link.is_encrypted
            )
        except QueueError as error:
            _log.info("layers are not exchanged with other workers: %s", error)
            await room.close()
        except BaseException:
            await room.close()
            raise
        else:
            self._peers = room
            self._links = PeerLinks(is_encrypted=link.is_encrypted)
            self._outbox.send(address)

    async def _fetch_layer(self, order: wire.FetchLayer) -> None:
        environments, digest = self._worker.environments, order.digest
        size = environments.find_stored_size(digest)
        if self._links is None or size is None:
            self._outbox.send(wire.FetchFailed(digest, "the worker was not offered this layer"))
            return
        ended: asyncio.Future[LayerEnd] = asyncio.get_running_loop().create_future()

        def finish(end: LayerEnd) -> None:
            if not ended.done():  # we may have been cancelled
                ended.set_result(end)

        feed = environments.receive_layer(wire.Layer(digest, size), finish, self._peers)
        self._feeds.add(feed)
        failure: PeerError | None = None
        try:
            await self._links.fetch(order, size, feed)
            feed.complete()
        except PeerError as error:
            failure = error
            feed.abort()
        end = await ended
        self._feeds.discard(feed)
        if failure is None and not (end.error and end.is_damaged):
            self._end_layer(digest, end)
        if failure is not None or end.error:
            is_lie = failure.is_lie if failure is not None else end.is_damaged
            self._outbox.send(wire.FetchFailed(digest, str(failure or end.error), is_lie))

    def note_idle(self) -> None:
        """Tell the state which environments have no interpreter any more."""
        worker = self._worker
        for environment in worker.list_leased():
            if not worker.calls.has_host(environment):
                self._handle(ev.EnvironmentIdle(environment))
        if worker.is_store_short and self._list_idle() and not self._clearing:
            self._spawn(self._clear_out(0))

    def _list_idle(self) -> list[str]:
        leased = set(self._worker.list_leased())
        return [environment for environment in self._worker.calls.list_idle() if environment in leased]

    async def _clear_out(self, size: int) -> None:
        """Make room in the store as far as that is possible."""
        self._clearing += 1
        try:
            await self.make_room(size)
        except (WQPackageError, OSError) as error:
            _log.warning("the store cannot be kept small: %s", render_failure(error))
        finally:
            self._clearing -= 1

    async def make_room(self, size: int) -> bool:
        """Make room in the store, and tell whether there is enough; environments without a call go for it, too.

        Raises:
            WQPackageError: the store cannot be used.
            OSError: likewise.
        """
        worker = self._worker
        is_enough = await worker.environments.make_room(size)
        for environment in () if is_enough else self._list_idle():
            self._handle(ev.EnvironmentIdle(environment))
            if await worker.environments.make_room(size):
                return True
        return is_enough

    # -- environments --------------------------------------------------------------------------------------------------

    async def _examine(self, offer: wire.EnvironmentOffer) -> None:
        self._offered[offer.digest] = time.monotonic()
        if self._serving is not None:  # the manager must know where we serve before it hears what we want
            await asyncio.wait([self._serving])
        try:
            lacking = await self._worker.environments.find_missing(offer)
            if lacking.size:
                await self._clear_out(lacking.size)
            self._handle(ev.EnvironmentExamined(offer.digest, lacking.mine, lacking.awaited))
            await self._await_layers(lacking.awaited)
        except Exception as error:  # noqa: BLE001 - the calls that wait for it must hear of it, whatever it is
            self._handle(ev.EnvironmentBroken(offer.digest, render_failure(error)))

    async def _await_layers(self, awaited: tuple[str, ...]) -> None:
        """Wait for what other workers fetch into the store, and fetch ourselves what they give up."""
        while awaited:
            await asyncio.sleep(_LOOK_SECONDS)
            lacking = await self._worker.environments.look_again(awaited)
            for digest in awaited:
                if digest in lacking.mine:
                    self._handle(ev.LayerClaimed(digest))
                elif digest not in lacking.awaited:
                    self._handle(ev.LayerStored(digest))
            awaited = lacking.awaited

    async def _compose(self, offer: wire.EnvironmentOffer) -> None:
        name, began = offer.digest[:12], time.monotonic()
        offered = self._offered.pop(offer.digest, began)
        try:
            interpreter = await self._worker.environments.compose(offer)
            composed = time.monotonic()
            self._worker.calls.register(offer.digest, interpreter)
            error_text = await self._worker.calls.warm(offer.digest)
        except Exception as error:  # noqa: BLE001 - the calls that wait for it must hear of it, whatever it is
            self._handle(ev.EnvironmentBroken(offer.digest, render_failure(error)))
            return
        times = (began - offered, composed - began, time.monotonic() - composed)
        if error_text:
            self._handle(ev.EnvironmentBroken(offer.digest, error_text))
        else:
            _log.info("environment %s: layers %.2f s, composed %.2f s, imports %.2f s", name, *times)
            self._handle(ev.EnvironmentComposed(offer.digest))

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import BinaryIO

import pytest

from wq_package.protocol import messages as wire
from wq_package.worker.environments import EnvironmentRoom, LayerEnd
from wq_package.worker.peers import PeerRoom
from wq_package.worker.store import Store

LAYER = wire.Layer("a" * 64, 3)


class BrokenStore(Store):
    """A store with a fault that nobody has foreseen."""

    def add_layer(self, digest: str, size_hint: int, stream: BinaryIO) -> bool:
        stream.read()
        raise RuntimeError("surprise")


class ReadingStore(Store):
    """A store that takes any bytes for a layer."""

    is_new = True

    def add_layer(self, digest: str, size_hint: int, stream: BinaryIO) -> bool:
        stream.read()
        return self.is_new


@pytest.mark.parametrize(
    ("body", "is_new", "is_served"), [(b"abc", True, True), (b"abc", False, False), (b"ab", True, False)]
)
def test_receive_layer__copy_is_not_to_be_served__does_not_stay(
    tmp_path: Path, body: bytes, is_new: bool, is_served: bool
) -> None:
    async def receive() -> LayerEnd:
        store = ReadingStore(tmp_path / "store")
        store.is_new = is_new
        room, peers = EnvironmentRoom(store), PeerRoom(tmp_path / "served")
        ended: asyncio.Future[LayerEnd] = asyncio.get_running_loop().create_future()
        feed = room.receive_layer(LAYER, ended.set_result, peers)
        feed.feed(body)
        feed.complete()
        end = await ended
        room.close()
        return end

    assert asyncio.run(receive()) == LayerEnd(is_served=is_served)
    kept = [path.name for path in (tmp_path / "served").iterdir()]
    assert kept == [LAYER.digest] * is_served


def test_receive_layer__fails_in_a_way_that_nobody_foresaw__is_told_all_the_same(tmp_path: Path) -> None:
    async def receive() -> LayerEnd:
        room = EnvironmentRoom(BrokenStore(tmp_path))
        ended: asyncio.Future[LayerEnd] = asyncio.get_running_loop().create_future()
        feed = room.receive_layer(LAYER, ended.set_result)
        feed.feed(b"abc")
        feed.complete()
        end = await ended
        room.close()
        return end

    end = asyncio.run(receive())
    assert end.error == f"layer {'a' * 12} could not be stored: the worker failed: RuntimeError: surprise"
    assert not end.is_damaged

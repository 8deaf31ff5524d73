from __future__ import annotations

import asyncio
from pathlib import Path
from typing import BinaryIO

from wq_package.protocol import messages as wire
from wq_package.worker.environments import EnvironmentRoom, LayerEnd
from wq_package.worker.store import Store

LAYER = wire.Layer("a" * 64, 3)


class BrokenStore(Store):
    """A store with a fault that nobody has foreseen."""

    def add_layer(self, digest: str, size_hint: int, stream: BinaryIO) -> bool:
        stream.read()
        raise RuntimeError("surprise")


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

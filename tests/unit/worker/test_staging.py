from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

from wq_package.protocol import messages as m
from wq_package.worker.environments import LayerEnd
from wq_package.worker.staging import Staging

LAYER = m.Layer("a" * 64, 3)


class PrivateWorker:
    """A worker whose environments go with each manager, and are made anew for the next."""

    def __init__(self) -> None:
        self.rooms: list[Any] = []
        self.ends: list[Any] = []
        self.released: list[str] = []
        self._is_open = False

    @property
    def environments(self) -> Any:
        if not self._is_open:
            self._is_open = True
            self.rooms.append(
                SimpleNamespace(receive_layer=self._receive_layer, release_layer=self.released.append)
            )
        return self.rooms[-1]

    def _receive_layer(self, layer: m.Layer, on_end: Any, peers: object) -> Any:
        self.ends.append(on_end)
        return Mock()

    async def release_environments(self) -> None:
        self._is_open = False


def test_layer__ends_after_its_manager_has_gone__opens_no_store_for_it() -> None:
    async def test() -> None:
        worker, nothing = PrivateWorker(), cast(Any, None)
        told: list[Any] = []
        staging = Staging(cast(Any, worker), nothing, nothing, told.append)
        staging.receive(LAYER)

        await staging.close()
        worker.ends[0](LayerEnd("the connection was lost"))

        assert (len(worker.rooms), worker.released, told) == (1, [], [])

    asyncio.run(test())


def test_layer__ends__is_told_and_others_may_fetch_it() -> None:
    async def test() -> None:
        worker, nothing = PrivateWorker(), cast(Any, None)
        told: list[Any] = []
        staging = Staging(cast(Any, worker), nothing, nothing, told.append)
        staging.receive(LAYER)
        worker.ends[0](LayerEnd("it was damaged"))
        assert worker.released == [LAYER.digest]
        assert [event.message for event in told] == ["it was damaged"]

    asyncio.run(test())

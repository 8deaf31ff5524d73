from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from wq_package.protocol import messages as m
from wq_package.worker.outbox import Outbox

PATIENCE = 120.0
LARGE = 100_000
LOST = m.Alive()


class StuckLink:
    """A link whose peer takes what is small, and nothing of a file until it may."""

    def __init__(self) -> None:
        self.sent: list[m.Message] = []
        self.bodies: list[bytes] = []
        self.has_room = asyncio.Event()

    def send(self, message: m.Message) -> None:
        self.sent.append(message)

    def send_body(self, body: bytes) -> None:
        self.bodies.append(body)

    async def send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        await self.has_room.wait()
        self.bodies.append(file.read(count))


def run(test: Callable[[StuckLink, Outbox], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        def fail(error: Exception) -> None:
            raise error

        link = StuckLink()
        await test(link, Outbox(cast(Any, link), fail))

    asyncio.run(asyncio.wait_for(whole(), PATIENCE))


async def wait_until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - an outbox tells nobody
        await asyncio.sleep(0)


def list_names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def make_result(task_id: int, size: int) -> m.Result:
    return m.Result(0, 0, size, 1, task_id)


def put(folder: Path, name: str, size: int) -> str:
    (folder / name).write_bytes(b"x" * size)
    return str(folder / name)


@pytest.mark.parametrize("size", [10, LARGE])
def test_send_file__is_sent_whole_and_removed(tmp_path: Path, size: int) -> None:
    async def test(link: StuckLink, outbox: Outbox) -> None:
        link.has_room.set()
        outbox.send_file(make_result(1, size), put(tmp_path, "out", size), size, LOST)
        await wait_until(lambda: not outbox.is_busy)
        assert (link.sent, link.bodies) == ([make_result(1, size)], [b"x" * size])
        assert list_names(tmp_path) == []

    run(test)


@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize("left", [None, 5])
def test_send_file__is_not_what_it_was__the_other_message_is_sent_and_those_behind_it(
    tmp_path: Path, size: int, left: int | None
) -> None:
    async def test(link: StuckLink, outbox: Outbox) -> None:
        if left is not None:
            put(tmp_path, "out", left)
        outbox.send_file(make_result(1, size), str(tmp_path / "out"), size, LOST)
        outbox.send_file(make_result(2, 3), put(tmp_path, "other", 3), 3, LOST)
        await wait_until(lambda: not outbox.is_busy)
        assert (link.sent, link.bodies) == ([LOST, make_result(2, 3)], [b"xxx"])
        assert list_names(tmp_path) == []

    run(test)


def test_close__leaves_no_file_that_was_still_to_be_sent(tmp_path: Path) -> None:
    async def test(link: StuckLink, outbox: Outbox) -> None:
        for number in range(3):
            outbox.send_file(make_result(number, LARGE), put(tmp_path, str(number), LARGE), LARGE, LOST)
        await wait_until(lambda: link.sent)
        assert len(list_names(tmp_path)) == 3

        await outbox.close()

        assert list_names(tmp_path) == []

    run(test)

from __future__ import annotations

import asyncio

import pytest

from wq_package.link import Flushes


def test_add__no_batch__is_written_at_the_end_of_the_turn() -> None:
    async def run() -> list[str]:
        flushes, written = Flushes(), list[str]()
        flushes.add(lambda: written.append("one"))
        flushes.add(lambda: written.append("two"))
        assert written == []
        await asyncio.sleep(0)
        return written

    assert asyncio.run(run()) == ["one", "two"]


def test_batch__is_written_at_its_end_with_what_came_before() -> None:
    async def run() -> list[str]:
        flushes, written = Flushes(), list[str]()
        flushes.add(lambda: written.append("before"))
        flushes.hold()
        flushes.add(lambda: written.append("in it"))
        assert written == []
        flushes.release()
        assert written == ["before", "in it"]
        await asyncio.sleep(0)
        flushes.add(lambda: written.append("after"))
        await asyncio.sleep(0)
        return written

    assert asyncio.run(run()) == ["before", "in it", "after"]


def test_write_out__one_cannot_be_written__the_others_are(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("gone")

    flushes, written = Flushes(), list[str]()
    flushes.hold()
    flushes.add(fail)
    flushes.add(lambda: written.append("other"))
    flushes.release()
    assert written == ["other"]
    assert "gone" in caplog.text

from __future__ import annotations

from wq_package.worker.bodies import STALL_SECONDS, BodyWatch


def test_is_coming__pieces_come_slowly__does() -> None:
    watch = BodyWatch(100.0)
    now = 100.0
    for received in range(1, 10):
        now += STALL_SECONDS - 1
        assert watch.is_coming(received, now)


def test_is_coming__nothing_for_too_long__does_not_until_something_comes() -> None:
    watch = BodyWatch(100.0)
    assert watch.is_coming(5, 101.0)
    assert not watch.is_coming(5, 101.0 + STALL_SECONDS)
    assert watch.is_coming(6, 102.0 + STALL_SECONDS)

from __future__ import annotations

import pytest

from wq_package.worker.devices import NO_DEVICES, DevicePool


def test_take__whole_cores__are_distinct_until_none_is_left() -> None:
    pool = DevicePool([4, 5, 6, 7])
    first, second = (pool.take(2, 0, is_pinned=True) for _ in range(2))
    assert (first.processors, second.processors) == ((4, 5), (6, 7))
    pool.give_back(first)
    assert pool.take(2, 0, is_pinned=True).processors == (4, 5)


def test_take__fractions__share_a_processor_only_when_they_must() -> None:
    pool = DevicePool([0, 1])
    halves = [pool.take(0.5, 0, is_pinned=True).processors for _ in range(4)]
    assert halves == [(0,), (1,), (0,), (1,)]


def test_take__more_than_there_are__is_all_of_them() -> None:
    assert DevicePool([0, 1]).take(8, 0, is_pinned=True).processors == (0, 1)


@pytest.mark.parametrize(("cores", "is_pinned"), [(1.0, False), (0.0, True)])
def test_take__nothing_of_its_own__may_run_anywhere(cores: float, is_pinned: bool) -> None:
    assert DevicePool([0, 1]).take(cores, 0, is_pinned=is_pinned) is NO_DEVICES


def test_take__graphics_cards__are_handed_out_one_by_one() -> None:
    pool = DevicePool([0], ["2", "3"])
    first = pool.take(1, 1, is_pinned=False)
    assert (first.gpus, pool.take(1, 1, is_pinned=True).gpus) == (("2",), ("3",))
    pool.give_back(first)
    assert pool.take(0, 1, is_pinned=False).gpus == ("2",)

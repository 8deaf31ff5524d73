"""What Work Queue's modes do beyond Work Queue; that they agree with it is a functional test."""

from __future__ import annotations

import pytest

from wq_package.resources import CategoryOptions, LabelMode, Usage, make_labels
from wq_package.resources.first_allocation import choose_max, choose_max_throughput, choose_min_waste
from wq_package.resources.labels import Labels
from wq_package.task import Resources

WORKER = Resources(16, 64000, 64000)
CLASSIC = [LabelMode.MAX, LabelMode.MIN_WASTE, LabelMode.MAX_THROUGHPUT]


def _make_labels(mode: LabelMode, **options: object) -> Labels:
    labels = make_labels(CategoryOptions(mode, **options))  # type: ignore[arg-type]  # its own keywords
    assert labels is not None
    return labels


def test_make_labels__fixed__has_none() -> None:
    assert make_labels(CategoryOptions()) is None


@pytest.mark.parametrize("mode", CLASSIC)
def test_ladder__one_large_task__has_it_as_the_second_step(mode: LabelMode) -> None:
    labels = _make_labels(mode, window=5)
    for memory in (9000, *[400] * 20):
        labels.observe(Usage(1, memory, 10, 60), WORKER)

    assert labels.ladder[-1].memory_mb == (9250 if len(labels.ladder) == 1 else 9000)


@pytest.mark.parametrize("mode", CLASSIC)
def test_ladder__a_task_needed_more__tries_that_much_next(mode: LabelMode) -> None:
    labels = _make_labels(mode, window=5)
    for _ in range(7):
        labels.observe(Usage(1, 400, 10, 60), WORKER)
    labels.observe_exhaustion(Usage(1, 700, 10, 60), WORKER)

    assert labels.ladder[1].memory_mb == 700


@pytest.mark.parametrize("mode", CLASSIC)
def test_ladder__most_tasks_need_more_than_all_before__starts_again(mode: LabelMode) -> None:
    labels = _make_labels(mode)
    for memory in [400] * 30 + [800] * 7:
        labels.observe(Usage(1, memory, 10, 60), WORKER)
    assert len(labels.ladder) > 0
    labels.observe(Usage(1, 800, 10, 60), WORKER)

    assert not labels.ladder
    assert not labels.is_steady
    for _ in range(25):
        labels.observe(Usage(1, 800, 10, 60), WORKER)
    assert next(step.memory_mb for step in labels.ladder) in (800, 1000)


def test_choose__nothing_known__is_none() -> None:
    assert choose_min_waste([], 100) is None
    assert choose_max_throughput([], 100) is None
    assert choose_max(-1, 250) is None


def test_choose__nothing_used__is_none() -> None:
    assert choose_min_waste([(0, 5, 10.0)], 0) is None


def test_choose__by_hand__follows_the_formulae() -> None:
    # 8 tasks of 10 s within 250 MB, 2 of 10 s within 1000 MB.
    buckets = [(250.0, 8, 80.0), (1000.0, 2, 20.0)]

    # The small box costs 250 · 10 + 1000 · 2, the large one 1000 · 10.
    assert choose_min_waste(buckets, 1000) == 250
    assert choose_max_throughput(buckets, 1000) == 250
    # With most tasks large, the smaller box is mostly in vain.
    assert choose_min_waste([(900.0, 2, 20.0), (1000.0, 8, 80.0)], 1000) == 1000


def test_choose_max__limits__keeps_within_them() -> None:
    assert choose_max(2100, 250) == 2250
    assert choose_max(2100, 250, None, 2200) == 2200
    assert choose_max(3, 1) == 3

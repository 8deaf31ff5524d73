from __future__ import annotations

import random

import pytest

from wq_package.resources import CategoryOptions, LabelMode, Usage, make_labels
from wq_package.resources.labels import Labels
from wq_package.task import Resources

WORKER = Resources(16, 64000, 64000)


def _make_labels(**options: object) -> Labels:
    labels = make_labels(CategoryOptions(LabelMode.ADAPTIVE, **options))  # type: ignore[arg-type]  # its own keywords
    assert labels is not None
    return labels


def _teach(labels: Labels, *memories: int, **others: int) -> None:
    for memory in memories:
        labels.observe(Usage(others.get("cores", 1), memory, others.get("disk", 10), 60), WORKER)


def test_ladder__too_few_measurements__is_empty() -> None:
    labels = _make_labels()
    _teach(labels, *[1000] * 4)

    assert labels.ladder == ()
    assert not labels.is_steady
    _teach(labels, 1000)
    assert labels.is_steady


def test_ladder__cores_are_scarce__is_generous_with_the_rest() -> None:
    labels = _make_labels()
    _teach(labels, *[1000] * 40, cores=2)

    assert labels.ladder[0] == Resources(
        2, 1500, 282
    )  # disk: the geometric mean of 10 and the 8000 MB for each of eight


def test_ladder__memory_is_scarce__is_tight() -> None:
    labels = _make_labels()
    _teach(labels, *[8000] * 40)

    assert labels.ladder[0].memory_mb == 8000


def test_ladder__disk_is_not_scarce__has_room_for_a_task_that_writes_ten_times_as_much() -> None:
    labels = _make_labels()
    _teach(labels, *[8000] * 40, disk=100)

    assert labels.ladder[0].memory_mb == 8000
    assert 800 <= (labels.ladder[0].disk_mb or 0) <= 1000


def test_ladder__disk_is_scarce__is_tight() -> None:
    labels = _make_labels()
    _teach(labels, *[100] * 40, disk=8000)

    assert labels.ladder[0].disk_mb == 8000


def test_ladder__two_kinds__steps_fit_each() -> None:
    labels = _make_labels()
    rng = random.Random(1)
    _teach(labels, *(rng.choice((3800, 3800, 12700)) for _ in range(200)))

    small, large = labels.ladder[:2]

    assert 3800 <= (small.memory_mb or 0) <= 4000
    assert 12700 <= (large.memory_mb or 0) <= 12800


def test_ladder__load_drifts__follows() -> None:
    labels = _make_labels()
    _teach(labels, *[2000] * 300)
    _teach(labels, *[20000] * 3000)

    assert (labels.ladder[0].memory_mb or 0) >= 20000


def test_ladder__exhausted_tasks_not_ended_yet__count_with_the_large() -> None:
    known = [3800] * 30 + [31000]
    forgetful, mindful = _make_labels(window=31), _make_labels(window=31)
    for serial in range(600):
        mindful.observe_exhaustion(Usage(1, 3801, 10, 60), WORKER, serial=serial)
    _teach(forgetful, *known)
    _teach(mindful, *known)

    assert (forgetful.ladder[0].memory_mb or 0) <= 4000
    assert (mindful.ladder[0].memory_mb or 0) >= 31000


def test_ladder__retried_tasks_end__are_no_longer_counted_twice() -> None:
    labels, plain = _make_labels(window=62), _make_labels(window=62)
    for serial in range(30):
        labels.observe_exhaustion(Usage(1, 3801, 10, 60), WORKER, serial=serial)
        labels.observe(Usage(1, 31000, 10, 60), WORKER, serial=serial, was_retried=True)
        plain.observe(Usage(1, 31000, 10, 60), WORKER)
    _teach(labels, *[3800] * 32)
    _teach(plain, *[3800] * 32)

    assert labels.ladder == plain.ladder != ()


def test_ladder__exhausted_beyond_all_that_was_seen__reaches_further() -> None:
    labels, unaware = _make_labels(), _make_labels()
    for serial in range(30):
        labels.observe_exhaustion(Usage(1, 15000, 10, 60), WORKER, serial=serial)
    _teach(labels, *[4000] * 10)
    _teach(unaware, *[4000] * 10)

    assert max(step.memory_mb or 0 for step in labels.ladder) > 15000
    assert labels.ladder != unaware.ladder


def test_ladder__category_has_limits__keeps_within_them() -> None:
    limits = {"minimum": Resources(cores=2, disk_mb=500), "maximum": Resources(memory_mb=3500)}
    labels = _make_labels(**limits)
    _teach(labels, *range(3000, 4000, 20))

    for step in labels.ladder:
        assert (step.cores or 0) >= 2
        assert (step.disk_mb or 0) >= 500
        assert (step.memory_mb or 0) <= 3500


def test_ladder__guess__is_there_from_the_start() -> None:
    guess = Resources(1, 500, 100)
    labels = _make_labels(guess=guess)

    assert labels.ladder == (guess,)
    _teach(labels, *[2000] * 10)
    assert guess not in labels.ladder


def _run(labels: Labels, start: int, rise: int, *, count: int = 1000, lag: int = 50) -> None:
    """Let tasks end that need more and more, each when `lag` others have begun after it."""
    rng = random.Random(3)
    serials: list[int] = []
    for number in range(count):
        serials.append(labels.begin())
        if number >= lag:
            memory = round(start + rise * (number - lag) + rng.gauss(0, 100))
            labels.observe(Usage(1, memory, 10, 60), WORKER, serial=serials[number - lag])


def test_ladder__needs_rise_steadily__reaches_those_that_begin_now() -> None:
    labels = _make_labels()
    _run(labels, 2000, 6)

    assert 8000 <= (labels.ladder[0].memory_mb or 0) <= 9500


def test_ladder__needs_fall_steadily__comes_down() -> None:
    labels = _make_labels()
    _run(labels, 20000, -12)

    assert 8000 <= (labels.ladder[0].memory_mb or 0) <= 9500


def test_ladder__many_exhausted_none_ended__is_made_anew() -> None:
    labels = _make_labels()
    _teach(labels, *[4000] * 100)
    before = labels.ladder
    changes = [
        labels.observe_exhaustion(Usage(1, 4100, 10, 60), WORKER, serial=serial) for serial in range(400)
    ]

    assert any(changes)
    assert (labels.ladder[0].memory_mb or 0) > (before[0].memory_mb or 0)


def test_ladder__exhausted_without_end__remembers_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wq_package.resources.adaptive.KEPT", 50)
    labels, few = _make_labels(window=10_000), _make_labels(window=10_000)
    for serial in range(1000):
        memory = 30000 if serial < 950 else 4100
        labels.observe_exhaustion(Usage(1, memory, 10, 60), WORKER, serial=serial)
        if serial >= 950:
            few.observe_exhaustion(Usage(1, memory, 10, 60), WORKER, serial=serial)
    for each in (labels, few):
        _teach(each, *[4000] * 10_000)

    assert labels.ladder == few.ladder != ()


def test_ladder__had_too_few_cores__is_given_as_many_as_others_used() -> None:
    labels = _make_labels()
    labels.observe(Usage(8, 1000, 10, 60), WORKER, cores=16)
    for _ in range(20):
        labels.observe(Usage(1, 1000, 10, 480), WORKER, cores=1)

    assert labels.ladder[0].cores == 8


def test_ladder__one_core_is_all_that_anybody_used__is_given_one() -> None:
    labels = _make_labels()
    labels.observe(Usage(1, 1000, 10, 60), WORKER, cores=16)
    for _ in range(20):
        labels.observe(Usage(1, 1000, 10, 60), WORKER, cores=1)

    assert labels.ladder[0].cores == 1

from __future__ import annotations

import pytest

from wq_package.worker.measure.gauge import (
    FIRST_DELAY,
    LONGEST_DELAY,
    LONGEST_LIMITED_DELAY,
    NEAR_DELAY,
    Gauge,
    Glance,
    Reading,
)

MB = 1024
START = 1000.0


def read(*megabytes: int, cpu: float = 0.0, threads: int = 1, faulted: int = 0) -> Reading:
    return Reading([size * MB for size in megabytes], cpu, threads, faulted * MB)


def test_memory__one_process__is_its_largest_size() -> None:
    gauge = Gauge(START)
    for size in (10, 300, 20):
        assert not gauge.needs_exact(START, read(size))
        gauge.add(START, read(size), None)
    assert gauge.memory == 300 * MB


def test_memory__ended_before_any_reading__is_what_the_system_says() -> None:
    gauge = Gauge(START)
    gauge.end(START + 0.05, 200 * MB, 0.04)
    assert (gauge.memory, gauge.processes) == (200 * MB, 1)
    assert gauge.cores == pytest.approx(0.8)


@pytest.mark.parametrize(("peak", "memory"), [(9, 3), (10, 3), (11, 11)])
def test_memory__mark_not_above_the_floor__says_nothing_if_there_was_a_reading(
    peak: int, memory: int
) -> None:
    gauge = Gauge(START)
    gauge.add(START, read(3), None)
    gauge.end(START + 1, peak * MB, 0.0, floor=10 * MB)
    assert gauge.memory == memory * MB


def test_memory__several_processes__is_read_exactly_when_they_may_have_a_new_peak() -> None:
    gauge = Gauge(START)
    together = read(100, 100, 100)
    assert gauge.needs_exact(START, together)
    gauge.add(START, together, 120 * MB)  # most of it is shared
    assert gauge.memory == 120 * MB
    assert not gauge.needs_exact(START + 1, together)
    assert gauge.needs_exact(START + 1, read(100, 100, 102))
    assert gauge.needs_exact(START + 60, together)  # by now they may have pages of their own
    assert not gauge.needs_exact(START + 60, read(60, 60))


def test_memory__a_shell_beside_its_command__is_a_sum() -> None:
    gauge = Gauge(START)
    assert not gauge.needs_exact(START, read(2, 100, 1))
    gauge.add(START, read(2, 100, 1), None)
    assert gauge.memory == 103 * MB


def test_memory__several_processes_and_nothing_exact__is_that_of_the_largest() -> None:
    gauge = Gauge(START)
    gauge.add(START, read(100, 80), None)
    assert (gauge.memory, gauge.processes) == (100 * MB, 2)


def test_memory__of_a_fork__is_what_it_has_grown_by() -> None:
    gauge = Gauge(START, base=300 * MB)
    gauge.add(START, read(350), None)
    assert gauge.memory == 50 * MB
    gauge.end(START + 1, 390 * MB, 0.1)
    assert gauge.memory == 90 * MB


def test_memory__of_a_fork_that_writes_to_what_it_was_given__is_read_exactly() -> None:
    gauge = Gauge(START, base=300 * MB)
    assert not gauge.needs_exact(START, read(310, faulted=11))
    copied = read(310, faulted=90)
    assert gauge.needs_exact(START, copied)
    gauge.add(START, copied, 88 * MB)
    assert gauge.memory == 88 * MB


def test_limit__held_more__is_an_excess_with_what_was_seen() -> None:
    gauge = Gauge(START, limit=100 * MB)
    gauge.add(START, read(100), None)
    assert gauge.excess == 0
    gauge.add(START, read(101), None)
    assert gauge.excess == 101 * MB


def test_limit__processes_that_share__are_not_counted_twice() -> None:
    gauge = Gauge(START, limit=150 * MB)
    gauge.add(START, read(100, 100), 110 * MB)
    assert gauge.excess == 0


def test_cores__busy_threads__are_counted_over_a_window() -> None:
    gauge = Gauge(START)
    gauge.add(START + 0.02, read(1, cpu=0.5, threads=4), None)  # too short to say anything
    gauge.add(START + 0.5, read(1, cpu=1.5, threads=4), None)
    gauge.add(START + 1.0, read(1, cpu=1.6, threads=4), None)
    gauge.end(START + 2.0, 0, 1.7)
    assert gauge.cores == pytest.approx(3.0)


def test_cores__clock_of_ticks__never_makes_one_thread_more_than_one() -> None:
    gauge = Gauge(START)
    gauge.add(START + 0.25, read(1, cpu=0.26), None)
    assert gauge.cores == 1.0


def test_due__calm_program__is_looked_at_ever_more_rarely() -> None:
    gauge, now = Gauge(START), START + FIRST_DELAY
    delays = []
    for _ in range(10):
        gauge.add(now, read(5), None)
        delays.append(gauge.due - now)
        now = gauge.due
    assert delays[0] < 0.1 < delays[-2]
    assert delays[-1] == pytest.approx(LONGEST_DELAY)


def test_due__limited_program__is_looked_at_often_enough_and_more_often_near_its_limit() -> None:
    gauge, now = Gauge(START, limit=100 * MB), START
    for _ in range(10):
        gauge.add(now, read(5), None)
        now = gauge.due
        assert gauge.due - now <= LONGEST_LIMITED_DELAY + 0.1
    gauge.add(now, read(80), None)
    assert gauge.due - now == pytest.approx(NEAR_DELAY)


def test_due__program_grows__is_looked_at_sooner() -> None:
    gauge, now = Gauge(START), START
    for _ in range(10):
        gauge.add(now, read(5), None)
        now = gauge.due
    gauge.add(now, read(50), None)
    assert gauge.due - now <= LONGEST_DELAY / 2 + 0.1


def begin_calm(limit: int = 0, held: int = 50, base: int = 0) -> Gauge:
    gauge = Gauge(START, limit * MB, base * MB)
    gauge.is_calm(START, Glance(held * MB, 0.0))
    gauge.add(START, read(held), None)
    return gauge


def test_glance__nothing_has_grown__is_enough_for_a_while() -> None:
    gauge = begin_calm()
    assert gauge.is_calm(START + 1, Glance(50 * MB, 0.01))
    assert gauge.due > START + 1
    assert not gauge.is_calm(START + 60, Glance(50 * MB, 0.01))


@pytest.mark.parametrize("held", [30, 50])
def test_glance__memory_has_grown__calls_for_a_reading(held: int) -> None:
    assert not begin_calm(held=held).is_calm(START + 0.2, Glance((held + 2) * MB, None))


def test_glance__near_the_limit__calls_for_a_reading_as_soon_as_anything_has_grown() -> None:
    assert begin_calm(limit=1000).is_calm(START + 0.2, Glance(50 * MB + 4, None))
    gauge = begin_calm(limit=60)
    assert gauge.is_calm(START + 0.2, Glance(50 * MB, None))
    assert not gauge.is_calm(START + 0.3, Glance(50 * MB + 4, None))


def test_glance__busier_than_ever__calls_for_a_reading() -> None:
    gauge = begin_calm()
    assert not gauge.is_calm(START + 1, Glance(50 * MB, 2.0))
    gauge.add(START + 1, read(50, cpu=2.0, threads=2), None)
    assert gauge.is_calm(START + 2, Glance(50 * MB, 4.0))


def test_glance__an_exact_reading_is_owed__is_not_enough() -> None:
    gauge = Gauge(START)
    gauge.add(START, read(100, 80), None)
    assert not gauge.is_calm(START + 0.1, Glance(180 * MB, None))
    gauge.add(START + 0.1, read(100, 80), 170 * MB)
    assert gauge.is_calm(START + 0.2, Glance(180 * MB, None))


def test_glance__of_a_fork__is_never_enough() -> None:
    assert not begin_calm(base=40).is_calm(START + 0.1, Glance(50 * MB, None))

from __future__ import annotations

from wq_package.resources.category import Usage
from wq_package.resources.trend import project


def _project(memories: list[int], serials: list[int], now: int) -> list[int]:
    usages = [Usage(1, memory, 10, 60) for memory in memories]
    return [usage.memory_mb for usage in project(usages, serials, [1.0] * len(usages), now)]


def test_project__on_a_line__all_arrive_at_the_same() -> None:
    assert _project([100, 200, 300], [0, 10, 20], 30) == [400, 400, 400]


def test_project__all_began_together__stay_as_they_are() -> None:
    assert _project([100, 200], [7, 7], 30) == [100, 200]


def test_project__falling_fast__leaves_half() -> None:
    assert _project([300, 200, 100], [0, 10, 20], 30) == [150, 100, 50]


def test_project__measured_but_without_weight__does_not_bend_the_line() -> None:
    usages = [Usage(1, memory, 10, 60) for memory in (100, 100, 5000)]

    ahead = [usage.memory_mb for usage in project(usages, [0, 1, 2], [1.0, 1.0, 0.0], 9)]

    assert ahead == [100, 100, 5000]

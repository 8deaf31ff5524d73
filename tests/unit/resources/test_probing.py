from __future__ import annotations

import pytest

from wq_package.resources import count_parts, divide, enlarge
from wq_package.task import Resources


@pytest.mark.parametrize(
    ("worker", "cores", "parts"),
    [
        (1, 16, 4),
        (2, 16, 16),
        (3, 16, 16),
        (4, 16, 16),
        (5, 16, 1),
        (6, 16, 4),
        (1, 1, 1),
        (2, 1, 1),
        (1, 0, 1),
        (1, 8, 4),
    ],
)
def test_count_parts__enough_waiting__differs_by_worker(worker: int, cores: float, parts: int) -> None:
    assert count_parts(worker, cores, 1000) == parts


def test_count_parts__few_waiting__leaves_no_worker_idle() -> None:
    assert [count_parts(2, 16, waiting) for waiting in (0.3, 1, 3.9, 15, 20)] == [1, 1, 3, 15, 16]


def test_divide__worker__gives_whole_numbers_within_the_maximum() -> None:
    assert divide(Resources(16, 63000, 500), 16, Resources()) == Resources(1, 3937, 31)
    assert divide(Resources(6, 63000, 500), 4, Resources(memory_mb=2000)) == Resources(1, 2000, 125)


def test_enlarge__too_small__doubles_up_to_the_largest() -> None:
    largest = Resources(16, 64000, 1000)

    assert enlarge((1, 4000, 100), largest) == Resources(2, 8000, 200)
    assert enlarge((8, 40000, 600), largest) == Resources(16, 64000, 1000)

from __future__ import annotations

import pytest

from wq_package.resources import SharingRule, compute_box
from wq_package.task import Resources

WORKER = Resources(4, 2000, 2000, 8)


# The golden boxes of Debian's library on a worker of 4 cores, 2000 MB memory, 2000 MB disk, 8 gpus.
@pytest.mark.parametrize(
    ("declared", "minimum", "box"),
    [
        (Resources(1, 2, 3, 4), Resources(), Resources(1, 2, 3, 4)),
        (Resources(1, 2, 3), Resources(), Resources(1, 2, 3, 0)),
        (Resources(None, 2, 3, 4), Resources(), Resources(0, 2, 3, 4)),
        (Resources(0, 0, 0, 0), Resources(), Resources(4, 2000, 2000, 0)),
        (Resources(), Resources(), Resources(4, 2000, 2000, 0)),
        (Resources(memory_mb=1000), Resources(), Resources(2, 1000, 1000, 0)),
        (Resources(memory_mb=1000), Resources(cores=3, gpus=2), Resources(3, 1000, 1000, 2)),
        (Resources(cores=4), Resources(), Resources(4, 2000, 2000, 0)),
        (Resources(cores=1), Resources(), Resources(1, 500, 500, 0)),
        (Resources(gpus=8), Resources(), Resources(0, 2000, 2000, 8)),
        (Resources(cores=0), Resources(), Resources(4, 2000, 2000, 0)),
    ],
)
def test_compute_box__proportional__agrees_with_debian(
    declared: Resources, minimum: Resources, box: Resources
) -> None:
    assert compute_box(declared, WORKER, rule=SharingRule.PROPORTIONAL, minimum=minimum) == box


@pytest.mark.parametrize(
    ("declared", "box"),
    [
        (Resources(), Resources(4, 2000, 2000, 0)),
        (Resources(1, 2, 3), Resources(1, 2, 3, 0)),
        (Resources(cores=1), Resources(1, 2000, 2000, 0)),
        (Resources(cores=1, memory_mb=500), Resources(1, 500, 2000, 0)),
        (Resources(memory_mb=5, disk_mb=5, gpus=1), Resources(0, 5, 5, 1)),
        (Resources(0.5, 10, 10), Resources(0.5, 10, 10, 0)),
    ],
)
def test_compute_box__whole_worker__gives_all_of_what_is_missing(declared: Resources, box: Resources) -> None:
    assert compute_box(declared, WORKER) == box


@pytest.mark.parametrize(
    ("declared", "box"),
    [
        (Resources(cores=1), Resources(1, 500, 500, 0)),
        (Resources(cores=1, memory_mb=1000), Resources(2, 1000, 1000, 0)),
        (Resources(memory_mb=900), Resources(2, 1000, 1000, 0)),
        (Resources(memory_mb=1100), Resources(4, 2000, 2000, 0)),
        (Resources(gpus=4), Resources(0, 1000, 1000, 4)),
    ],
)
def test_compute_box__proportional_raised__whole_number_of_boxes_fits(
    declared: Resources, box: Resources
) -> None:
    assert compute_box(declared, WORKER, rule=SharingRule.PROPORTIONAL_RAISED) == box


def test_compute_box__more_than_the_worker_has__is_not_cut_to_what_fits() -> None:
    assert compute_box(Resources(cores=5), WORKER) == Resources(5, 2000, 2000, 0)
    assert compute_box(Resources(gpus=1), Resources(4, 2000, 2000, 0)) == Resources(0, 2000, 2000, 1)

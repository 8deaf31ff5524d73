from __future__ import annotations

import dataclasses

import pytest

from wq_package.manager.state.results import make_measurement
from wq_package.protocol.messages import Result

TOLD = Result(0, 0, 0, 2_000_000, 1, 1_000_000, 100.0, 10.0, 1.5, 2.0, 3.0, 4)


def test_make_measurement__what_a_worker_tells__is_in_its_units() -> None:
    measured = make_measurement(TOLD, is_approximate=False)
    assert (measured.wall_time, measured.cpu_time, measured.memory_mb, measured.processes) == (
        2.0,
        1.0,
        100.0,
        4,
    )


@pytest.mark.parametrize("usec", [-5, 10**18, 2**62])
def test_make_measurement__times_that_cannot_be__are_not_taken(usec: int) -> None:
    message = dataclasses.replace(TOLD, usec=usec, cpu_usec=usec * 4)
    measured = make_measurement(message, is_approximate=False)
    assert (measured.wall_time, measured.cpu_time) == (0.0, None)


@pytest.mark.parametrize("size", [-1.0, 1e300, float("nan"), float("inf")])
def test_make_measurement__sizes_that_cannot_be__are_unknown(size: float) -> None:
    message = dataclasses.replace(
        TOLD, memory_mb=size, disk_mb=size, cores=size, read_mb=size, written_mb=size
    )
    measured = make_measurement(message, is_approximate=False)
    assert (measured.memory_mb, measured.disk_mb, measured.cores) == (None, None, None)
    assert (measured.read_mb, measured.written_mb) == (None, None)


@pytest.mark.parametrize("count", [-1, 2**40])
def test_make_measurement__processes_that_cannot_be__are_unknown(count: int) -> None:
    message = dataclasses.replace(TOLD, processes=count)
    assert make_measurement(message, is_approximate=False).processes is None

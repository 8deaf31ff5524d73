from __future__ import annotations

import dataclasses
import struct

import pytest

from wq_package.archive.scripts.run_call import render_used
from wq_package.manager.state.results import make_measurement, split_answer
from wq_package.protocol.messages import Result
from wq_package.task import Measurement

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


def test_split_answer__of_a_call_that_told_what_it_used__has_both() -> None:
    value, measured = split_answer(b"pickle" + render_used(), Measurement(2.0))
    assert (value, measured.wall_time, measured.is_approximate) == (b"pickle", 2.0, True)
    assert (measured.memory_mb or 0) > 1
    assert (measured.cpu_time or 0) > 0


def test_split_answer__that_its_worker_has_measured__keeps_that() -> None:
    known = Measurement(2.0, memory_mb=5.0)
    assert split_answer(b"pickle" + render_used(), known) == (b"pickle", known)


@pytest.mark.parametrize("answer", [b"", b"short", b"x" * 200])
def test_split_answer__without_figures__is_as_it_came(answer: bytes) -> None:
    assert split_answer(answer, Measurement(2.0)) == (answer, Measurement(2.0))


def test_split_answer__figures_that_cannot_be__are_unknown() -> None:
    _, measured = split_answer(struct.pack("<8s4q", b"wqp-used", -1, 2**62, -1, -1), Measurement(2.0))
    assert (measured.cpu_time, measured.memory_mb, measured.read_mb, measured.written_mb) == (None,) * 4

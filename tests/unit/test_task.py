from __future__ import annotations

import pytest

from wq_package.task import Excess, Measurement, ResultCode, Task, TaskResult


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        pytest.param(TaskResult(1, ResultCode.SUCCESS), True, id="clean end"),
        pytest.param(TaskResult(1, ResultCode.SUCCESS, exit_code=3), False, id="exit code"),
        pytest.param(TaskResult(1, ResultCode.SUCCESS, signal=9), False, id="signal"),
        pytest.param(TaskResult(1, ResultCode.OUTPUT_MISSING), False, id="output missing"),
    ],
)
def test_is_success__ends_of_a_task__only_a_clean_one_is(result: TaskResult, expected: bool) -> None:
    assert result.is_success is expected


def test_repr__large_bodies__stay_out_of_it() -> None:
    assert "xxxx" not in repr(TaskResult(1, ResultCode.SUCCESS, output=b"xxxx", value=b"xxxx"))
    assert Task(command="true").max_retries == 3


@pytest.mark.parametrize(
    ("excess", "sentence"),
    [
        (Excess("memory", 100, 212.5), "used 212.5 MB of memory, and its limit is 100 MB"),
        (Excess("disk", 10, 64), "used 64 MB of disk, and its limit is 10 MB"),
        (Excess("wall_time", 2, 2.25), "used 2.25 s, and its limit is 2 s"),
    ],
)
def test_excess__as_text__names_limit_and_measure(excess: Excess, sentence: str) -> None:
    assert str(excess) == sentence


@pytest.mark.parametrize(
    ("measured", "cores"),
    [(Measurement(4.0, 6.0), 1.5), (Measurement(4.0), None), (Measurement(0.0, 1.0), None)],
)
def test_average_cores__is_processor_time_by_wall_time(measured: Measurement, cores: float | None) -> None:
    assert measured.average_cores == cores

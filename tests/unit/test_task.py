from __future__ import annotations

import pytest

from wq_package.task import ResultCode, Task, TaskResult


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

from __future__ import annotations

import dataclasses
import struct
from typing import Any

import pytest

from manager_peers import FUNCTION
from wq_package.archive.scripts.run_call import render_used
from wq_package.manager.state import ManagerState
from wq_package.manager.state.descriptions import ANSWER
from wq_package.manager.state.records import RunRecord, TaskRecord
from wq_package.manager.state.results import (
    add_outputs,
    find_code,
    make_call_result,
    make_command_result,
    make_measurement,
    split_answer,
)
from wq_package.protocol.messages import CallResult, Result
from wq_package.task import Call, CallMode, Environment, Measurement, ResultCode, Task, TaskResult

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


def test_make_measurement__nothing_at_all__is_known_to_be_nothing() -> None:
    message = dataclasses.replace(TOLD, memory_mb=0.0, written_mb=0.0, processes=0)
    measured = make_measurement(message, is_approximate=False)
    assert (measured.memory_mb, measured.written_mb, measured.processes) == (0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("status", "code"),
    [  # the numbers of `work_queue_result_t`
        (0, ResultCode.SUCCESS),
        (1, ResultCode.INPUT_MISSING),
        (2, ResultCode.OUTPUT_MISSING),
        (4, ResultCode.STDOUT_MISSING),
        (2 << 3, ResultCode.RESOURCE_EXHAUSTION),
        (3 << 3, ResultCode.END_TIME),
        (4 << 3, ResultCode.UNKNOWN),
        (5 << 3, ResultCode.FORSAKEN),
        (6 << 3, ResultCode.MAX_RETRIES),
        (7 << 3, ResultCode.WALL_TIME),
        (8 << 3, ResultCode.DISK_FULL),
        (9 << 3, ResultCode.MONITOR_ERROR),
        (77 << 3, ResultCode.UNKNOWN),
    ],
)
def test_find_code__every_status_of_work_queue__is_known(status: int, code: ResultCode) -> None:
    assert find_code(status) is code


def make_record(task: Task) -> TaskRecord:
    placement = ManagerState().placement
    return TaskRecord(1, task, placement.find_lane(task), ())


def end_command(task: Task, **told: Any) -> TaskResult:
    body = told.pop("body", b"")
    message = dataclasses.replace(TOLD, **told)
    return make_command_result(make_record(task), message, body, is_truncated=False, worker="w")


@pytest.mark.parametrize("exit_code", [220, 221, 222])
def test_launcher__could_not_enter_the_environment__is_its_failure(exit_code: int) -> None:
    inside = Task(command="true", environment=Environment("1" * 64, "env.tar.gz"))
    result = end_command(inside, exit_code=exit_code, body=b"noise\nwq-package: no room\n")
    assert (result.code, result.message) == (ResultCode.ENVIRONMENT_FAILED, "no room")


@pytest.mark.parametrize(
    ("task", "exit_code", "body"),
    [
        (Task(command="true"), 221, b"wq-package: no room\n"),
        (Task(command="true", environment=Environment("1" * 64, "a")), 223, b"wq-package: no room\n"),
        (Task(command="true", environment=Environment("1" * 64, "a")), 221, b"its own words\n"),
        (Task(command="true", environment=Environment("1" * 64, "a")), 221, b""),
    ],
)
def test_launcher__command_that_ends_like_it__is_no_failure_of_the_environment(
    task: Task, exit_code: int, body: bytes
) -> None:
    result = end_command(task, exit_code=exit_code, body=body)
    assert (result.code, result.exit_code) == (ResultCode.SUCCESS, exit_code)


@pytest.mark.parametrize(
    ("limit", "allowed", "used"),
    [("memory", -1.0, 5.0), ("memory", 5.0, float("inf")), ("patience", 1.0, 2.0), ("", 1.0, 2.0)],
)
def test_excess__that_cannot_be__is_not_told(limit: str, allowed: float, used: float) -> None:
    result = end_command(Task(command="true"), status=16, limit=limit, allowed=allowed, used=used)
    assert (result.code, result.excess) == (ResultCode.RESOURCE_EXHAUSTION, None)
    assert result.message == "the task used more than it was given"


@pytest.mark.parametrize(("mode", "is_approximate"), [(CallMode.IN_PLACE, True), (CallMode.FORK, False)])
def test_call__measured_among_others_in_one_process__is_approximate(
    mode: CallMode, is_approximate: bool
) -> None:
    record = make_record(Task(call=Call(FUNCTION, b"", mode)))
    told = CallResult(1, "success", 0, 0, 0, 1_000_000, 0, 1_000_000, 10.0, 10.0)
    result = make_call_result(record, told, ResultCode.SUCCESS, b"", "w")
    assert result.measured.is_approximate is is_approximate


@pytest.mark.parametrize(("exit_code", "signal"), [(128, None), (129, 1), (192, 64), (193, None)])
def test_call_without_an_answer__exit_code_of_a_shell__is_a_signal_if_there_is_one(
    exit_code: int, signal: int | None
) -> None:
    record = make_record(Task(call=Call(FUNCTION, b"")))
    record.run = RunRecord(outputs={ANSWER: ("answer", "")})
    ended = TaskResult(1, ResultCode.SUCCESS, exit_code)
    result = add_outputs(record, ended)
    assert (result.code, result.signal) == (ResultCode.INTERPRETER_LOST, signal)


def test_split_answer__figures__are_in_megabytes_and_seconds() -> None:
    told = struct.pack("<8s4q", b"wqp-used", 1_500_000, 2048, 3072, 4096)
    _, measured = split_answer(told, Measurement(2.0))
    assert (measured.cpu_time, measured.memory_mb) == (1.5, 2.0)
    assert (measured.read_mb, measured.written_mb) == (3.0, 4.0)

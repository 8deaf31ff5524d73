"""What the manager is told of a task that has ended (logic module).

Knows Work Queue's status codes and the two kinds of result. Knows nothing of what else the worker does.
"""

from __future__ import annotations

from dataclasses import replace

from wq_package.protocol import messages as wire
from wq_package.task import Excess, ResultCode
from wq_package.worker.events import CallEnded, RunEnded
from wq_package.worker.state.records import TaskRecord
from wq_package.worker.usage import Usage

__all__ = [
    "add_wall_time",
    "make_call_result",
    "make_lost_call_result",
    "make_lost_result",
    "make_refusal",
    "make_run_result",
]

_STATUS = {  # work-queue.md 2.8
    ResultCode.SUCCESS: 0,
    ResultCode.INPUT_MISSING: 1,
    ResultCode.RESOURCE_EXHAUSTION: 16,
    ResultCode.END_TIME: 24,
    ResultCode.UNKNOWN: 32,
    ResultCode.FORSAKEN: 40,
    ResultCode.WALL_TIME: 56,
    ResultCode.DISK_FULL: 64,
}
_CUT_OFF = (ResultCode.INTERPRETER_LOST, ResultCode.RESOURCE_EXHAUSTION)
_EXPLAINED = {
    ResultCode.WALL_TIME: "the call ran longer than its wall time",
    ResultCode.END_TIME: "the call ran past its end time",
}


def make_refusal(task_id: int, code: ResultCode) -> wire.Result:
    """Make the result of a command that never ran."""
    return wire.Result(_STATUS[code], 0, 0, 0, task_id)


def make_run_result(record: TaskRecord, event: RunEnded) -> wire.Result:
    """Make the result of a command."""
    code = record.reason or event.failure or ResultCode.SUCCESS
    exit_code = event.signal or event.exit_code  # Work Queue has one number for both
    used = _add_time_limit(record, event)
    return wire.Result(
        _STATUS.get(code, 32),
        exit_code,
        0 if code is ResultCode.FORSAKEN else event.output_size,
        event.usec,
        record.task.task_id,
        used.cpu_usec,
        used.memory_mb,
        used.disk_mb,
        used.cores,
        used.read_mb,
        used.written_mb,
        used.processes,
        used.limit,
        used.allowed,
        used.used,
    )


def add_wall_time(record: TaskRecord, event: CallEnded, now: float) -> CallEnded:
    """Say of a call that was ended how long it ran: it could not tell."""
    if event.usec or (record.reason is None and event.code not in _CUT_OFF):
        return event
    return replace(event, usec=max(0, int((now - record.began) * 1e6)))


def make_call_result(record: TaskRecord, event: CallEnded) -> wire.CallResult:
    """Make the result of a call."""
    code = event.code
    message = event.message
    used = _add_time_limit(record, event)
    if record.reason is not None:
        code, message = record.reason, _EXPLAINED[record.reason]
    elif code is ResultCode.RESOURCE_EXHAUSTION:
        message = f"the call {Excess(used.limit, used.allowed, used.used)}"
    return wire.CallResult(
        record.task.task_id,
        code.value,
        event.exit_code,
        event.size,
        event.output_size,
        event.usec,
        event.signal,
        used.cpu_usec,
        used.memory_mb,
        used.disk_mb,
        event.missing,
        message,
        used.cores,
        used.read_mb,
        used.written_mb,
        used.processes,
        used.limit,
        used.allowed,
        used.used,
    )


def make_lost_result(result: wire.Result) -> wire.Result:
    """Make what is told of a command whose output cannot be read any more."""
    return replace(result, status=_STATUS[ResultCode.UNKNOWN], size=0)


def make_lost_call_result(result: wire.CallResult) -> wire.CallResult:
    """Make what is told of a call whose answer cannot be read any more."""
    message = "the call's answer is gone from the worker's disk"
    return replace(result, status=ResultCode.UNKNOWN.value, size=0, output_size=0, message=message)


def _add_time_limit(record: TaskRecord, event: RunEnded | CallEnded) -> Usage:
    """Say by how much a task was over its wall time, if that is why it was ended."""
    allowed = record.task.wall_time
    if record.reason is not ResultCode.WALL_TIME or allowed is None:
        return event.usage
    return replace(event.usage, limit="wall_time", allowed=allowed, used=event.usec / 1e6)

"""From what a worker answered to the result of a task (logic module).

The one place that knows Work Queue's result numbers, and what the scripts of a call in command form mean by their exit
codes.
"""

from __future__ import annotations

import dataclasses
import struct

from wq_package.manager.state.descriptions import ANSWER
from wq_package.manager.state.greeting import MOST_MEGABYTES
from wq_package.manager.state.records import TaskRecord
from wq_package.protocol.messages import CallResult, Result
from wq_package.task import CallMode, Excess, Measurement, ResultCode, TaskResult

_CODES = {
    0: ResultCode.SUCCESS,
    1: ResultCode.INPUT_MISSING,
    2: ResultCode.OUTPUT_MISSING,
    4: ResultCode.STDOUT_MISSING,
    16: ResultCode.RESOURCE_EXHAUSTION,
    24: ResultCode.END_TIME,
    32: ResultCode.UNKNOWN,
    40: ResultCode.FORSAKEN,
    48: ResultCode.MAX_RETRIES,
    56: ResultCode.WALL_TIME,
    64: ResultCode.DISK_FULL,
    72: ResultCode.MONITOR_ERROR,
}
_SENTENCES = {
    ResultCode.RESOURCE_EXHAUSTION: "the task used more than it was given",
    ResultCode.END_TIME: "the task was still running at its end time",
    ResultCode.WALL_TIME: "the task ran longer than its wall time",
    ResultCode.DISK_FULL: "the worker's disk is full",
    ResultCode.INPUT_MISSING: "the worker could not read an input file",
    ResultCode.STDOUT_MISSING: "the task's output is too large and was cut",
}
_CODES_BY_VALUE = {code.value: code for code in ResultCode}
_USED, _USED_MARK = struct.Struct("<8s4q"), b"wqp-used"
"""See `wq_package/archive/scripts/run_call.py`."""
_LIMITS = ("memory", "disk", "wall_time")
_MOST_USEC = 100 * 366 * 86_400 * 1_000_000
_MOST_PROCESSES = 2**22
LAST_OUTPUT = 2000
LAUNCHER_FAILED = (220, 221, 222)
"""Exit codes of the launcher itself; see `wq_package/archive/scripts/launch.sh`."""
LAUNCHER_SAYS = "wq-package: "


def find_code(status: int) -> ResultCode:
    """Decode the status of a `Result`."""
    return _CODES.get(status, ResultCode.UNKNOWN)


def find_call_code(status: str) -> ResultCode | None:
    """Decode the status of a `CallResult`."""
    return _CODES_BY_VALUE.get(status)


def make_command_result(
    record: TaskRecord, message: Result, body: bytes, *, is_truncated: bool, worker: str
) -> TaskResult:
    """Make the result of a task that ran as a command; its outputs are still to come."""
    code = ResultCode.STDOUT_MISSING if is_truncated else find_code(message.status)
    excess = _find_excess(message)
    result = TaskResult(
        record.task_id,
        code,
        message.exit_code,
        None,
        body,
        b"",
        _explain(code, excess),
        (),
        make_measurement(message, is_approximate=False),
        worker,
        record.task.tag,
        excess,
    )
    return check_launcher(record, result)


def make_call_result(
    record: TaskRecord, message: CallResult, code: ResultCode, body: bytes, worker: str
) -> TaskResult:
    """Make the result of a call."""
    size = message.output_size
    return TaskResult(
        record.task_id,
        code,
        message.exit_code,
        message.signal or None,
        body[:size] if size else b"",
        body[size:] if size else body,
        message.message,
        message.missing,
        make_measurement(message, is_approximate=_is_in_place(record)),
        worker,
        record.task.tag,
        _find_excess(message),
    )


def make_measurement(message: Result | CallResult, *, is_approximate: bool) -> Measurement:
    """Make of what a worker tells what a task used."""
    return Measurement(
        message.usec / 1_000_000 if 0 <= message.usec <= _MOST_USEC else 0.0,
        message.cpu_usec / 1_000_000 if 0 <= message.cpu_usec <= _MOST_USEC else None,
        _known(message.memory_mb),
        _known(message.disk_mb),
        _known(message.cores),
        _known(message.read_mb),
        _known(message.written_mb),
        message.processes if 0 <= message.processes <= _MOST_PROCESSES else None,
        is_approximate,
    )


def _known(value: float) -> float | None:
    """Take a figure for unknown that no machine can have reached: it would spoil all that is computed from it."""
    return value if 0 <= value <= MOST_MEGABYTES else None


def _is_in_place(record: TaskRecord) -> bool:
    call = record.task.call
    return call is not None and call.mode is CallMode.IN_PLACE and not record.is_limited


def _find_excess(message: Result | CallResult) -> Excess | None:
    is_one = (
        message.limit in _LIMITS and _known(message.allowed) is not None and _known(message.used) is not None
    )
    return Excess(message.limit, message.allowed, message.used) if is_one else None


def _explain(code: ResultCode, excess: Excess | None) -> str:
    if excess is not None and code is not ResultCode.SUCCESS:
        return f"the task {excess}"
    return _SENTENCES.get(code, "")


def make_result(record: TaskRecord, code: ResultCode, message: str) -> TaskResult:
    """Make the result of a task that the queue itself has ended."""
    worker = record.worker.label if record.worker else ""
    return TaskResult(record.task_id, code, message=message, worker=worker, tag=record.task.tag)


def add_outputs(record: TaskRecord, result: TaskResult) -> TaskResult:
    """Complete a result with what came of fetching the outputs."""
    run = record.run
    if run is None:
        return result
    missing = tuple(name for name in run.missing if name != ANSWER)
    if record.task.call is not None and ANSWER in run.outputs:
        result = _add_answer(result, run.answer, run.message)
    if not missing and not run.message:
        return result
    names = ", ".join(f"`{name}`" for name in missing)
    sentence = run.message or f"the task did not leave {names}"
    code = ResultCode.OUTPUT_MISSING if result.code is ResultCode.SUCCESS else result.code
    return dataclasses.replace(result, code=code, missing_outputs=missing, message=result.message or sentence)


def _add_answer(result: TaskResult, answer: bytes, problem: str) -> TaskResult:
    """Decode a call that ran as a command: its answer is a file, and without one it did not get to its end."""
    if result.code is not ResultCode.SUCCESS:
        return result
    if answer:
        value, measured = split_answer(answer, result.measured)
        return dataclasses.replace(result, value=value, measured=measured)
    # The interpreter was the last command of a shell, which reports a signal as 128 and its number.
    signal = result.signal or (result.exit_code - 128 if 128 < result.exit_code <= 192 else None)
    end = f"was killed by signal {signal}" if signal else f"ended with exit code {result.exit_code}"
    said = problem or _find_last_line(result.output)
    message = f"the call {end} and left no answer"
    return dataclasses.replace(
        result,
        code=ResultCode.INTERPRETER_LOST,
        signal=signal,
        message=f"{message}: {said}" if said else message,
    )


def split_answer(answer: bytes, measured: Measurement) -> tuple[bytes, Measurement]:
    """Take from an answer what the call says that it used, if its worker has not measured it."""
    if len(answer) < _USED.size:
        return answer, measured
    mark, cpu_usec, memory, read, written = _USED.unpack(answer[-_USED.size :])
    if mark != _USED_MARK:
        return answer, measured
    value = answer[: -_USED.size]
    if measured.memory_mb is not None:
        return value, measured
    told = dataclasses.replace(
        measured,
        cpu_time=cpu_usec / 1_000_000 if 0 <= cpu_usec <= _MOST_USEC else None,
        memory_mb=_known(memory / 1024),
        read_mb=_known(read / 1024),
        written_mb=_known(written / 1024),
        is_approximate=True,
    )
    return value, told


def check_launcher(record: TaskRecord, result: TaskResult) -> TaskResult:
    """Tell a command that could not enter its environment from one that ended with the same exit code itself."""
    if record.task.environment is None or result.exit_code not in LAUNCHER_FAILED:
        return result
    said = _find_last_line(result.output)
    if not said.startswith(LAUNCHER_SAYS):
        return result
    message = said.removeprefix(LAUNCHER_SAYS)
    return dataclasses.replace(result, code=ResultCode.ENVIRONMENT_FAILED, message=message)


def _find_last_line(output: bytes) -> str:
    lines = output[-LAST_OUTPUT:].decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""

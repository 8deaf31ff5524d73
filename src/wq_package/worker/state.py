"""What a worker knows and decides: events in, actions out (logic module).

Knows tasks and calls (waiting, running, ended), what they hold of the worker's resources, which cache entries exist and
who reads them, which environments are on their way, and what the manager has asked. Knows nothing of sockets, files or
processes, and no clock: time comes in with each event. The shell carries the actions out in order and reports what
became of them as further events.

A task is known to the shell by its *serial*, which is never used twice: a manager may give the number of a task that we
are still killing to another one. Cache entries likewise have a *key*: a file that is put again under its old name gets
a new key, and the old one stays until no task reads it.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from wq_package.protocol import messages as wire
from wq_package.task import Excess, ResultCode
from wq_package.worker.actions import (
    Action,
    Box,
    Disconnect,
    DropCall,
    EndedTask,
    KillCall,
    KillRun,
    Leave,
    PushResult,
    RemoveEntry,
    ReturnCall,
    Send,
    SendCallResult,
    SendEntry,
    SendResults,
    StagedFile,
    StartCall,
    StartRun,
)
from wq_package.worker.entry_table import EntryTable
from wq_package.worker.environment_table import EnvironmentTable
from wq_package.worker.events import (
    CallArrived,
    CallEnded,
    CallReturned,
    Clock,
    Drain,
    EntryStored,
    EnvironmentBroken,
    EnvironmentComposed,
    EnvironmentExamined,
    Event,
    FunctionStored,
    LayerBroken,
    LayerClaimed,
    LayerStored,
    RunEnded,
    WatchedSize,
)
from wq_package.worker.greeting import render_resources
from wq_package.worker.ledger import Ledger
from wq_package.worker.usage import Usage
from wq_package.worker.watching import WatchTable

__all__ = ["WORKER_PYTHON", "WorkerState", "is_inside_name"]

WORKER_PYTHON = ""
"""The name of the environment that is the worker's own Python."""

_AHEAD_PER_RUNNING = 1
_AHEAD_BELOW_USEC = 10_000
_LOOK_AHEAD = 32
_LEAST_CORES = 0.125
"""What a call holds at least, so that calls that declare no cores do not start a host each without end."""

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


class _Phase(enum.Enum):
    WAITING = enum.auto()
    RUNNING = enum.auto()
    ENDED = enum.auto()


@dataclass(slots=True)
class _Task:
    serial: int
    task: wire.TaskDescription | wire.CallTask
    box: Box
    phase: _Phase = _Phase.WAITING
    inputs: tuple[StagedFile, ...] = ()
    arguments: bytes = b""
    path: str = ""
    deadline: float | None = None
    reason: ResultCode | None = None  # why we ended it ourselves
    is_forgotten: bool = False  # the manager wants no result
    group: _Group | None = None


@dataclass(slots=True)
class _Group:
    """Calls that are alike in what they hold and where they run; some may wait behind those that run."""

    box: Box
    running: int = 0
    ahead: int = 0
    usec: float = _AHEAD_BELOW_USEC * 2.0  # a running mean; nothing goes ahead until we know
    can_be_ahead: bool = False


class WorkerState:
    """One session with one manager.

    Args:
        capacity: what this worker has.
        serials: numbers for tasks, never the same twice in the life of a worker.
    """

    def __init__(self, capacity: Box, serials: Iterator[int]) -> None:
        self._ledger = Ledger(capacity)
        self.speaks_dialect = False
        self.is_draining = False
        self.last_task_id = 0
        self.busy_at = 0.0
        self._serials = serials
        self._functions: set[str] = set()
        self._tasks: dict[int, _Task] = {}  # by task number; those that the manager knows
        self._by_serial: dict[int, _Task] = {}  # those that the shell works on
        self._waiting: deque[_Task] = deque()
        self._running = 0
        self._groups: dict[tuple[object, ...], _Group] = {}
        self._ended: list[EndedTask] = []
        self._is_announced = False
        self._entries = EntryTable()
        self._environments = EnvironmentTable()
        self._parked: dict[str, list[_Task]] = {}  # calls whose environment is on its way
        self._timed: dict[int, _Task] = {}
        self._watched = WatchTable()

    @property
    def capacity(self) -> Box:
        """What this worker has; nothing any more once it drains."""
        return self._ledger.capacity

    @property
    def used(self) -> Box:
        """What its tasks hold of it."""
        return self._ledger.used

    @property
    def running(self) -> int:
        """How many tasks and calls run."""
        return self._running

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to run and nothing that the manager has still to fetch."""
        return not (self._by_serial or self._ended or self._waiting or self._tasks)

    def list_runs(self) -> list[int]:
        """List the serials of command tasks that run."""
        return [
            task.serial for task in self._by_serial.values() if isinstance(task.task, wire.TaskDescription)
        ]

    def list_calls(self) -> list[int]:
        """List the serials of calls that run."""
        return [task.serial for task in self._by_serial.values() if isinstance(task.task, wire.CallTask)]

    @property
    def has_deadlines(self) -> bool:
        """Whether a task that runs has a limit of time."""
        return bool(self._timed)

    @property
    def next_deadline(self) -> float | None:
        """When a task that runs must have ended, if any must."""
        return min(
            (task.deadline for task in self._timed.values() if task.deadline is not None), default=None
        )

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take one event at a time in epoch seconds; return what is to be done, in order."""
        actions: list[Action] = _RULES[type(event)](self, event, now)
        return actions

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def _accept_task(self, task: wire.TaskDescription, now: float) -> list[Action]:
        self.last_task_id = task.task_id
        record = self._remember(task, self._compute_box(task))
        for name in _iter_sandbox_names(task):
            if not is_inside_name(name):
                return [Disconnect(f"task {task.task_id} names `{name}`, which is outside its sandbox")]
        missing = [file.cache_name for file in task.inputs if file.cache_name not in self._entries]
        if missing and not self.speaks_dialect:
            return [Disconnect(f"task {task.task_id} needs `{missing[0]}`, which was never sent")]
        if missing:
            return self._refuse_run(record, ResultCode.INPUT_MISSING)
        if self.is_draining or not self._ledger.can_ever_fit(record.box):
            return self._refuse_run(record, ResultCode.FORSAKEN)
        if task.inputs:
            # Real managers name an uncached file for one task alone; ours names every file by its content.
            record.inputs = self._entries.claim(task.inputs, may_link=not self.speaks_dialect)
        self._waiting.append(record)
        return self._schedule(now)

    def _accept_call(self, event: CallArrived, now: float) -> list[Action]:
        call = event.call
        self.last_task_id = call.task_id
        group = self._find_group(call)
        record = self._remember(call, group.box)
        record.group, record.arguments, record.path = group, event.arguments, event.path
        refusal = self._find_refusal(record)
        if refusal is not None:
            return self._refuse_call(record, *refusal)
        if call.inputs:
            record.inputs = self._entries.claim(call.inputs, may_link=False)
        if call.environment != WORKER_PYTHON and not self._environments.is_ready(call.environment):
            self._parked.setdefault(call.environment, []).append(record)
            return []
        self._waiting.append(record)
        return self._schedule(now)

    def _remember(self, task: wire.TaskDescription | wire.CallTask, box: Box) -> _Task:
        record = _Task(next(self._serials), task, box)
        self._tasks[task.task_id] = record
        self._by_serial[record.serial] = record
        return record

    def _find_group(self, call: wire.CallTask) -> _Group:
        size = (call.cores, call.memory_mb, call.disk_mb, call.gpus)
        key = (call.environment, call.mode, call.is_enforced, size)
        group = self._groups.get(key)
        if group is None:
            box = self._compute_box(call)
            group = self._groups[key] = _Group(
                box, can_be_ahead=call.mode == "in-place" and not call.is_enforced
            )
        return group

    def _compute_box(self, task: wire.TaskDescription | wire.CallTask) -> Box:
        if task.cores is None and task.memory_mb is None and task.disk_mb is None and task.gpus is None:
            return self.capacity
        least = _LEAST_CORES if isinstance(task, wire.CallTask) else 0
        return Box(max(task.cores or 0, least), task.memory_mb or 0, task.disk_mb or 0, task.gpus or 0)

    def _find_refusal(self, record: _Task) -> tuple[ResultCode, str] | None:
        call = record.task
        assert isinstance(call, wire.CallTask)
        if self.is_draining:
            return ResultCode.FORSAKEN, "the worker is leaving"
        if not self._ledger.can_ever_fit(record.box):
            return ResultCode.FORSAKEN, "the worker is too small"
        if call.function not in self._functions:
            return ResultCode.UNKNOWN, "the function was never sent to the worker"
        if call.inputs or call.outputs:
            refusal = self._find_bad_file(call)
            if refusal is not None:
                return refusal
        return self._find_environment_failure(call.environment)

    def _find_bad_file(self, call: wire.CallTask) -> tuple[ResultCode, str] | None:
        for name in _iter_sandbox_names(call):
            if not is_inside_name(name):
                return ResultCode.UNKNOWN, f"`{name}` is outside the call's sandbox"
        for file in call.inputs:
            if file.cache_name not in self._entries:
                return ResultCode.INPUT_MISSING, f"input `{file.sandbox_name}` was never sent to the worker"
        return None

    def _find_environment_failure(self, digest: str) -> tuple[ResultCode, str] | None:
        if digest == WORKER_PYTHON:
            return None
        if digest not in self._environments:
            return ResultCode.ENVIRONMENT_FAILED, "the environment was never offered to the worker"
        message = self._environments.find_failure(digest)
        return None if message is None else (ResultCode.ENVIRONMENT_FAILED, message)

    def _refuse_run(self, record: _Task, code: ResultCode) -> list[Action]:
        # Work Queue 9 does not read the body of a forsaken task: it must be empty.
        return self._finish_run(record, wire.Result(_STATUS[code], 0, 0, 0, record.task.task_id), "")

    def _refuse_call(self, record: _Task, code: ResultCode, message: str) -> list[Action]:
        self._forget(record)
        actions: list[Action] = [DropCall(record.path)] if record.path else []
        result = wire.CallResult(record.task.task_id, code.value, 0, 0, 0, 0, message=message)
        actions.append(SendCallResult(result, b"", ""))
        return actions

    def _forget(self, record: _Task) -> None:
        self._by_serial.pop(record.serial, None)
        if self._tasks.get(record.task.task_id) is record:
            del self._tasks[record.task.task_id]

    # -- starting ------------------------------------------------------------------------------------------------------

    def _schedule(self, now: float) -> list[Action]:
        """Start what fits, oldest first; look a little past what does not fit."""
        if not self._waiting:
            return []
        actions: list[Action] = []
        kept: list[_Task] = []
        while self._waiting and len(kept) < _LOOK_AHEAD:
            record = self._waiting.popleft()
            if record.is_forgotten:
                continue
            if self._ledger.fits(record.box):
                actions.append(self._start(record, now, is_ahead=False))
            elif not kept and self._may_go_ahead(record):
                actions.append(self._start(record, now, is_ahead=True))
            else:
                kept.append(record)
                if self._ledger.is_full:
                    break
        self._waiting.extendleft(reversed(kept))
        return actions

    def _start(self, record: _Task, now: float, *, is_ahead: bool) -> Action:
        record.phase = _Phase.RUNNING
        self._running += 1
        if not is_ahead:
            self._ledger.take(record.box)
        task = record.task
        if task.wall_time or task.end_time:
            record.deadline = _find_deadline(task, now)
            self._timed[record.serial] = record
        if isinstance(task, wire.TaskDescription):
            if task.outputs and not self.speaks_dialect:
                self._watched.begin(record.serial, task)
            return StartRun(record.serial, task, record.inputs, record.box)
        group = record.group
        assert group is not None
        if is_ahead:
            group.ahead += 1
        else:
            group.running += 1
        start = StartCall(record.serial, task, record.arguments, record.path, record.inputs, is_ahead)
        record.arguments = b""
        return start

    def _may_go_ahead(self, record: _Task) -> bool:
        """Whether a call may wait at a host behind one that runs, which saves a turn through the worker.

        Only among calls that are alike and have been short; when one that runs ends, its place is taken over.
        """
        group = record.group
        if group is None or not group.can_be_ahead or group.usec >= _AHEAD_BELOW_USEC:
            return False
        if group.ahead >= group.running * _AHEAD_PER_RUNNING:
            return False
        call = record.task
        return not (call.wall_time or call.end_time or call.inputs or call.outputs)

    # -- ending --------------------------------------------------------------------------------------------------------

    def _end_call(self, event: CallEnded, now: float) -> list[Action]:
        record = self._by_serial.get(event.serial)
        if record is None:
            return []
        actions = self._release(record)
        group = record.group
        if group is not None and event.code is ResultCode.SUCCESS:
            group.usec = 0.8 * group.usec + 0.2 * event.usec
        self._forget(record)
        actions.extend(self._schedule(now))  # first, so that the host is busy while we report
        if record.is_forgotten:
            actions.extend(RemoveEntry(key) for _, key in event.outputs)
            if event.path:
                actions.append(DropCall(event.path))
            return actions
        for name, key in event.outputs:
            actions.extend(self._entries.store(name, key))
        actions.append(SendCallResult(_render_result(record, event), event.body, event.path))
        return actions

    def _end_run(self, event: RunEnded, now: float) -> list[Action]:
        record = self._by_serial.get(event.serial)
        if record is None:
            return []
        actions = self._release(record)
        if record.is_forgotten:
            self._forget(record)
            actions.extend(RemoveEntry(key) for _, key in event.outputs)
            if event.output:
                actions.append(DropCall(event.output))
            return actions + self._schedule(now)
        for name, key in event.outputs:
            actions.extend(self._entries.store(name, key))
        code = record.reason or event.failure or ResultCode.SUCCESS
        size = 0 if code is ResultCode.FORSAKEN else event.output_size
        result = _make_result(record, event, _STATUS.get(code, 32), size)
        actions.extend(self._schedule(now))  # first, so that no processor is idle while we report
        return actions + self._finish_run(record, result, event.output)

    def _finish_run(self, record: _Task, result: wire.Result, output: str) -> list[Action]:
        record.phase = _Phase.ENDED
        self._by_serial.pop(record.serial, None)
        ended = EndedTask(result, output)
        if not self.speaks_dialect:
            self._ended.append(ended)
            return self._announce()
        self._forget(record)
        return [PushResult(ended)]

    def _announce(self) -> list[Action]:
        # Work Queue: once a batch, not again until the manager has asked for the results.
        if self._is_announced:
            return []
        self._is_announced = True
        return [Send(wire.AvailableResults())]

    def _release(self, record: _Task) -> list[Action]:
        """Give back what a task held; return the removal of inputs that nobody will read again."""
        if record.phase is _Phase.RUNNING:
            self._running -= 1
            self._release_box(record)
        self._timed.pop(record.serial, None)
        self._watched.end(record.serial)
        if not record.inputs:
            return []
        staged, record.inputs = record.inputs, ()
        return self._entries.release(staged)

    def _release_box(self, record: _Task) -> None:
        group = record.group
        if group is not None and group.ahead:
            group.ahead -= 1  # one that waited behind takes the place over
            return
        if group is not None:
            group.running -= 1
        self._ledger.give_back(record.box)

    def _send_results(self, _event: wire.SendResults, _now: float) -> list[Action]:
        ended, self._ended = tuple(self._ended), []
        self._is_announced = False
        for task in ended:
            record = self._tasks.get(task.result.task_id)
            if record is not None and record.phase is _Phase.ENDED:
                del self._tasks[task.result.task_id]
        return [SendResults(ended, self._running, self._watched.take())]

    def list_watched(self) -> list[tuple[int, str]]:
        """List the outputs that the manager wants to see grow, by serial and sandbox name."""
        return list(self._watched)

    def _note_watched(self, event: WatchedSize, _now: float) -> list[Action]:
        return self._announce() if self._watched.note(event.serial, event.name, event.size) else []

    def _answer_check(self, _event: wire.Check, _now: float) -> list[Action]:
        return [Send(wire.Alive()), Send(self._count_running())]

    def _part(self, event: wire.Release | wire.Exit, _now: float) -> list[Action]:
        return [Leave("the manager said so", is_final=isinstance(event, wire.Exit))]

    def _greet(self, _event: wire.Hello, _now: float) -> list[Action]:
        self.speaks_dialect = True
        return []

    def _ignore(self, _event: wire.ProjectName, _now: float) -> list[Action]:
        return []

    def _accept_function(self, event: FunctionStored, _now: float) -> list[Action]:
        self._functions.add(event.digest)
        return []

    def _count_running(self) -> wire.Info:
        return wire.Info("tasks_running", str(self._running))

    # -- killing -------------------------------------------------------------------------------------------------------

    def _kill(self, event: wire.Kill, now: float) -> list[Action]:
        numbers = list(self._tasks) if event.task_id == -1 else [event.task_id]
        actions: list[Action] = []
        for number in numbers:
            record = self._tasks.pop(number, None)
            if record is not None:
                actions.extend(self._cancel(record))
        return actions + self._schedule(now)

    def _cancel(self, record: _Task) -> list[Action]:
        record.is_forgotten = True
        if record.phase is _Phase.RUNNING:
            return [_make_kill(record)]
        if record.phase is _Phase.ENDED:
            number = record.task.task_id
            gone = [task for task in self._ended if task.result.task_id == number]
            self._ended = [task for task in self._ended if task.result.task_id != number]
            return [DropCall(task.output) for task in gone if task.output]
        self._by_serial.pop(record.serial, None)
        actions = self._release(record)
        if record.path:
            actions.append(DropCall(record.path))
        return actions

    def _return_tasks(self, event: wire.Recall, now: float) -> list[Action]:
        """Give back what has not begun: at once what waits here, and what waits at an interpreter if it is free to go."""
        returned: list[int] = []
        actions: list[Action] = []
        for number in event.task_ids:
            record = self._tasks.get(number)
            if record is None:
                continue
            if record.phase is _Phase.WAITING:
                del self._tasks[number]
                actions.extend(self._cancel(record))
                returned.append(number)
            elif record.phase is _Phase.RUNNING and record.group is not None and not record.inputs:
                actions.append(ReturnCall(record.serial))
        if returned:
            actions.append(Send(wire.Recalled(tuple(returned))))
        return actions + self._schedule(now)

    def _take_returned(self, event: CallReturned, now: float) -> list[Action]:
        record = self._by_serial.get(event.serial)
        if record is None:
            return []
        actions = self._release(record)
        self._forget(record)
        if record.path:
            actions.append(DropCall(record.path))
        if not record.is_forgotten:
            actions.append(Send(wire.Recalled((record.task.task_id,))))
        return actions + self._schedule(now)

    def _enforce_deadlines(self, _event: Clock, now: float) -> list[Action]:
        actions: list[Action] = []
        for record in [
            task for task in self._timed.values() if task.deadline is not None and task.deadline <= now
        ]:
            del self._timed[record.serial]
            is_end = record.task.end_time is not None and record.task.end_time <= now
            record.reason = ResultCode.END_TIME if is_end else ResultCode.WALL_TIME
            actions.append(_make_kill(record))
        return actions

    def _drain(self, _event: Drain, _now: float) -> list[Action]:
        """Give back what waits, announce that nothing fits here any more, and finish what runs."""
        self.is_draining = True
        self._ledger.close()
        parked = [task for tasks in self._parked.values() for task in tasks]
        waiting = [task for task in (*self._waiting, *parked) if not task.is_forgotten]
        self._waiting.clear()
        self._parked.clear()
        actions: list[Action] = [Send(line) for line in render_resources(Box(), self.last_task_id)]
        for record in waiting:
            actions.extend(self._release(record))
            if isinstance(record.task, wire.CallTask):
                actions.extend(self._refuse_call(record, ResultCode.FORSAKEN, "the worker is leaving"))
            else:
                actions.extend(self._refuse_run(record, ResultCode.FORSAKEN))
        return actions

    # -- cache entries -------------------------------------------------------------------------------------------------

    def _accept_entry(self, event: EntryStored, _now: float) -> list[Action]:
        return self._entries.store(event.name, event.key)

    def _accept_unlink(self, event: wire.Unlink, _now: float) -> list[Action]:
        return self._entries.unlink(event.name)

    def _answer_get(self, event: wire.Get, _now: float) -> list[Action]:
        return [SendEntry(event.name, self._entries.find_key(event.name), event.recursive)]

    # -- environments --------------------------------------------------------------------------------------------------

    def _accept_offer(self, offer: wire.EnvironmentOffer, _now: float) -> list[Action]:
        return self._environments.offer(offer)

    def _ask_for_layers(self, event: EnvironmentExamined, _now: float) -> list[Action]:
        return self._environments.want(event.environment, event.missing, event.awaited)

    def _claim_layer(self, event: LayerClaimed, _now: float) -> list[Action]:
        return self._environments.claim(event.digest)

    def _accept_layer(self, event: LayerStored, _now: float) -> list[Action]:
        return self._environments.add_layer(event.digest) + self._fail_lost()

    def _fail_layer(self, event: LayerBroken, _now: float) -> list[Action]:
        self._environments.lose_layer(event.digest, event.message)
        return self._fail_lost()

    def _fail_lost(self) -> list[Action]:
        actions: list[Action] = []
        for digest, message in self._environments.find_lost():
            actions.extend(self._fail_environment(digest, message))
        return actions

    def _make_ready(self, event: EnvironmentComposed, now: float) -> list[Action]:
        actions = self._environments.make_ready(event.environment)
        self._waiting.extend(self._parked.pop(event.environment, ()))
        return actions + self._schedule(now)

    def _accept_failure(self, event: EnvironmentBroken, _now: float) -> list[Action]:
        return self._fail_environment(event.environment, event.message)

    def _fail_environment(self, digest: str, message: str) -> list[Action]:
        actions = self._environments.fail(digest, message)
        for record in self._parked.pop(digest, ()):
            if not record.is_forgotten:
                actions.extend(self._release(record))
                actions.extend(self._refuse_call(record, ResultCode.ENVIRONMENT_FAILED, message))
        return actions


_RULES: dict[type[Event], Callable[[WorkerState, Any, float], list[Action]]] = {
    CallArrived: WorkerState._accept_call,
    CallEnded: WorkerState._end_call,
    wire.TaskDescription: WorkerState._accept_task,
    RunEnded: WorkerState._end_run,
    wire.Check: WorkerState._answer_check,
    wire.SendResults: WorkerState._send_results,
    wire.Kill: WorkerState._kill,
    wire.Recall: WorkerState._return_tasks,
    CallReturned: WorkerState._take_returned,
    EntryStored: WorkerState._accept_entry,
    wire.Unlink: WorkerState._accept_unlink,
    wire.Get: WorkerState._answer_get,
    wire.Release: WorkerState._part,
    wire.Exit: WorkerState._part,
    wire.Hello: WorkerState._greet,
    wire.ProjectName: WorkerState._ignore,
    FunctionStored: WorkerState._accept_function,
    Clock: WorkerState._enforce_deadlines,
    WatchedSize: WorkerState._note_watched,
    Drain: WorkerState._drain,
    wire.EnvironmentOffer: WorkerState._accept_offer,
    EnvironmentExamined: WorkerState._ask_for_layers,
    LayerClaimed: WorkerState._claim_layer,
    LayerStored: WorkerState._accept_layer,
    LayerBroken: WorkerState._fail_layer,
    EnvironmentComposed: WorkerState._make_ready,
    EnvironmentBroken: WorkerState._accept_failure,
}


def _iter_sandbox_names(task: wire.TaskDescription | wire.CallTask) -> Iterator[str]:
    for file in (*task.inputs, *task.outputs):
        yield file.sandbox_name
    if isinstance(task, wire.TaskDescription):
        yield from task.folders


def is_inside_name(name: str) -> bool:
    """Whether a sandbox name stays inside the sandbox."""
    return bool(name) and not name.startswith("/") and ".." not in name.split("/") and "\0" not in name


def _make_kill(record: _Task) -> Action:
    return (
        KillRun(record.serial) if isinstance(record.task, wire.TaskDescription) else KillCall(record.serial)
    )


def _find_deadline(task: wire.TaskDescription | wire.CallTask, now: float) -> float | None:
    limits = [task.end_time] if task.end_time else []
    if task.wall_time:
        limits.append(now + task.wall_time)
    return min(limits, default=None)


def _make_result(record: _Task, event: RunEnded, status: int, size: int) -> wire.Result:
    exit_code = event.signal or event.exit_code  # Work Queue has one number for both
    used = _add_time_limit(record, event)
    return wire.Result(
        status,
        exit_code,
        size,
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


def _add_time_limit(record: _Task, event: RunEnded | CallEnded) -> Usage:
    """Say by how much a task was over its wall time, if that is why it was ended."""
    allowed = record.task.wall_time
    if record.reason is not ResultCode.WALL_TIME or allowed is None:
        return event.usage
    return replace(event.usage, limit="wall_time", allowed=allowed, used=event.usec / 1e6)


def _render_result(record: _Task, event: CallEnded) -> wire.CallResult:
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


_EXPLAINED = {
    ResultCode.WALL_TIME: "the call ran longer than its wall time",
    ResultCode.END_TIME: "the call ran past its end time",
}

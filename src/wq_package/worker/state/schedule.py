"""Which task starts when (logic module).

Knows what waits, what is free, and which calls may wait at a host behind one that runs. Knows nothing of how a task
arrived or what becomes of it.
"""

from __future__ import annotations

from wq_package.protocol import messages as wire
from wq_package.worker.actions import Action, Box, StartCall, StartRun
from wq_package.worker.state.book import Book
from wq_package.worker.state.records import (
    AHEAD_BELOW_USEC,
    Group,
    Phase,
    TaskRecord,
    find_deadline,
    is_whole,
)

__all__ = ["Schedule"]

_AHEAD_PER_RUNNING = 1
_LOOK_AHEAD = 32
_LEAST_CORES = 0.125
"""What a call holds at least, so that calls that declare no cores do not start a host each without end."""


class Schedule:
    """Starts what waits."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def start_what_fits(self, now: float) -> list[Action]:
        """Start what fits, oldest first; look a little past what does not fit."""
        waiting = self._book.waiting
        if not waiting:
            return []
        ledger = self._book.ledger
        actions: list[Action] = []
        kept: list[TaskRecord] = []
        while waiting and len(kept) < _LOOK_AHEAD:
            record = waiting.popleft()
            if record.is_forgotten:
                continue
            if ledger.fits(record.box):
                actions.append(self._start(record, now, is_ahead=False))
            elif not kept and _may_go_ahead(record):
                actions.append(self._start(record, now, is_ahead=True))
            else:
                kept.append(record)
                if ledger.is_full:
                    break
        waiting.extendleft(reversed(kept))
        return actions

    def _start(self, record: TaskRecord, now: float, *, is_ahead: bool) -> Action:
        book = self._book
        record.phase = Phase.RUNNING
        record.began = now
        book.running += 1
        if not is_ahead:
            book.ledger.take(record.box)
        task = record.task
        if task.wall_time or task.end_time:
            record.deadline = find_deadline(task, now)
            book.timed[record.serial] = record
        if isinstance(task, wire.TaskDescription):
            if task.outputs and not book.speaks_dialect:
                book.watched.begin(record.serial, task)
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

    def find_group(self, call: wire.CallTask) -> Group:
        """Find the group of calls that a call belongs to."""
        groups = self._book.groups
        size = (call.cores, call.memory_mb, call.disk_mb, call.gpus)
        key = (call.environment, call.mode, call.is_enforced, size)
        group = groups.get(key)
        if group is None:
            can_be_ahead = call.mode == "in-place" and not call.is_enforced
            box = self.compute_box(call)
            group = groups[key] = Group(box, can_be_ahead=can_be_ahead, is_whole=is_whole(call))
        return group

    def compute_box(self, task: wire.TaskDescription | wire.CallTask) -> Box:
        """Compute what a task is to hold: what it declares, or everything."""
        if is_whole(task):
            return self._book.ledger.capacity
        least = _LEAST_CORES if isinstance(task, wire.CallTask) else 0
        return Box(max(task.cores or 0, least), task.memory_mb or 0, task.disk_mb or 0, task.gpus or 0)


def _may_go_ahead(record: TaskRecord) -> bool:
    """Whether a call may wait at a host behind one that runs, which saves a turn through the worker.

    Only among calls that are alike and have been short; when one that runs ends, its place is taken over.
    """
    group = record.group
    if group is None or not group.can_be_ahead or group.usec >= AHEAD_BELOW_USEC:
        return False
    if group.ahead >= group.running * _AHEAD_PER_RUNNING:
        return False
    call = record.task
    return not (call.wall_time or call.end_time or call.inputs or call.outputs)

"""What the worker's state knows, and the moves that all of its desks share (logic module).

The desks beside it (`arrivals`, `schedule`, `ends`, `kills`) each take in one kind of event; what has to stay true between
them is kept here: a task waits, runs or has ended, and what it holds of the worker is counted once.

A task is known to the shell by its *serial*, which is never used twice: a manager may give the number of a task that we
are still killing to another one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from wq_package.protocol import messages as wire
from wq_package.task import ResultCode
from wq_package.worker.actions import Action, Box, DropCall, EndedTask, PushResult, Send, SendCallResult
from wq_package.worker.entry_table import EntryTable
from wq_package.worker.environment_table import EnvironmentTable
from wq_package.worker.ledger import Ledger
from wq_package.worker.state.records import Group, Phase, TaskRecord
from wq_package.worker.state.results import make_refusal
from wq_package.worker.watching import WatchTable

__all__ = ["Book"]


class Book:
    """Tasks, calls, cache entries and environments of one session.

    Args:
        capacity: what this worker has.
        serials: numbers for tasks, never the same twice in the life of a worker.
        protocol: the number that the manager speaks.
    """

    def __init__(self, capacity: Box, serials: Iterator[int], protocol: int) -> None:
        self.ledger = Ledger(capacity)
        self.protocol = protocol
        self.speaks_dialect = False
        self.is_draining = False
        self.last_task_id = 0
        self.functions: set[str] = set()
        self.tasks: dict[int, TaskRecord] = {}  # by task number; those that the manager knows
        self.by_serial: dict[int, TaskRecord] = {}  # those that the shell works on
        self.waiting: deque[TaskRecord] = deque()
        self.parked: dict[str, list[TaskRecord]] = {}  # calls whose environment is on its way
        self.timed: dict[int, TaskRecord] = {}
        self.running = 0
        self.groups: dict[tuple[object, ...], Group] = {}
        self.ended: list[EndedTask] = []
        self.is_announced = False
        self.entries = EntryTable()
        self.environments = EnvironmentTable()
        self.watched = WatchTable()
        self._serials = serials

    def resize_disk(self, disk_mb: float) -> None:
        """Take in that the disk is larger or smaller; what is to have the whole worker wants no more than it has."""
        self.ledger.resize_disk(disk_mb)
        capacity = self.ledger.capacity
        renewed: dict[int, Group] = {}
        for key, group in self.groups.items():
            if group.is_whole:  # what runs in it gives back what it has taken
                self.groups[key] = renewed[id(group)] = group.renew(capacity)
        for record in self.list_waiting():
            if record.is_whole:
                record.box = capacity
                record.group = renewed.get(id(record.group), record.group)

    def list_waiting(self) -> list[TaskRecord]:
        """List the tasks and calls that have not begun."""
        records = self.by_serial.values()
        return [record for record in records if record.phase is Phase.WAITING and not record.is_forgotten]

    def forsake(self, record: TaskRecord, message: str) -> list[Action]:
        """Give a task back that has not begun."""
        record.is_forgotten = True
        actions = self.release(record)
        if isinstance(record.task, wire.CallTask):
            return actions + self.refuse_call(record, ResultCode.FORSAKEN, message)
        return actions + self.refuse_run(record, ResultCode.FORSAKEN)

    def remember(self, task: wire.TaskDescription | wire.CallTask, box: Box) -> TaskRecord:
        """Take in a task, which from now on waits."""
        record = TaskRecord(next(self._serials), task, box)
        self.tasks[task.task_id] = record
        self.by_serial[record.serial] = record
        return record

    def forget(self, record: TaskRecord) -> None:
        """Forget a task that the manager has heard the end of."""
        self.by_serial.pop(record.serial, None)
        if self.tasks.get(record.task.task_id) is record:
            del self.tasks[record.task.task_id]

    def release(self, record: TaskRecord) -> list[Action]:
        """Give back what a task held; return the removal of inputs that nobody will read again."""
        if record.phase is Phase.RUNNING:
            self.running -= 1
            self._release_box(record)
        self.timed.pop(record.serial, None)
        self.watched.end(record.serial)
        if not record.inputs:
            return []
        staged, record.inputs = record.inputs, ()
        return self.entries.release(staged)

    def _release_box(self, record: TaskRecord) -> None:
        group = record.group
        if group is not None and group.ahead:
            group.ahead -= 1  # one that waited behind takes the place over
            return
        if group is not None:
            group.running -= 1
        self.ledger.give_back(record.box)

    def finish_run(self, record: TaskRecord, result: wire.Result, output: str) -> list[Action]:
        """Let a command have ended: our managers hear of it at once, others ask for it."""
        record.phase = Phase.ENDED
        self.by_serial.pop(record.serial, None)
        ended = EndedTask(result, output)
        if not self.speaks_dialect:
            self.ended.append(ended)
            return self.announce()
        self.forget(record)
        return [PushResult(ended)]

    def refuse_run(self, record: TaskRecord, code: ResultCode) -> list[Action]:
        """End a command that has not run."""
        # Work Queue 9 does not read the body of a forsaken task: it must be empty.
        return self.finish_run(record, make_refusal(record.task.task_id, code), "")

    def refuse_call(self, record: TaskRecord, code: ResultCode, message: str) -> list[Action]:
        """End a call that has not run."""
        self.forget(record)
        actions: list[Action] = [DropCall(record.path)] if record.path else []
        result = wire.CallResult(record.task.task_id, code.value, 0, 0, 0, 0, message=message)
        actions.append(SendCallResult(result, b"", ""))
        return actions

    def announce(self) -> list[Action]:
        """Say that there are results to be asked for."""
        # Work Queue: once a batch, not again until the manager has asked for the results.
        if self.is_announced:
            return []
        self.is_announced = True
        return [Send(wire.AvailableResults())]

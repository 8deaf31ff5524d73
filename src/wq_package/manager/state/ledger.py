"""What the manager's state machine knows, and the moves that all of its desks share (logic module).

The desks beside it (`tasks`, `answers`, `workers`, `environments`) each take in one kind of event; what has to stay
true between them is kept here: a task is in the queue, at one worker, or done, and a worker's room is counted once.
"""

from __future__ import annotations

from wq_package.manager.state import results
from wq_package.manager.state.actions import Abandon, Action, Drop, Finish, Send
from wq_package.manager.state.categories import Categories
from wq_package.manager.state.deadlines import Deadlines
from wq_package.manager.state.options import StateOptions
from wq_package.manager.state.placement import Placement
from wq_package.manager.state.records import (
    EnvironmentRecord,
    TaskRecord,
    TaskState,
    WorkerRecord,
)
from wq_package.manager.state.statistics import Counters
from wq_package.manager.state.transfers import TransferBook
from wq_package.protocol import messages as m
from wq_package.task import ResultCode, TaskResult

CATEGORIES_KEPT = 10_000


class Ledger:
    """Tasks, workers, counts, the time, and the actions that are to be given next."""

    def __init__(self, options: StateOptions) -> None:
        self.options = options
        self.categories = Categories(options)
        self.placement = Placement(options, self.categories)
        self.transfers = TransferBook()
        self.workers: dict[int, WorkerRecord] = {}
        self.tasks: dict[int, TaskRecord] = {}
        self.counters = Counters()
        self.category_counts: dict[str, Counters] = {}
        self.refused_hosts: set[str] = set()
        self.now = 0.0
        self.epoch = 0.0
        self.walls = Deadlines()
        self.ends = Deadlines()
        self.actions: list[Action] = []

    def find_run(self, number: int, task_id: int) -> tuple[WorkerRecord | None, TaskRecord | None]:
        """Find a worker, and a task that it has."""
        worker = self.workers.get(number)
        return worker, worker.tasks.get(task_id) if worker is not None else None

    def take_from_worker(self, record: TaskRecord) -> WorkerRecord:
        """Take a task from its worker, and count the room as free."""
        worker = record.worker
        assert worker is not None
        del worker.tasks[record.task_id]
        if record.state is TaskState.RUNNING:
            worker.give_back(record.box)
            self.placement.free(worker)
        return worker

    def stop(self, record: TaskRecord, code: ResultCode, message: str) -> None:
        """End a task wherever it is."""
        result = results.make_result(record, code, message)
        if record.state is TaskState.READY:
            record.state = TaskState.DONE
            record.lane.forget_one()
        else:
            worker = self.take_from_worker(record)
            if record.state is TaskState.FETCHING:
                self.actions.append(Abandon(worker.number, record.task_id))
            worker.remember_kill(record.task_id)
            self.actions.append(Send(worker.number, m.Kill(record.task_id)))
            self.unlink(worker, record)
        self.end(record, result)

    def end(self, record: TaskRecord, result: TaskResult) -> None:
        """Let a task be done."""
        record.state = TaskState.DONE
        record.run = record.worker = None
        self.tasks.pop(record.task_id, None)
        self.count_end(record.task.category, result.code)
        self.actions.append(Finish(result))

    def count_end(self, category: str, code: ResultCode) -> None:
        """Count an end, in all and in its category."""
        for counters in (self.counters, self.find_category(category)):
            if code is ResultCode.SUCCESS:
                counters.done += 1
            elif code is ResultCode.CANCELLED:
                counters.cancelled += 1
            else:
                counters.failed += 1

    def find_category(self, category: str) -> Counters:
        """Find the counts of a category."""
        counts = self.category_counts.get(category)
        if counts is None:
            if len(self.category_counts) >= CATEGORIES_KEPT:
                self.category_counts.clear()
            counts = self.category_counts[category] = Counters()
        return counts

    def retry(self, record: TaskRecord, code: ResultCode, message: str, *, is_suspect: bool) -> None:
        """Put a task that a worker did not end back into the queue, unless that has happened too often."""
        record.losses += is_suspect
        limit = record.task.max_retries
        if is_suspect and limit is not None and record.losses > limit:
            self.end(record, results.make_result(record, code, message))
            return
        self.counters.retries += 1
        self.requeue(record)

    def requeue(self, record: TaskRecord) -> None:
        """Put a task that was taken from its worker at the front of the queue."""
        record.forget_attempt()
        # While it was away, its lane may have been forgotten, and opened again for others.
        record.lane = self.placement.find_lane(record.task, record.lane.allotment)
        self.placement.add(record, at_front=True)

    def unlink(self, worker: WorkerRecord, record: TaskRecord) -> None:
        """Let the worker forget what no other task can use."""
        run = record.run
        if run is None:
            return
        names = [staged.cache_name for staged in run.inputs if not staged.cache]
        names += [cache_name for cache_name, _ in run.outputs.values()]
        self.actions.extend(Send(worker.number, m.Unlink(name)) for name in names)

    def drop(self, worker: WorkerRecord, reason: str) -> None:
        """Close a worker's connection and forget it."""
        self.actions.append(Drop(worker.number, reason))
        self.lose(worker, reason)

    def lose(self, worker: WorkerRecord, reason: str) -> None:
        """Forget a worker; its tasks go back to the front of the queue, in their old order."""
        del self.workers[worker.number]
        self.placement.remove_worker(worker)
        self.transfers.remove_peer(worker.number)
        self.counters.lost += worker.is_ready
        for environment in worker.environments.values():
            environment.told.pop(worker.number, None)
        suspects = set[int]() if worker.is_leaving else worker.find_suspects()
        for record in reversed(worker.tasks.values()):
            message = (
                f"{record.losses + 1} workers were lost while they ran this task, the last one: {reason}"
            )
            is_suspect = record.task_id in suspects
            self.retry(record, ResultCode.MAX_RETRIES, message, is_suspect=is_suspect)
        worker.tasks.clear()
        self.check_environments(list(worker.environments.values()))

    def check_environments(self, environments: list[EnvironmentRecord]) -> None:
        """Fail the tasks whose environment no connected worker can use."""
        for environment in environments:
            if environment.failure and self.placement.is_hopeless(environment):
                self.fail_environment(environment, environment.failure)

    def fail_environment(self, environment: EnvironmentRecord, message: str) -> None:
        """Fail every call that waits for an environment."""
        for lane in environment.lanes.values():
            for record in lane.drain() if lane.is_call else ():
                self.end(record, results.make_result(record, ResultCode.ENVIRONMENT_FAILED, message))

    def end_transfer(self, worker: WorkerRecord) -> None:
        """Count a transfer as over."""
        worker.transfers = max(0, worker.transfers - 1)
        worker.last_heard = max(worker.last_heard, self.now)

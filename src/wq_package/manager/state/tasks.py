"""The desk for what the application asks, and for what becomes of a dispatch (logic module)."""

from __future__ import annotations

from wq_package.manager.state import events as e
from wq_package.manager.state import results
from wq_package.manager.state.actions import Finish
from wq_package.manager.state.descriptions import describe
from wq_package.manager.state.ledger import Ledger
from wq_package.manager.state.records import (
    Box,
    EnvironmentRecord,
    RunRecord,
    TaskRecord,
    TaskState,
    WorkerRecord,
)
from wq_package.task import ResultCode, TaskResult

DEADLINES_KEPT = 1000
"""How many deadlines of ended tasks are not worth a look."""


class TaskDesk:
    """Submissions, cancellations, dispatches and deadlines."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def on_submitted(self, event: e.Submitted) -> None:
        """Queue a task."""
        task = event.task
        record = TaskRecord(event.task_id, task, self._ledger.placement.find_lane(task), event.inputs)
        self._ledger.counters.submitted += 1
        self._ledger.tasks[event.task_id] = record
        if task.end_time is not None:
            self._ledger.ends.add(task.end_time, event.task_id)
        if task.outputs or task.wall_time is not None or event.inputs:
            record.run = RunRecord()
        environment = record.lane.environment
        if environment is not None:
            assert task.environment is not None
            environment.environment = task.environment  # its archive may lie elsewhere by now
            if self._is_refused_by_all(record, environment):
                self._ledger.end(
                    record, results.make_result(record, ResultCode.ENVIRONMENT_FAILED, environment.failure)
                )
                return
        self._ledger.placement.add(record)

    def _is_refused_by_all(self, record: TaskRecord, environment: EnvironmentRecord) -> bool:
        return (
            record.lane.is_call and bool(environment.told) and self._ledger.placement.is_hopeless(environment)
        )

    def on_refused(self, event: e.Refused) -> None:
        """End a task that cannot be run at all."""
        self._ledger.counters.submitted += 1
        self._ledger.count_end(event.task.category, event.code)
        self._ledger.actions.append(
            Finish(TaskResult(event.task_id, event.code, message=event.message, tag=event.task.tag))
        )

    def on_cancelled(self, event: e.Cancelled) -> None:
        """End a task because the application wants it."""
        record = self._ledger.tasks.get(event.task_id)
        if record is not None:
            self._ledger.stop(record, ResultCode.CANCELLED, "the task was cancelled")

    def dispatch(self, record: TaskRecord, worker: WorkerRecord, box: Box) -> None:
        """Hand a task to a worker that has room for it."""
        record.state = TaskState.RUNNING
        record.worker = worker
        record.box = box
        worker.take(box)
        worker.tasks[record.task_id] = record
        labels = record.lane.category_record.labels
        if labels is not None and record.lane.allotment is None:
            record.serial = labels.begin()
        self._ledger.counters.dispatches += 1
        action = describe(record, worker, self._ledger.options)
        self._ledger.actions.append(action)
        if action.is_large:
            worker.transfers += 1
        elif record.task.wall_time is not None:
            self._start_clock(record, record.task.wall_time)

    def _start_clock(self, record: TaskRecord, seconds: float) -> None:
        assert record.run is not None
        record.run.started = self._ledger.now
        self._ledger.walls.add(self._ledger.now + seconds, record.task_id)

    def on_dispatch_sent(self, event: e.DispatchSent) -> None:
        """Start the clock of a task whose inputs took a while."""
        worker, record = self._ledger.find_run(event.worker, event.task_id)
        if worker is not None:
            self._ledger.end_transfer(worker)
        if record is not None and record.task.wall_time is not None and record.state is TaskState.RUNNING:
            self._start_clock(record, record.task.wall_time)

    def on_dispatch_failed(self, event: e.DispatchFailed) -> None:
        """End a task whose inputs cannot be read, or try it again if that was another task's fault."""
        worker, record = self._ledger.find_run(event.worker, event.task_id)
        if worker is not None:
            worker.files.discard(event.cache_name)
            if event.was_large:
                self._ledger.end_transfer(worker)
        if record is None:
            return
        if worker is not None:
            self._ledger.unlink(worker, record)
        self._ledger.take_from_worker(record)
        if event.is_dependent:
            self._ledger.retry(record, event.code, event.message, is_suspect=False)
            return
        is_archive = record.task.environment is not None and event.cache_name.startswith("env-")
        code = ResultCode.ENVIRONMENT_FAILED if is_archive else event.code
        self._ledger.end(record, results.make_result(record, code, event.message))

    def _check_wall_time(self, task_id: int) -> None:
        record = self._ledger.tasks.get(task_id)
        if record is None or record.run is None or record.state is not TaskState.RUNNING:
            return
        limit, started = record.task.wall_time, record.run.started
        if limit is not None and started is not None and self._ledger.now >= started + limit:
            self._ledger.stop(
                record, ResultCode.WALL_TIME, f"the task ran longer than its wall time of {limit:g} s"
            )

    def check_deadlines(self) -> None:
        """End the tasks whose time is over."""
        ledger = self._ledger
        for task_id in ledger.walls.iter_due(ledger.now):
            self._check_wall_time(task_id)
        for task_id in ledger.ends.iter_due(ledger.epoch):
            record = ledger.tasks.get(task_id)
            if record is not None and record.state is not TaskState.FETCHING:
                ledger.stop(record, ResultCode.END_TIME, "the task had not ended at its end time")

    def forget_deadlines(self) -> None:
        """Forget the deadlines of ended tasks, if they are many."""
        for deadlines in (self._ledger.walls, self._ledger.ends):
            if len(deadlines) > 2 * len(self._ledger.tasks) + DEADLINES_KEPT:
                deadlines.keep(self._ledger.tasks)

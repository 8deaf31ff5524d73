"""Tasks and calls that arrive, and which of them are refused (logic module).

Knows what a task needs to be taken in: its inputs, its function, its environment, room at all. Knows nothing of when it
starts.
"""

from __future__ import annotations

from wq_package.protocol import messages as wire
from wq_package.task import ResultCode
from wq_package.worker.actions import Action, Disconnect
from wq_package.worker.events import CallArrived
from wq_package.worker.state.book import Book
from wq_package.worker.state.records import WORKER_PYTHON, TaskRecord, is_inside_name, iter_sandbox_names
from wq_package.worker.state.schedule import Schedule

__all__ = ["ArrivalDesk"]


class ArrivalDesk:
    """Takes tasks and calls in, or refuses them."""

    def __init__(self, book: Book, schedule: Schedule) -> None:
        self._book = book
        self._schedule = schedule

    def on_task(self, task: wire.TaskDescription, now: float) -> list[Action]:
        """Take in a command."""
        book = self._book
        book.last_task_id = task.task_id
        record = book.remember(task, self._schedule.compute_box(task))
        for name in iter_sandbox_names(task):
            if not is_inside_name(name):
                return [Disconnect(f"task {task.task_id} names `{name}`, which is outside its sandbox")]
        missing = [file.cache_name for file in task.inputs if file.cache_name not in book.entries]
        if missing and not book.speaks_dialect and book.protocol < 11:
            return [Disconnect(f"task {task.task_id} needs `{missing[0]}`, which was never sent")]
        if missing:
            was_refused = any(map(book.entries.was_refused, missing))
            return book.refuse_run(record, ResultCode.DISK_FULL if was_refused else ResultCode.INPUT_MISSING)
        if book.is_draining or not book.ledger.can_ever_fit(record.box):
            return book.refuse_run(record, ResultCode.FORSAKEN)
        if task.inputs:
            record.inputs = book.entries.claim(task.inputs)
        book.waiting.append(record)
        return self._schedule.start_what_fits(now)

    def on_call(self, event: CallArrived, now: float) -> list[Action]:
        """Take in a call; it waits apart while its environment is on its way."""
        book, call = self._book, event.call
        book.last_task_id = call.task_id
        group = self._schedule.find_group(call)
        record = book.remember(call, group.box)
        record.group, record.arguments, record.path = group, event.arguments, event.path
        refusal = self._find_refusal(record, call)
        if refusal is not None:
            return book.refuse_call(record, *refusal)
        if call.inputs:
            record.inputs = book.entries.claim(call.inputs)
        if call.environment != WORKER_PYTHON and not book.environments.is_ready(call.environment):
            book.parked.setdefault(call.environment, []).append(record)
            return book.environments.wake(call.environment)
        book.waiting.append(record)
        return self._schedule.start_what_fits(now)

    def _find_refusal(self, record: TaskRecord, call: wire.CallTask) -> tuple[ResultCode, str] | None:
        book = self._book
        if book.is_draining:
            return ResultCode.FORSAKEN, "the worker is leaving"
        if not book.ledger.can_ever_fit(record.box):
            return ResultCode.FORSAKEN, "the worker is too small"
        if call.function not in book.functions:
            return ResultCode.UNKNOWN, "the function was never sent to the worker"
        if call.inputs or call.outputs:
            refusal = self._find_bad_file(call)
            if refusal is not None:
                return refusal
        return self._find_environment_failure(call.environment)

    def _find_bad_file(self, call: wire.CallTask) -> tuple[ResultCode, str] | None:
        for name in iter_sandbox_names(call):
            if not is_inside_name(name):
                return ResultCode.UNKNOWN, f"`{name}` is outside the call's sandbox"
        for file in call.inputs:
            if self._book.entries.was_refused(file.cache_name):
                return ResultCode.DISK_FULL, f"the worker's disk has no room for input `{file.sandbox_name}`"
            if file.cache_name not in self._book.entries:
                return ResultCode.INPUT_MISSING, f"input `{file.sandbox_name}` was never sent to the worker"
        return None

    def _find_environment_failure(self, digest: str) -> tuple[ResultCode, str] | None:
        if digest == WORKER_PYTHON:
            return None
        environments = self._book.environments
        if digest not in environments:
            return ResultCode.ENVIRONMENT_FAILED, "the environment was never offered to the worker"
        message = environments.find_failure(digest)
        return None if message is None else (ResultCode.ENVIRONMENT_FAILED, message)

"""The desk for what takes too long: slow workers, and tasks that wait behind a long one (logic module).

Looks at the tasks that are at workers once a sweep, so that no task costs anything more for it. A worker starts what it
was sent in order and as it has room; from that follows which of its tasks can be running and which are waiting.
"""

from __future__ import annotations

from wq_package.manager.state.actions import Send
from wq_package.manager.state.ledger import Ledger
from wq_package.manager.state.records import TaskRecord, TaskState, WorkerRecord
from wq_package.protocol import messages as m

LEAST_RUNS = 10
"""How many tasks of a category must have run before one of them can be called slow."""
HELD_SECONDS = 5.0
"""For how long nothing is sent ahead to a worker from which waiting tasks had to be recalled."""
WAITING_SECONDS = 1.0
"""Tasks that wait at a worker are short: one that waits for longer is behind something long."""


class SlownessDesk:
    """Recalls and fast aborts."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        options = ledger.options
        self._may_abort = options.fast_abort_multiplier is not None or any(
            multiplier is not None for multiplier in options.fast_abort_categories.values()
        )

    def check_worker(self, worker: WorkerRecord) -> None:
        """Look at the tasks of one worker."""
        worker.is_held = self._ledger.now < worker.held_until
        is_overfull = any(used > total for used, total in zip(worker.used, worker.total, strict=True))
        if not worker.tasks or not (is_overfull or self._may_abort):
            return
        suspects = worker.find_suspects()
        self._note_times(worker, suspects)
        if is_overfull:
            self._free_waiting(worker, suspects)
        if self._may_abort:
            self._abort_slow(worker, suspects)

    def _note_times(self, worker: WorkerRecord, suspects: set[int]) -> None:
        now = self._ledger.now
        for task_id, record in worker.tasks.items():
            if task_id not in suspects:
                record.queued_since = now if record.queued_since is None else record.queued_since
            elif record.began is None and not worker.transfers:
                record.began = now

    # -- tasks behind a long one ----------------------------------------------------------------------------------------

    def _free_waiting(self, worker: WorkerRecord, suspects: set[int]) -> None:
        """Send nothing more ahead to a worker whose tasks wait long, and ask one of ours for those that it has not begun.

        A real worker cannot be asked: what it is told to kill may have begun meanwhile.
        """
        waiting = [
            record
            for task_id, record in worker.tasks.items()
            if task_id not in suspects and self._has_waited(record)
        ]
        if not waiting:
            return
        worker.held_until = self._ledger.now + HELD_SECONDS
        worker.is_held = True
        if not worker.is_dialect:
            return
        for record in waiting:
            record.is_recalled = True
        self._ledger.actions.append(
            Send(worker.number, m.Recall(tuple(record.task_id for record in waiting)))
        )

    def _has_waited(self, record: TaskRecord) -> bool:
        return (
            record.state is TaskState.RUNNING
            and not record.is_recalled
            and record.queued_since is not None
            and self._ledger.now - record.queued_since >= WAITING_SECONDS
        )

    def receive_recalled(self, worker: WorkerRecord, message: m.Recalled, _event: object) -> None:
        """Put tasks that the worker has not begun, and now has forgotten, back into the queue."""
        for task_id in sorted(message.task_ids, reverse=True):
            record = worker.tasks.get(task_id)
            if record is None:
                worker.killed.pop(task_id, None)
                continue
            if not record.is_recalled or record.state is not TaskState.RUNNING:
                self._ledger.drop(worker, f"it gave back task {task_id}, which was not recalled")
                return
            self._ledger.take_from_worker(record)
            self._ledger.unlink(worker, record)
            self._ledger.counters.recalled += 1
            self._ledger.requeue(record)

    # -- slow workers ---------------------------------------------------------------------------------------------------

    def _abort_slow(self, worker: WorkerRecord, suspects: set[int]) -> None:
        for task_id in suspects:
            record = worker.tasks[task_id]
            limit = self._find_limit(record)
            if limit is None or record.began is None or self._ledger.now - record.began <= limit:
                continue
            if not self._ledger.placement.has_other(record.lane, worker):
                continue
            # A task that was slow elsewhere too says nothing about this worker.
            if worker.is_slow and not record.times_slow:
                self._ledger.counters.fast_aborted += 1
                self._ledger.drop(worker, "two tasks in a row took too long there")
                return
            worker.is_slow = worker.is_slow or not record.times_slow
            self._move(record, worker)

    def _find_limit(self, record: TaskRecord) -> float | None:
        options = self._ledger.options
        category = record.task.category
        multiplier = options.fast_abort_categories.get(category, options.fast_abort_multiplier)
        counts = self._ledger.category_counts.get(category)
        if multiplier is None or counts is None or counts.ran < LEAST_RUNS:
            return None
        return float(multiplier * 2**record.times_slow * counts.seconds / counts.ran)

    def _move(self, record: TaskRecord, worker: WorkerRecord) -> None:
        """Kill a task where it is, and let it begin again on another worker, where it may take longer."""
        self._ledger.take_from_worker(record)
        worker.remember_kill(record.task_id)
        self._ledger.actions.append(Send(worker.number, m.Kill(record.task_id)))
        self._ledger.unlink(worker, record)
        record.times_slow += 1
        record.avoided = worker.number
        self._ledger.counters.retries += 1
        self._ledger.requeue(record)

    def release_head(self, record: TaskRecord) -> None:
        """Let a task go to the worker that it avoids, if no other could run it any more."""
        worker = self._ledger.workers.get(record.avoided)
        if worker is None or not self._ledger.placement.has_other(record.lane, worker):
            record.avoided = 0

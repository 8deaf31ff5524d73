"""Tasks that have not ended, and the thread that completes their futures (shell module).

Knows futures and what a result means; knows nothing of how tasks are sent. Results complete futures in a thread of its own:
what hangs on them, Parsl's and the user's, must not stop the manager.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from wq_package.executor.demands import Demand
from wq_package.executor.failures import explain_missing, read_answer
from wq_package.executor.packing import PackingEntry
from wq_package.executor.shipments import Shipment
from wq_package.task import TaskResult

__all__ = ["Delivery", "Pending"]

logger = logging.getLogger(__name__)

_JOIN_SECONDS = 10.0


@dataclass(slots=True, eq=False)
class Pending:
    """A task that has not ended."""

    task_id: int
    shipment: Shipment
    demand: Demand
    future: Future[Any] = field(default_factory=Future)
    entry: PackingEntry | None = None

    def __post_init__(self) -> None:
        self.future.parsl_executor_task_id = self.task_id  # type: ignore[attr-defined]  # Parsl logs it


class Delivery:
    """All tasks of an executor, until they have ended."""

    def __init__(self) -> None:
        self._pending: dict[int, Pending] = {}
        self._ids = itertools.count(1)
        self._answers: queue.SimpleQueue[tuple[Pending, TaskResult] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._deliver, name="wq-package-results", daemon=True)

    def start(self) -> None:
        """Begin to complete futures."""
        self._thread.start()

    def stop(self) -> None:
        """Complete what is there, and end."""
        self._answers.put(None)
        self._thread.join(_JOIN_SECONDS)

    def add(self, shipment: Shipment, demand: Demand) -> Pending:
        """Begin a task."""
        pending = Pending(next(self._ids), shipment, demand)
        self._pending[pending.task_id] = pending
        return pending

    def list_pending(self) -> list[Pending]:
        """List the tasks that have not ended."""
        return list(self._pending.values())

    def deliver(self, pending: Pending, result: TaskResult) -> None:
        """Complete a task's future soon; quick, for any thread."""
        self._answers.put((pending, result))

    def fail(self, pending: Pending, error: BaseException) -> None:
        """Fail a task, unless it has ended."""
        if self._pending.pop(pending.task_id, None) is not None:
            pending.future.set_exception(error)

    def fail_all(self, make_error: Callable[[], BaseException]) -> None:
        """Fail every task, each with an error of its own: one that is raised again and again grows a traceback."""
        for pending in self.list_pending():
            self.fail(pending, make_error())

    def _deliver(self) -> None:
        while (answer := self._answers.get()) is not None:
            try:
                self._finish(*answer)
            except BaseException:  # the top of this thread; a callback of the user's may raise `SystemExit`
                logger.exception("the result of task %d could not be delivered", answer[0].task_id)

    def _finish(self, pending: Pending, result: TaskResult) -> None:
        if self._pending.pop(pending.task_id, None) is None:
            return  # failed already, with everything else
        value, error = read_answer(result, pending.shipment.name)
        if error is None:
            pending.future.set_result(value)
        else:
            entry = pending.entry
            explain_missing(error, entry.problems if entry else (), entry.given if entry else None)
            pending.future.set_exception(error)

"""What happens in a queue, as the records of its transaction log (logic module).

Knows the state machine's events and actions, and the log's schema, which `docs/reference-log.md` describes; nothing of files
or clocks. Looks on: the decisions are made elsewhere, and are the same whether somebody looks or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from wq_package.manager.state import ManagerState
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.manager.state.records import CategoryRecord, TaskState, WorkerRecord
from wq_package.protocol import messages as m
from wq_package.task import Measurement, Resources, Task, TaskResult

__all__ = ["VERSION", "Observer", "Record"]

VERSION = 1
"""Of the schema: raised when a field changes its meaning or goes; new fields and events do not raise it."""

Record = dict[str, Any]


class Observer:
    """Turns what happens into records."""

    def __init__(self) -> None:
        self._joined: dict[int, str] = {}
        self._tries: dict[int, int] = {}
        self._event_readers: dict[type, Callable[[Any, ManagerState], Iterator[Record]]] = {
            e.Submitted: self._read_submitted,
            e.Refused: self._read_submitted,
            e.Received: self._read_received,
            e.WorkerGone: self._read_gone,
            e.TransferEnded: self._read_transfer,
            e.OutputFetched: self._read_fetched,
        }
        self._action_readers: dict[type, Callable[[Any, ManagerState], Iterator[Record]]] = {
            a.Dispatch: self._read_dispatch,
            a.Finish: self._read_finish,
            a.Drop: self._read_gone,
            a.OfferEnvironment: self._read_offer,
        }

    def observe(
        self, now: float, events: Iterable[e.Event], actions: Iterable[a.Action], state: ManagerState
    ) -> list[Record]:
        """Make the records of what happened at one time, and of what was decided because of it."""
        records: list[Record] = []
        for readers, happened in ((self._event_readers, events), (self._action_readers, actions)):
            for each in happened:
                reader = readers.get(type(each))
                if reader is not None:
                    records.extend(reader(each, state))
        records.extend(self._find_labels(state))
        for record in records:
            record["time"] = round(now, 6)
        return records

    # -- events -------------------------------------------------------------------------------------------------------

    def _read_submitted(self, event: e.Submitted | e.Refused, _state: ManagerState) -> Iterator[Record]:
        task: Task = event.task
        yield {
            "event": "task-submitted",
            "task": event.task_id,
            "category": task.category,
            "kind": "call" if task.call is not None else "command",
            "environment": task.environment.digest if task.environment else "",
            "tag": task.tag,
            "declared": _render_resources(task.resources),
        }

    def _read_received(self, event: e.Received, state: ManagerState) -> Iterator[Record]:
        worker = state.workers.get(event.worker)
        if event.worker not in self._joined and worker is not None and worker.is_ready:
            self._joined[event.worker] = worker.label
            yield _describe_worker(worker)
        message = event.message
        if isinstance(message, m.EnvironmentReady | m.EnvironmentFailed):
            is_ready = isinstance(message, m.EnvironmentReady)
            yield {
                "event": "environment-ready" if is_ready else "environment-failed",
                "worker": event.worker,
                "environment": message.environment,
            }
        elif isinstance(message, m.CallResult | m.Result):
            record = state.tasks.get(message.task_id)  # gone, if this was its end
            if record is not None and record.state is not TaskState.FETCHING:
                yield _describe_return(event.worker, message)

    def _read_gone(self, event: e.WorkerGone | a.Drop, _state: ManagerState) -> Iterator[Record]:
        name = self._joined.pop(event.worker, None)
        if name is not None:
            yield {"event": "worker-left", "worker": event.worker, "name": name, "reason": event.reason}

    @staticmethod
    def _read_transfer(event: e.TransferEnded, _state: ManagerState) -> Iterator[Record]:
        yield {"event": "layers-sent", "worker": event.worker, "bytes": event.size}

    @staticmethod
    def _read_fetched(event: e.OutputFetched, _state: ManagerState) -> Iterator[Record]:
        if not event.is_missing:
            yield {
                "event": "output-fetched",
                "worker": event.worker,
                "task": event.task_id,
                "file": event.sandbox_name,
            }

    # -- actions --------------------------------------------------------------------------------------------------------

    def _read_dispatch(self, action: a.Dispatch, _state: ManagerState) -> Iterator[Record]:
        message = action.message
        number = self._tries[message.task_id] = self._tries.get(message.task_id, 0) + 1
        yield {
            "event": "task-sent",
            "task": message.task_id,
            "worker": action.worker,
            "try": number,
            "box": {
                "cores": message.cores,
                "memory_mb": message.memory_mb,
                "disk_mb": message.disk_mb,
                "gpus": message.gpus,
            },
            "enforced": message.is_enforced,
            "files": len(message.inputs),
            "files_sent": len(action.puts),
            "bytes_sent": sum(staged.size for staged in action.puts) + len(action.body),
        }

    def _read_finish(self, action: a.Finish, _state: ManagerState) -> Iterator[Record]:
        result: TaskResult = action.result
        self._tries.pop(result.task_id, None)
        yield {
            "event": "task-ended",
            "task": result.task_id,
            "code": result.code.value,
            "exit_code": result.exit_code,
            "worker_name": result.worker,
            "used": _render_measured(result.measured),
            "message": result.message,
        }

    @staticmethod
    def _read_offer(action: a.OfferEnvironment, _state: ManagerState) -> Iterator[Record]:
        environment = action.environment
        yield {
            "event": "environment-offered",
            "worker": action.worker,
            "environment": environment.digest,
            "archive": environment.archive,
        }

    # -- labels -----------------------------------------------------------------------------------------------------------

    def _find_labels(self, state: ManagerState) -> Iterator[Record]:
        for category in state.categories.relabelled.values():
            yield _describe_label(category)


def _describe_label(category: CategoryRecord) -> Record:
    ladder = category.labels.ladder if category.labels is not None else ()
    return {
        "event": "label-changed",
        "category": category.name,
        "mode": category.options.mode.value,
        "measured": category.measured,
        "steps": [_render_resources(step) for step in ladder],
    }


def _describe_worker(worker: WorkerRecord) -> Record:
    cores, memory, disk, gpus = worker.total
    return {
        "event": "worker-joined",
        "worker": worker.number,
        "name": worker.label,
        "address": worker.address,
        "is_wq_package": worker.is_dialect,
        "total": {"cores": cores / 1000, "memory_mb": memory, "disk_mb": disk, "gpus": gpus},
    }


def _describe_return(worker: int, message: m.CallResult | m.Result) -> Record:
    used = {"wall_time": message.usec / 1_000_000, "memory_mb": message.memory_mb, "disk_mb": message.disk_mb}
    return {
        "event": "task-returned",
        "task": message.task_id,
        "worker": worker,
        "limit": message.limit,
        "used": {kind: amount for kind, amount in used.items() if amount >= 0},
    }


def _render_resources(resources: Resources) -> dict[str, float | None]:
    return {
        "cores": resources.cores,
        "memory_mb": resources.memory_mb,
        "disk_mb": resources.disk_mb,
        "gpus": resources.gpus,
    }


def _render_measured(measured: Measurement) -> dict[str, float]:
    amounts = {
        "wall_time": measured.wall_time,
        "cpu_time": measured.cpu_time,
        "cores": measured.average_cores,
        "memory_mb": measured.memory_mb,
        "disk_mb": measured.disk_mb,
    }
    return {kind: round(amount, 6) for kind, amount in amounts.items() if amount is not None}

"""What the queue says about itself to status tools, as plain JSON values (logic module).

Knows the keys that Work Queue's own tools print; times are in microseconds where theirs are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from wq_package.manager.category_status import render_category_use
from wq_package.manager.state.machine import ManagerState
from wq_package.manager.state.records import TaskRecord, TaskState, WorkerRecord
from wq_package.manager.state.statistics import Statistics
from wq_package.task import Resources, Task

MOST_TASKS = 10_000
"""How many waiting tasks a status answer lists at most; the counts are of all of them."""
LONGEST_COMMAND = 1000


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What the state machine does not know about the queue. Times in epoch seconds."""

    project: str
    host: str
    port: int
    started: float
    now: float
    is_tls: bool
    statistics: Statistics


def render_status(kind: str, state: ManagerState, facts: QueueFacts) -> list[dict[str, Any]]:
    """Answer one status query; an unknown kind gets an error object."""
    match kind:
        case "queue_status":
            return [_render_queue(state, facts)]
        case "task_status":
            return [_render_task(record, facts) for record in _iter_tasks(state)]
        case "worker_status":
            return [_render_worker(worker, facts) for worker in state.workers.values() if worker.is_ready]
        case "wable_status":
            return _render_categories(state)
        case "resources_status":
            return [_render_resources(state)]
        case _:
            return [{"error": f"no such status: {kind}"}]


def _iter_tasks(state: ManagerState) -> Iterable[TaskRecord]:
    for worker in state.workers.values():
        yield from worker.tasks.values()
    left = MOST_TASKS
    for record in state.tasks.values():
        if record.state is TaskState.READY:
            yield record
            left -= 1
            if not left:
                return


def _render_queue(state: ManagerState, facts: QueueFacts) -> dict[str, Any]:
    statistics = facts.statistics
    return {
        "type": "wq_master",
        "software": "wq-package",
        "project": facts.project,
        "port": facts.port,
        "starttime": int(facts.started),
        "priority": 0,
        "version": "8.0.0",
        "protocol": 9,
        "owner": "",
        "working_dir": "",
        "manager_preferred_connection": "by_ip",
        "ssl": facts.is_tls,
        "network_interfaces": _render_interfaces(facts.host),
        **_render_worker_counts(state, statistics),
        **_render_task_counts(statistics),
        **_render_resources(state),
        "time_execute": int(statistics.seconds_executing * 1_000_000),
        "time_workers_execute": int(statistics.seconds_executing * 1_000_000),
        "bytes_sent": statistics.bytes_sent,
        "bytes_received": statistics.bytes_received,
        "categories": [_without_use(row) for row in _render_categories(state)[:-1]],
        **_render_wanted(state),
    }


def _render_interfaces(host: str) -> list[dict[str, str]]:
    """Name the address that is listened on; for all of them, the one that a catalog sees is right."""
    if host in ("", "0.0.0.0", "::"):
        return []
    family = "AF_INET6" if ":" in host else "AF_INET"
    # Workers of protocol 9 read `host`, later ones `address`.
    return [{"family": family, "host": host, "address": host, "interface": ""}]


def _render_worker_counts(state: ManagerState, statistics: Statistics) -> dict[str, Any]:
    connected, busy = statistics.workers_connected, statistics.workers_busy
    counts = {
        "workers": connected,
        "workers_connected": connected,
        "workers_init": len(state.workers) - connected,
        "workers_idle": connected - busy,
        "workers_busy": busy,
        "workers_able": connected,
        "workers_joined": statistics.workers_joined,
        "workers_removed": statistics.workers_lost,
        "workers_lost": statistics.workers_lost,
        "workers_released": 0,
        "workers_idled_out": 0,
        "workers_fast_aborted": statistics.workers_fast_aborted,
    }
    refused = sorted(state.refused_hosts)
    return {**counts, "workers_blocked": refused} if refused else counts


def _render_task_counts(statistics: Statistics) -> dict[str, Any]:
    return {
        "tasks_waiting": statistics.tasks_waiting,
        "tasks_running": statistics.tasks_running,
        "tasks_on_workers": statistics.tasks_running + statistics.tasks_fetching,
        "tasks_with_results": statistics.tasks_fetching,
        "tasks_left": statistics.tasks_left,
        "tasks_submitted": statistics.tasks_submitted,
        "tasks_dispatched": statistics.dispatches,
        "tasks_complete": statistics.tasks_done + statistics.tasks_failed,
        "tasks_done": statistics.tasks_done + statistics.tasks_failed,
        "tasks_failed": statistics.tasks_failed,
        "tasks_cancelled": statistics.tasks_cancelled,
        "tasks_exhausted_attempts": statistics.retries,
        "tasks_unservable": statistics.tasks_unservable,
    }


_KINDS = ("cores", "memory", "disk", "gpus")
_UNITS = (1000, 1, 1, 1)


def _render_resources(state: ManagerState) -> dict[str, Any]:
    workers = [worker for worker in state.workers.values() if worker.is_ready]
    amounts: dict[str, Any] = {
        "workers_total": len(workers),
        "workers_inuse": sum(bool(worker.tasks) for worker in workers),
        "workers_smallest": 1 if workers else 0,
        "workers_largest": 1 if workers else 0,
    }
    for position, (kind, unit) in enumerate(zip(_KINDS, _UNITS, strict=True)):
        totals = [worker.total[position] // unit for worker in workers]
        amounts[f"{kind}_total"] = sum(totals)
        amounts[f"{kind}_inuse"] = sum(_count_used(worker, position, unit) for worker in workers)
        amounts[f"{kind}_smallest"] = min(totals, default=0)
        amounts[f"{kind}_largest"] = max(totals, default=0)
    return amounts


def _count_used(worker: WorkerRecord, position: int, unit: int) -> int:
    return min(worker.used[position], worker.total[position]) // unit


def _render_wanted(state: ManagerState) -> dict[str, int]:
    """What all unfinished tasks declare together; what is not declared counts as one core and nothing else."""
    wanted = [0.0, 0.0, 0.0, 0.0]
    for lane in state.placement.iter_waiting():
        _add_wanted(wanted, lane.declared, lane.count)
    for worker in state.workers.values():
        for record in worker.tasks.values():
            _add_wanted(wanted, record.task.resources, 1)
    return {f"tasks_total_{kind}": int(amount) for kind, amount in zip(_KINDS, wanted, strict=True)}


def _add_wanted(wanted: list[float], declared: Resources, count: int) -> None:
    cores = declared.cores if declared.cores is not None else (0 if declared.gpus else 1)
    wanted[0] += count * cores
    wanted[1] += count * (declared.memory_mb or 0)
    wanted[2] += count * (declared.disk_mb or 0)
    wanted[3] += count * (declared.gpus or 0)


def _render_task(record: TaskRecord, facts: QueueFacts) -> dict[str, Any]:
    task = record.task
    declared = task.resources
    rendered: dict[str, Any] = {
        "taskid": record.task_id,
        "state": "running" if record.state is TaskState.RUNNING else record.state.value.upper(),
        "tag": task.tag,
        "category": task.category,
        "command": _describe_task(task),
        "priority": f"{task.priority:f}",
        "cores": _or_unset(declared.cores),
        "memory": _or_unset(declared.memory_mb),
        "disk": _or_unset(declared.disk_mb),
        "gpus": _or_unset(declared.gpus),
        "current_time": int(facts.now * 1_000_000),
    }
    if record.worker is not None:
        rendered["host"] = record.worker.hostname
        rendered["address_port"] = record.worker.address
    return rendered


def _or_unset(amount: float | None) -> float:
    return -1 if amount is None else amount


def _describe_task(task: Task) -> str:
    if task.command is not None:
        return task.command[:LONGEST_COMMAND]
    where = f" in environment {task.environment.digest[:12]}" if task.environment else ""
    return f"call {task.tag or task.category}{where}"


def _render_worker(worker: WorkerRecord, facts: QueueFacts) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        "hostname": worker.hostname,
        "os": worker.system,
        "arch": worker.machine,
        "version": worker.software,
        "address_port": worker.address,
        "worker_id": worker.worker_id,
        "is_wq_package": worker.is_dialect,
        "ncpus": worker.total[0] // 1000,
        "total_tasks_complete": worker.tasks_done,
        "total_tasks_running": len(worker.tasks),
        "total_bytes_transferred": 0,
        "total_transfer_time": 0,
        "start_time": int(worker.joined_epoch * 1_000_000),
        "current_time": int(facts.now * 1_000_000),
        "environments": sorted(
            f"{digest[:12]} {environment.told[worker.number].value}"
            for digest, environment in worker.environments.items()
            if worker.number in environment.told
        ),
        "workers_total": 1,
        "workers_inuse": int(bool(worker.tasks)),
    }
    for position, (kind, unit) in enumerate(zip(_KINDS, _UNITS, strict=True)):
        total = worker.total[position] // unit
        rendered[f"{kind}_total"] = rendered[f"{kind}_smallest"] = rendered[f"{kind}_largest"] = total
        rendered[f"{kind}_inuse"] = _count_used(worker, position, unit)
    for position, record in enumerate(list(worker.tasks.values())[:100]):
        rendered[f"current_task_{position:03d}_id"] = record.task_id
        rendered[f"current_task_{position:03d}_command"] = _describe_task(record.task)
    return rendered


def _render_categories(state: ManagerState) -> list[dict[str, Any]]:
    waiting = Counter[str]()
    on_workers = Counter[str]()
    running = Counter[str]()
    for lane in state.placement.iter_waiting():
        waiting[lane.category] += lane.count
    for worker in state.workers.values():
        for record in worker.tasks.values():
            on_workers[record.task.category] += 1
            running[record.task.category] += record.state is TaskState.RUNNING
    names = sorted({*waiting, *on_workers, *state.category_counts})
    able = sum(worker.is_ready for worker in state.workers.values())
    rows = []
    for name in names:
        counts = state.category_counts.get(name)
        done, failed, cancelled = (counts.done, counts.failed, counts.cancelled) if counts else (0, 0, 0)
        row = _render_category(
            name, waiting[name], running[name], on_workers[name], done, failed, cancelled, able
        )
        category = state.categories.records.get(name)
        if category is not None and (category.measured or category.labels is not None):
            row |= render_category_use(category)
        rows.append(row)
    rows.append(_sum_categories(rows, able))
    return rows


def _without_use(row: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the query of categories tells, and a list of queues does not need."""
    return {key: value for key, value in row.items() if key not in ("use", "steps")}


def _render_category(  # noqa: PLR0913 - one row of a table
    name: str, waiting: int, running: int, on_workers: int, done: int, failed: int, cancelled: int, able: int
) -> dict[str, Any]:
    return {
        "category": name,
        "tasks_waiting": waiting,
        "tasks_running": running,
        "tasks_on_workers": on_workers,
        "tasks_dispatched": on_workers + done + failed,
        "tasks_done": done + failed,
        "tasks_failed": failed,
        "tasks_cancelled": cancelled,
        "workers_able": able,
        "max_cores": "",
        "max_memory": "",
        "max_disk": "",
        "first_allocation_count": 0,
        "max_allocation_count": 0,
    }


def _sum_categories(rows: list[dict[str, Any]], able: int) -> dict[str, Any]:
    keys = [key for key in _render_category("", 0, 0, 0, 0, 0, 0, 0) if key.startswith("tasks_")]
    total = _render_category("whole queue", 0, 0, 0, 0, 0, 0, able)
    return {**total, **{key: sum(row[key] for row in rows) for key in keys}}

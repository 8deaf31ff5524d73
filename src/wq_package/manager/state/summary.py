"""What can be asked about the queue as a whole (logic module)."""

from __future__ import annotations

from wq_package.manager.state.ledger import Ledger
from wq_package.manager.state.records import Lane, TaskState
from wq_package.manager.state.statistics import Statistics


def summarise(ledger: Ledger, bytes_sent: int, bytes_received: int) -> Statistics:
    """Count everything."""
    counters = ledger.counters
    waiting = ledger.placement.count_waiting()
    fetching = sum(
        record.state is TaskState.FETCHING
        for worker in ledger.workers.values()
        for record in worker.tasks.values()
    )
    ready = [worker for worker in ledger.workers.values() if worker.is_ready]
    return Statistics(
        tasks_submitted=counters.submitted,
        tasks_waiting=waiting,
        tasks_running=len(ledger.tasks) - waiting - fetching,
        tasks_fetching=fetching,
        tasks_unservable=sum(
            lane.count for lane in ledger.placement.iter_waiting() if lane.unservable_since is not None
        ),
        tasks_done=counters.done,
        tasks_failed=counters.failed,
        tasks_cancelled=counters.cancelled,
        retries=counters.retries,
        dispatches=counters.dispatches,
        tasks_recalled=counters.recalled,
        workers_connected=len(ready),
        workers_busy=sum(bool(worker.tasks) for worker in ready),
        workers_joined=counters.joined,
        workers_lost=counters.lost,
        workers_refused=counters.refused,
        workers_fast_aborted=counters.fast_aborted,
        cores_total=sum(worker.total[0] for worker in ready) / 1000,
        cores_committed=sum(min(worker.used[0], worker.total[0]) for worker in ready) / 1000,
        bytes_sent=bytes_sent,
        bytes_received=bytes_received,
        seconds_executing=counters.seconds,
    )


def count_hungry(ledger: Ledger) -> int:
    """Count how many more tasks would be of use now: enough to fill every worker twice."""
    slots = sum(max(1, worker.total[0] // 1000) for worker in ledger.placement.workers.values())
    return max(0, 2 * max(slots, 1) - ledger.placement.count_waiting())


def check(ledger: Ledger) -> None:
    """Assert what must always hold; for tests."""
    for worker in ledger.workers.values():
        boxes = [record.box for record in worker.tasks.values() if record.state is TaskState.RUNNING]
        assert worker.used == [sum(amounts) for amounts in zip(*boxes, strict=True)] or not (
            boxes or any(worker.used)
        )
        assert all(record.worker is worker for record in worker.tasks.values())
    at_workers = sum(len(worker.tasks) for worker in ledger.workers.values())
    assert at_workers + ledger.placement.count_waiting() == len(ledger.tasks)
    for task_id, record in ledger.tasks.items():
        assert record.task_id == task_id
        assert record.state is not TaskState.DONE


def describe_unservable(lane: Lane) -> str:
    """Say why nobody can run the tasks of a lane."""
    wanted = lane.declared
    amounts = (
        (wanted.cores, "cores"),
        (wanted.memory_mb, "MB of memory"),
        (wanted.disk_mb, "MB of disk"),
        (wanted.gpus, "gpus"),
        (lane.running_time_min, "seconds of running time"),
    )
    text = ", ".join(f"{amount:g} {what}" for amount, what in amounts if amount)
    tasks, need = ("task", "needs") if lane.count == 1 else ("tasks", "need")
    return f"{lane.count} {tasks} of category `{lane.category}` {need} {text}, and no connected worker has that much"

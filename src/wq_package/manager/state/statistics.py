"""How the queue is doing, as numbers (value module)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statistics:
    """A snapshot of the queue.

    Attributes:
        tasks_waiting: ready, not at a worker.
        tasks_running: at a worker.
        tasks_fetching: ended, with outputs on their way.
        tasks_unservable: waiting, and no connected worker is large enough for them.
        retries: how often a task went back to the queue after losing its worker.
        tasks_recalled: how often one did because it waited at a worker behind a long one.
        workers_fast_aborted: how many were dropped because they were slow.
    """

    tasks_submitted: int = 0
    tasks_waiting: int = 0
    tasks_running: int = 0
    tasks_fetching: int = 0
    tasks_unservable: int = 0
    tasks_done: int = 0
    tasks_failed: int = 0
    tasks_cancelled: int = 0
    retries: int = 0
    dispatches: int = 0
    tasks_recalled: int = 0
    workers_connected: int = 0
    workers_busy: int = 0
    workers_joined: int = 0
    workers_lost: int = 0
    workers_refused: int = 0
    workers_fast_aborted: int = 0
    cores_total: float = 0.0
    cores_committed: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds_executing: float = 0.0

    @property
    def tasks_left(self) -> int:
        """How many tasks have no result yet."""
        return self.tasks_waiting + self.tasks_running + self.tasks_fetching


@dataclass(slots=True)
class Counters:
    """What the state machine counts while it runs."""

    submitted: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    retries: int = 0
    dispatches: int = 0
    joined: int = 0
    lost: int = 0
    refused: int = 0
    fast_aborted: int = 0
    recalled: int = 0
    ran: int = 0
    seconds: float = 0.0

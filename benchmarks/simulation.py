"""Runs a load on simulated workers: the manager's own state machine, a clock that jumps, and no sleeping.

Every decision is made by `wq_package.manager.state.ManagerState`, the same code that runs real tasks: labels, boxes, the queue
and retries. What is simulated is what the workers answer. A task that needs more memory or disk than its box is ended at
`peak` of its time, if limits are enforced; one that has too few cores takes longer.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass

from loads import Load, Need, find_most

from wq_package.manager.state import ManagerState, StateOptions
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.protocol import messages as m
from wq_package.resources import CategoryOptions, LabelMode
from wq_package.task import Call, Function, Resources, ResultCode, Task

__all__ = ["STRATEGIES", "Outcome", "Pool", "simulate"]

AT_ONCE = 10_000
"""How many tasks are submitted at once, when no more than so many are left beside those that may be running."""
ORACLE_GRAIN = 1.02
"""The oracle knows each task's memory to 2 %, so that it can queue like tasks together."""
_FUNCTION = Function("f" * 64, b"")
_CALL = Call(_FUNCTION, b"")


@dataclass(frozen=True, slots=True)
class Pool:
    """The workers, all alike."""

    workers: int
    cores: int
    memory_mb: int
    disk_mb: int


@dataclass(slots=True)
class Outcome:
    """What came of a run. Amounts are MB of memory times seconds."""

    seconds: float = 0.0
    retries: int = 0
    failed: int = 0
    used: float = 0.0
    given: float = 0.0
    last_label: Resources | None = None

    @property
    def efficiency(self) -> float:
        """Which part of the memory that was given was needed."""
        return self.used / self.given if self.given else 0.0


STRATEGIES: dict[str, LabelMode | None] = {
    # Without labels: each task's own needs, the largest needs of all, a user's guess, or nothing is declared.
    "oracle": None,
    "adaptive": LabelMode.ADAPTIVE,
    "max-throughput": LabelMode.MAX_THROUGHPUT,
    "min-waste": LabelMode.MIN_WASTE,
    "max": LabelMode.MAX,
    "maximum": None,
    "guess": None,
    "unmanaged": None,
}


def simulate(
    load: Load, pool: Pool, strategy: str, *, peak: float = 1.0, window: int | None = None
) -> Outcome:
    """Run a load with one strategy."""
    return _Simulation(load, pool, strategy, peak, window).run()


class _Simulation:
    def __init__(self, load: Load, pool: Pool, strategy: str, peak: float, window: int | None) -> None:
        self._needs = load.needs
        self._guesses = load.guesses
        self._strategy = strategy
        self._peak = peak
        options = CategoryOptions(STRATEGIES[strategy] or LabelMode.FIXED, window=window)
        self._state = ManagerState(StateOptions(default_category=options, look_ahead=0))
        self._pool = pool
        self._pending: list[tuple[float, int, e.Received]] = []
        self._serial = 0
        self._submitted = 0
        self._tasks: dict[tuple[str, Resources], Task] = {}
        self._most = find_most(load.needs)
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Run to the end."""
        state, pending = self._state, self._pending
        least = AT_ONCE + self._pool.workers * self._pool.cores
        self._carry_out(0.0, state.handle(*self._greet()))
        self._refill(0.0, least)
        now = 0.0
        while pending:
            now, _, event = heapq.heappop(pending)
            self._carry_out(now, state.handle(e.Tick(now, now), event))
            if len(state.tasks) < least and self._submitted < len(self._needs):
                self._refill(now)
        assert not state.tasks, f"{len(state.tasks)} tasks never ended"
        self._outcome.seconds = now
        category = state.categories.records.get(self._needs[-1].category)
        self._outcome.last_label = category.label if category else None
        return self._outcome

    def _greet(self) -> Iterator[e.Event]:
        pool = self._pool
        for number in range(1, self._pool.workers + 1):
            yield e.WorkerConnected(number, "")
            said = [
                m.Workqueue(9, f"host{number}", "Linux", "x86_64", "8.0.0"),
                m.Info("worker-id", f"worker-{number}"),
                m.Feature(m.DIALECT_FEATURE),
            ]
            amounts = {
                "workers": 1,
                "disk": pool.disk_mb,
                "memory": pool.memory_mb,
                "gpus": 0,
                "cores": pool.cores,
            }
            said += [
                m.Resource(kind, amount, amount, amount) for kind, amount in (*amounts.items(), ("tag", 0))
            ]
            said += [m.Info("end_of_resource_update", "0"), m.Info("worker-end-time", "0")]
            yield from (e.Received(number, word) for word in said)

    def _refill(self, now: float, count: int = 0) -> None:
        until = min(len(self._needs), self._submitted + AT_ONCE + count)
        events = [
            e.Submitted(task_id + 1, self._make_task(self._needs[task_id]))
            for task_id in range(self._submitted, until)
        ]
        self._submitted = until
        self._carry_out(now, self._state.handle(e.Tick(now, now), *events))

    def _make_task(self, need: Need) -> Task:
        declared = Resources()
        if self._strategy == "guess":
            guess, pool = self._guesses[need.category], self._pool
            declared = Resources(
                guess.cores, min(guess.memory_mb, pool.memory_mb), min(guess.disk_mb, pool.disk_mb)
            )
        elif self._strategy == "maximum":
            most = self._most[need.category]
            declared = Resources(most.cores, most.memory_mb, most.disk_mb)
        elif self._strategy == "oracle":
            declared = Resources(
                need.cores,
                _round_up(need.memory_mb, self._pool.memory_mb),
                _round_up(need.disk_mb, self._pool.disk_mb, 20),
            )
        key = (need.category, declared)
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = Task(call=_CALL, resources=declared, category=need.category)
        return task

    def _carry_out(self, now: float, actions: list[a.Action]) -> None:
        for action in actions:
            if isinstance(action, a.Dispatch):
                self._start(now, action)
            elif isinstance(action, a.Finish) and action.result.code is not ResultCode.SUCCESS:
                self._outcome.failed += 1

    def _start(self, now: float, action: a.Dispatch) -> None:
        message = action.message
        need = self._needs[message.task_id - 1]
        cores, memory, disk = message.cores or 1.0, message.memory_mb or 0, message.disk_mb or 0
        seconds = need.seconds * max(1.0, need.cores / cores)
        is_exhausted = message.is_enforced and (need.memory_mb > memory or need.disk_mb > disk)
        if is_exhausted:
            seconds *= self._peak
            self._outcome.retries += 1
        else:
            self._outcome.used += need.memory_mb * seconds
        self._outcome.given += memory * seconds
        self._serial += 1
        used = Need(seconds, min(need.cores, max(1, round(cores))), need.memory_mb, need.disk_mb)
        answer = _answer(message.task_id, used, (memory, disk), is_exhausted=is_exhausted)
        heapq.heappush(self._pending, (now + seconds, self._serial, e.Received(action.worker, answer)))


def _answer(task_id: int, used: Need, box: tuple[int, int], *, is_exhausted: bool) -> m.CallResult:
    code, memory, disk = ResultCode.SUCCESS, used.memory_mb, used.disk_mb
    if is_exhausted:  # ended as soon as it was seen to hold more than it may
        code, memory, disk = ResultCode.RESOURCE_EXHAUSTION, min(memory, box[0] + 1), min(disk, box[1] + 1)
    usec = int(used.seconds * 1_000_000)
    return m.CallResult(task_id, code.value, 0, 0, 0, usec, 0, int(used.cores * usec * 0.98), memory, disk)


def _round_up(amount: int, total: int, steps: int = 0) -> int:
    if steps:
        grain = max(1, total // steps)
        return min(total, -(-amount // grain) * grain)
    powers = math.ceil(math.log(max(amount, 16) / 16, ORACLE_GRAIN) - 1e-9)
    return min(total, math.ceil(16 * ORACLE_GRAIN**powers))

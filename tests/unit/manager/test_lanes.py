"""Lanes and deadlines that are forgotten: nothing that waits is lost with them, and what is over takes no memory."""

from __future__ import annotations

import dataclasses

import pytest

from manager_peers import connect, find_dispatched, make_call
from wq_package.manager.state import ManagerState, StateOptions
from wq_package.manager.state import events as e
from wq_package.task import Resources, Task

TASK = Task(command="true", resources=Resources(1, 1, 1), max_retries=None)


def test_lanes__forgotten_while_its_task_ran__the_task_that_comes_back_hides_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wq_package.manager.state.placement.LANES_KEPT", 1)
    state = ManagerState(StateOptions())
    connect(state, 1, cores=1)
    assert find_dispatched(state.handle(e.Submitted(1, TASK))) == [1]
    state.handle(e.Submitted(2, dataclasses.replace(TASK, category="other")))  # forgets the first one's lane
    state.handle(e.Submitted(3, TASK))
    state.handle(e.WorkerGone(1, "killed"))
    state.check()
    assert find_dispatched(connect(state, 2, cores=3)) == [1, 2, 3]


def test_lanes__as_many_as_tasks__are_not_searched_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wq_package.manager.state.placement.LANES_KEPT", 4)
    state = ManagerState(StateOptions())
    placement, searches = state.placement, 0
    forget = placement._forget_idle_lanes

    def count() -> None:
        nonlocal searches
        searches += 1
        forget()

    monkeypatch.setattr(placement, "_forget_idle_lanes", count)
    for number in range(1, 1001):
        state.handle(e.Submitted(number, dataclasses.replace(TASK, category=f"category{number}")))
    assert searches < 20
    state.handle(*(e.Cancelled(number) for number in range(1, 1001)))
    state.handle(e.Submitted(1001, make_call()))
    for number in range(1002, 3002):
        state.handle(e.Submitted(number, dataclasses.replace(TASK, category=f"other{number}")))
        state.handle(e.Cancelled(number))
    assert len(placement.lanes) < 2000


def test_priorities__all_different__a_cancelled_task_does_not_make_all_of_them_be_counted() -> None:
    state = ManagerState(StateOptions())
    count = 5000
    state.handle(*(e.Submitted(n, dataclasses.replace(TASK, priority=float(n))) for n in range(1, count + 1)))
    (lane,) = state.placement.iter_waiting()
    queues = CountingDict(lane.queues)
    lane.queues = queues  # type: ignore[assignment]  # its values are not looked into here
    state.handle(*(e.Cancelled(number) for number in range(1, count)))
    state.check()
    assert queues.visits < 20 * count
    assert find_dispatched(connect(state, 1)) == [count]


class CountingDict(dict[float, object]):
    """Counts how often one of its values is looked at."""

    visits = 0

    def values(self):  # type: ignore[no-untyped-def]  # that of a dict
        self.visits += len(self)
        return super().values()


def test_deadlines__tasks_that_ended_long_before__are_forgotten() -> None:
    state = ManagerState(StateOptions())
    connect(state, 1, cores=1)
    task = dataclasses.replace(TASK, wall_time=86_400.0, end_time=1e9)
    for number in range(1, 3001):
        state.handle(e.Submitted(number, task), e.Cancelled(number))
    state.handle(e.Submitted(3001, task))
    state.sweep()
    ledger = state._ledger
    assert len(ledger.walls) + len(ledger.ends) < 2000
    assert 3001 in state.tasks

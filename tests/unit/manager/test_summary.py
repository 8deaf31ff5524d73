from __future__ import annotations

from manager_peers import answer_call, connect, find_dispatched, make_call
from wq_package.manager.state import ManagerState
from wq_package.manager.state import events as e


def test_summarise__tasks_wait_at_a_worker__no_more_cores_are_committed_than_it_has() -> None:
    state = ManagerState()
    connect(state, 1, cores=1)
    state.handle(*(e.Submitted(task_id, make_call()) for task_id in range(1, 11)))
    assert len(find_dispatched(state.handle(answer_call(1, 1, usec=100)))) == 9
    state.handle(e.WorkerConnected(2, "it has not said anything"))
    connect(state, 3, cores=2, memory=1)
    statistics = state.summarise()
    assert (statistics.cores_total, statistics.cores_committed) == (3.0, 1.0)
    assert (statistics.workers_connected, statistics.workers_busy) == (2, 1)


def test_summarise__workers_and_time__count_those_that_had_greeted() -> None:
    state = ManagerState()
    connect(state, 1, cores=1)
    connect(state, 2, cores=1)
    state.handle(e.WorkerConnected(3, "it says nothing"), e.Submitted(1, make_call()))
    state.handle(answer_call(1, 1, usec=2_500_000))
    state.handle(e.WorkerGone(2, "killed"), e.WorkerGone(3, "closed"))
    statistics = state.summarise()
    assert (statistics.workers_joined, statistics.workers_lost) == (2, 1)
    assert statistics.seconds_executing == 2.5

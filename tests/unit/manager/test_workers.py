from __future__ import annotations

import pytest

from manager_peers import SMALL, answer_command, connect, find_dispatched, make_call
from wq_package.manager.state import ManagerState, StateOptions
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.manager.state.greeting import MOST_NAMES
from wq_package.manager.state.workers import MOST_NUDGES
from wq_package.protocol import messages as m
from wq_package.task import Environment, InputFile, Task

ENVIRONMENT = Environment("1" * 64, "env.tar.gz")
STAGED = e.StagedInput("", "own.txt", content=b"y", cache=False)
WITH_INPUT = Task(command="cat", resources=SMALL, inputs=(InputFile("own.txt", content=b"y", cache=False),))


def make_state() -> ManagerState:
    state = ManagerState(StateOptions(keepalive_interval=10.0, keepalive_timeout=3.0))
    state.handle(e.Tick(0, 0))
    return state


def be_silent(state: ManagerState, first: int, last: int) -> list[a.Action]:
    """Let seconds pass in which no worker says anything."""
    actions: list[a.Action] = []
    for second in range(first, last):
        state.handle(e.Tick(second, second))
        actions += state.sweep()
    return actions


def test_keepalive__layers_are_on_their_way__silence_counts_from_their_end_on() -> None:
    state = make_state()
    connect(state, 1)
    state.handle(e.Submitted(1, make_call(environment=ENVIRONMENT)))
    wanted = e.Received(1, m.LayersWanted(ENVIRONMENT.digest, ("aa",)))
    assert state.handle(wanted) == [a.SendLayers(1, ENVIRONMENT, ("aa",))]
    assert be_silent(state, 1, 60) == []
    state.handle(e.TransferEnded(1))
    assert be_silent(state, 60, 70) == []
    assert be_silent(state, 70, 72) == [a.Send(1, m.Check())]


def test_keepalive__dispatch_failed__only_its_own_transfer_is_over() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    for task_id in (1, 2):
        state.handle(e.Submitted(task_id, WITH_INPUT, (STAGED,)))
    state.handle(e.DispatchFailed(1, 1, "once-1-0-0", "gone", was_large=True))
    assert be_silent(state, 1, 60) == []
    state.handle(e.DispatchSent(1, 2))
    assert be_silent(state, 60, 72) == [a.Send(1, m.Check())]


def test_keepalive__dispatch_failed_that_was_no_transfer__ends_none() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    state.handle(e.Submitted(1, WITH_INPUT, (STAGED,)))
    state.handle(e.DispatchFailed(1, 99, "once-99-0-0", "gone", was_large=False))
    assert be_silent(state, 1, 60) == []


def test_resources__told_again_as_they_were__do_not_bring_back_what_was_refused() -> None:
    state = make_state()
    connect(state, 1)
    state.handle(e.Submitted(1, Task(command="true", resources=SMALL)))
    assert find_dispatched(state.handle(answer_command(1, 1, status=40))) == []
    again = [e.Received(1, m.Resource("disk", 1000, 1000, 1000))]
    end = e.Received(1, m.Info("end_of_resource_update", "0"))
    assert find_dispatched(state.handle(*again, end)) == []
    more = [e.Received(1, m.Resource("disk", 2000, 2000, 2000))]
    assert find_dispatched(state.handle(*more, end)) == [1]


def test_name__asked_without_end__drops_the_worker() -> None:
    state = make_state()
    state.handle(e.WorkerConnected(1, "x"))
    actions = state.handle(*(e.Received(1, m.Name()) for _ in range(MOST_NAMES + 5)))
    assert len([action for action in actions if isinstance(action, a.Send)]) == MOST_NAMES
    assert len([action for action in actions if isinstance(action, a.Drop)]) == 1


@pytest.mark.parametrize(("dialect", "count"), [(False, MOST_NUDGES), (True, 0)])
def test_worker_without_results__of_work_queue__is_woken_ever_more_seldom(dialect: bool, count: int) -> None:
    state = ManagerState()
    connect(state, 1, dialect=dialect)
    state.handle(e.Tick(100.0, 0.0))
    state.nudge()
    state.handle(e.Submitted(1, Task(command="true", resources=SMALL)))
    state.handle(answer_command(1, 1), e.Submitted(2, Task(command="true", resources=SMALL)))
    woken = []
    for step in range(1, 100):
        state.handle(e.Tick(100.0 + step / 4, 0.0))
        woken += [step / 4] * len(find_sent(state.nudge(), m.Check))
    assert woken == [0.25, 0.5, 1.0, 2.0, 4.0][:count]
    state.handle(answer_command(1, 2), e.Submitted(3, Task(command="true", resources=SMALL)))
    state.handle(e.Tick(124.99, 0.0))
    assert not state.nudge()
    state.handle(e.Tick(125.0, 0.0))
    assert len(find_sent(state.nudge(), m.Check)) == bool(count)


def test_worker_without_tasks__of_work_queue__is_left_in_peace() -> None:
    state = ManagerState()
    connect(state, 1, dialect=False)
    state.handle(e.Tick(100.0, 0.0))
    assert not state.nudge()


def find_sent(actions: list[a.Action], kind: type) -> list[object]:
    return [action for action in actions if isinstance(action, a.Send) and isinstance(action.message, kind)]

from __future__ import annotations

import dataclasses

from manager_peers import SMALL, answer_command, connect, find_dispatched
from wq_package.manager.state import ManagerState, StateOptions
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.manager.state.placement import LANES_TRIED, MANY_WORKERS
from wq_package.task import Resources, Task

COMMAND = Task(command="true", resources=SMALL)


def test_place__many_kinds_that_fit_nowhere__the_one_behind_them_has_its_turn_at_the_next_sweep() -> None:
    state = ManagerState()
    connect(state, 1)
    large = [
        dataclasses.replace(COMMAND, resources=Resources(64 + number, 10, 10))
        for number in range(LANES_TRIED)
    ]
    events = [e.Submitted(number, task) for number, task in enumerate([*large, COMMAND], 1)]
    assert find_dispatched(state.handle(*events)) == []
    assert find_dispatched(state.sweep()) == [LANES_TRIED + 1]


def test_place__everything_is_placed__nothing_is_left_to_look_at() -> None:
    state = ManagerState()
    connect(state, 1)
    state.handle(*(e.Submitted(n, dataclasses.replace(COMMAND, category=str(n))) for n in (1, 2)))
    assert list(state.placement._waiting) == []


def test_avoided__the_worker_is_the_only_one_left__the_task_goes_back_there_at_once() -> None:
    state = ManagerState(StateOptions(fast_abort_categories={"default": 3.0}))
    connect(state, 1, cores=1)
    for task_id in range(1, 11):
        state.handle(e.Submitted(task_id, COMMAND))
        state.handle(answer_command(1, task_id))
    state.handle(e.Submitted(11, COMMAND))
    connect(state, 2, cores=1)
    actions: list[a.Action] = []
    for second in (100, 104):
        state.handle(e.Tick(second, second))
        actions = state.sweep()
    assert find_dispatched(actions, 2) == [11]
    assert find_dispatched(state.handle(e.WorkerGone(2, "gone")), 1) == [11]


def test_unservable__one_that_fits_came_and_went__is_said_when_nobody_had_room_for_so_long() -> None:
    state = ManagerState()
    large = dataclasses.replace(COMMAND, resources=Resources(64, 10, 10))
    connect(state, 1)
    state.handle(e.Tick(0, 0), e.Submitted(1, dataclasses.replace(large, priority=1.0)))
    state.handle(e.Submitted(2, dataclasses.replace(large, category="large")))
    said: dict[int, list[str]] = {}
    for second in range(30):
        state.handle(e.Tick(second, second))
        if second == 5:
            assert find_dispatched(connect(state, 2, cores=64)) == [1]
        if second == 8:
            state.handle(e.WorkerGone(2, "gone"))
        texts = [action.text for action in state.sweep() if isinstance(action, a.Warn)]
        said |= {second: texts} if texts else {}
    assert [second for second, texts in said.items() if "`large`" in "".join(texts)] == [18]


def test_place__several_kinds__in_the_order_in_which_they_came() -> None:
    state = ManagerState()
    count = 40
    kinds = [dataclasses.replace(COMMAND, category=str(number)) for number in (3, 0, 4, 1, 2)]
    state.handle(*(e.Submitted(number, kinds[number % 5]) for number in range(1, count)))
    assert find_dispatched(connect(state, 1, cores=count)) == list(range(1, count))


def test_place__many_workers_and_one_has_ended__a_task_of_a_new_kind_finds_it() -> None:
    state = ManagerState()
    for number in range(1, MANY_WORKERS + 2):
        connect(state, number, cores=1)
        state.handle(e.Submitted(number, COMMAND))
    assert find_dispatched(state.handle(answer_command(7, 7))) == []
    other = dataclasses.replace(COMMAND, category="other")
    assert find_dispatched(state.handle(e.Submitted(1000, other)), 7) == [1000]

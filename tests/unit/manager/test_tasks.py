from __future__ import annotations

from manager_peers import FUNCTION, SMALL, answer_command, connect, find_dispatched, find_results
from wq_package.manager.state import ManagerState, StateOptions
from wq_package.manager.state import events as e
from wq_package.resources import CategoryOptions, LabelMode
from wq_package.task import Call, Environment, OutputFile, ResultCode, Task

ENVIRONMENT = Environment("1" * 64, "env.tar.gz")


def test_wall_time__outputs_are_on_their_way__the_task_ends_as_it_did() -> None:
    state = ManagerState()
    connect(state, 1)
    task = Task(command="true", resources=SMALL, wall_time=2.0, outputs=(OutputFile("a", "/tmp/a"),))
    state.handle(e.Tick(0, 0), e.Submitted(1, task))
    state.handle(e.Tick(1, 1), answer_command(1, 1))
    assert state.handle(e.Tick(60, 60)) == []
    assert find_results(state.handle(e.OutputFetched(1, 1, "a")))[1].is_success


def test_archive_cannot_be_read__command_in_that_environment__is_tried_by_itself() -> None:
    state = ManagerState()
    connect(state, 1, cores=1)
    call = Task(call=Call(FUNCTION, b""), resources=SMALL, environment=ENVIRONMENT)
    command = Task(command="true", resources=SMALL, environment=ENVIRONMENT)
    state.handle(e.Submitted(1, Task(command="true", resources=SMALL)))
    state.handle(e.Submitted(2, call), e.Submitted(3, command))
    failed = find_results(state.handle(e.OfferFailed(1, ENVIRONMENT.digest, "it is damaged")))
    assert {task_id: result.code for task_id, result in failed.items()} == {2: ResultCode.ENVIRONMENT_FAILED}
    assert find_dispatched(state.handle(answer_command(1, 1))) == [3]


def test_dispatch__of_a_labelled_category__numbers_the_first_tries() -> None:
    state = ManagerState(StateOptions(default_category=CategoryOptions(LabelMode.ADAPTIVE)))
    for number in (1, 2, 3):
        connect(state, number)
    state.handle(*(e.Submitted(task_id, Task(call=Call(FUNCTION, b""))) for task_id in (1, 2, 3)))
    assert [state.tasks[task_id].serial for task_id in (1, 2, 3)] == [1, 2, 3]

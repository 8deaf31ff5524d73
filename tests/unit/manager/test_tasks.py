from __future__ import annotations

import dataclasses

import pytest

from manager_peers import FUNCTION, SMALL, answer_command, connect, find_dispatched, find_results
from wq_package.manager.state import ManagerState, StateOptions
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.protocol import messages as m
from wq_package.resources import CategoryOptions, LabelMode
from wq_package.task import Call, Environment, InputFile, OutputFile, ResultCode, Task

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


def test_cancel__running_with_files__leaves_nothing_at_the_worker() -> None:
    state = ManagerState()
    connect(state, 1)
    staged = e.StagedInput("", "own.txt", content=b"y", cache=False)
    task = Task(
        command="cat",
        resources=SMALL,
        inputs=(InputFile("own.txt", content=b"y", cache=False),),
        outputs=(OutputFile("a", "/tmp/a"),),
    )
    state.handle(e.Submitted(1, task, (staged,)))
    actions = state.handle(e.Cancelled(1))
    sent = [action.message for action in actions if isinstance(action, a.Send)]
    assert sent == [m.Kill(1), m.Unlink("once-1-0-0"), m.Unlink("out-1-0-0")]


@pytest.mark.parametrize(
    ("environment", "name", "code"),
    [
        (ENVIRONMENT, "env-1.tar.gz", ResultCode.ENVIRONMENT_FAILED),
        (ENVIRONMENT, "file-1-644", ResultCode.INPUT_MISSING),
        (None, "env-of-my-own", ResultCode.INPUT_MISSING),
    ],
)
def test_dispatch_failed__archive_or_input__is_told_apart(
    environment: Environment | None, name: str, code: ResultCode
) -> None:
    state = ManagerState()
    connect(state, 1)
    state.handle(e.Submitted(1, Task(command="true", resources=SMALL, environment=environment)))
    failed = state.handle(e.DispatchFailed(1, 1, name, "gone", code=ResultCode.INPUT_MISSING))
    assert find_results(failed)[1].code is code


def test_environment__its_archive_lies_elsewhere_by_now__is_offered_from_there() -> None:
    state = ManagerState()
    call = Task(call=Call(FUNCTION, b""), resources=SMALL, environment=ENVIRONMENT)
    moved = Environment(ENVIRONMENT.digest, "moved.tar.gz")
    state.handle(e.Submitted(1, call), e.Submitted(2, dataclasses.replace(call, environment=moved)))
    offers = [each for each in connect(state, 1) if isinstance(each, a.OfferEnvironment)]
    assert offers == [a.OfferEnvironment(1, moved)]


def test_environment__last_worker_that_might_use_it_is_lost__its_calls_fail() -> None:
    state = ManagerState()
    connect(state, 1)
    connect(state, 2)
    state.handle(e.Submitted(1, Task(call=Call(FUNCTION, b""), resources=SMALL, environment=ENVIRONMENT)))
    failed = e.Received(1, m.EnvironmentFailed(ENVIRONMENT.digest, "glibc is too old"))
    assert not find_results(state.handle(failed))
    results = find_results(state.handle(e.WorkerGone(2, "killed")))
    assert results[1].code is ResultCode.ENVIRONMENT_FAILED


def test_call_with_outputs__second_one__does_not_bring_its_function_again() -> None:
    state = ManagerState()
    connect(state, 1)
    call = Task(call=Call(FUNCTION, b""), resources=SMALL, outputs=(OutputFile("a", "/tmp/a"),))
    first, second = state.handle(e.Submitted(1, call), e.Submitted(2, call))
    assert isinstance(first, a.Dispatch)
    assert isinstance(second, a.Dispatch)
    assert (first.function, second.function) == (FUNCTION, None)

"""What each desk of the worker's state machine must not do, seen at the machine."""

from __future__ import annotations

import itertools
from typing import Any, TypeVar

import pytest

from wq_package.protocol import messages as m
from wq_package.task import ResultCode
from wq_package.worker.actions import (
    Action,
    Box,
    DropCall,
    KillRun,
    SendResults,
    StagedFile,
    StartCall,
    StartRun,
)
from wq_package.worker.events import (
    CallArrived,
    CallEnded,
    CallReturned,
    EntryStored,
    FunctionStored,
    RunEnded,
)
from wq_package.worker.state import WorkerState
from wq_package.worker.state.records import AHEAD_BELOW_USEC

T = TypeVar("T")
NOW = 1000.0


def make_state(*, dialect: bool = True, cores: float = 4) -> WorkerState:
    state = WorkerState(Box(cores, 1000, 1000, 1), itertools.count(1))
    if dialect:
        state.handle(m.Hello(1, "s"), NOW)
    state.handle(FunctionStored("f"), NOW)
    state.handle(EntryStored("in", 7), NOW)
    return state


def make_task(number: int, **fields: Any) -> m.TaskDescription:
    fields = {"command": "true", "cores": 1.0, "memory_mb": 1, "disk_mb": 1, "gpus": 0, **fields}
    return m.TaskDescription(number, **fields)


def arrive(number: int, *, path: str = "", **fields: Any) -> CallArrived:
    fields = {"environment": "", "function": "f", "size": 1, "cores": 1.0, **fields}
    return CallArrived(m.CallTask(number, **fields), b"", path)


def find(actions: list[Action], kind: type[T]) -> list[T]:
    return [action for action in actions if isinstance(action, kind)]


def run_calls(state: WorkerState, count: int, **how: Any) -> None:
    """Let calls run one after the other, that all end in the same way."""
    for number in range(1000, 1000 + count):
        serial = find(state.handle(arrive(number), NOW), StartCall)[0].serial
        state.handle(CallEnded(serial, **how), NOW)


# -- arrivals ----------------------------------------------------------------------------------------------------------


def test_call__has_an_input__is_given_it() -> None:
    state = make_state()

    actions = state.handle(arrive(1, inputs=(m.TaskFile("in", "in.txt", m.FileFlags.CACHE),)), NOW)

    assert find(actions, StartCall)[0].inputs == (StagedFile(7, "in.txt", is_private=False),)


@pytest.mark.parametrize(
    ("fields", "box"),
    [({"memory_mb": 100}, Box(0, 100, 0, 0)), ({"disk_mb": 100}, Box(0, 0, 100, 0))],
)
def test_task__declares_one_thing_only__does_not_hold_the_whole_worker(
    fields: dict[str, int], box: Box
) -> None:
    nothing = dict.fromkeys(("cores", "memory_mb", "disk_mb", "gpus"))

    assert find(make_state().handle(make_task(1, **nothing | fields), NOW), StartRun)[0].box == box


# -- ends --------------------------------------------------------------------------------------------------------------


def test_run_ended__of_nothing_that_is_known__changes_nothing() -> None:
    state = make_state()
    state.handle(make_task(1), NOW)

    assert state.handle(RunEnded(99), NOW) == []
    assert state.handle(CallEnded(99), NOW) == []
    assert (state.running, state.list_runs(), state.list_calls()) == (1, [1], [])


def test_result__not_asked_for_yet__the_worker_is_not_idle() -> None:
    state = make_state(dialect=False)
    state.handle(make_task(1), NOW)
    state.handle(RunEnded(1), NOW)
    state.handle(m.Kill(2), NOW)

    assert not state.is_idle
    state.handle(m.SendResults(-1), NOW)
    assert state.is_idle


def test_results__asked_for_when_the_number_is_given_again__the_new_task_is_still_known() -> None:
    state = make_state(dialect=False)
    state.handle(make_task(1), NOW)
    state.handle(RunEnded(1), NOW)
    state.handle(make_task(1), NOW)
    state.handle(m.SendResults(-1), NOW)

    assert state.handle(m.Kill(1), NOW) == [KillRun(2)]


# -- kills -------------------------------------------------------------------------------------------------------------


def test_kill__one_of_those_that_have_ended__the_others_are_told() -> None:
    state = make_state(dialect=False)
    for number in (1, 2, 3):
        state.handle(make_task(number), NOW)
        state.handle(RunEnded(number, output=f"output {number}" if number < 3 else ""), NOW)

    assert state.handle(m.Kill(1), NOW) == [DropCall("output 1")]
    assert state.handle(m.Kill(3), NOW) == []
    (told,) = find(state.handle(m.SendResults(-1), NOW), SendResults)
    assert [each.result.task_id for each in told.ended] == [2]


def test_recall__call_was_given_back_by_its_interpreter__its_arguments_are_dropped() -> None:
    state = make_state(cores=1)
    run_calls(state, 50, usec=100)
    state.handle(arrive(1), NOW)
    (ahead,) = find(state.handle(arrive(2, path="arguments"), NOW), StartCall)
    state.handle(m.Recall((2,)), NOW)

    assert DropCall("arguments") in state.handle(CallReturned(ahead.serial), NOW)


def test_recall__command_or_call_with_inputs__is_not_asked_of_an_interpreter() -> None:
    state = make_state()
    state.handle(make_task(1), NOW)
    state.handle(arrive(2, inputs=(m.TaskFile("in", "in.txt"),)), NOW)

    assert state.handle(m.Recall((1, 2)), NOW) == []


# -- schedule ----------------------------------------------------------------------------------------------------------


def is_sent_ahead(state: WorkerState, **fields: Any) -> bool:
    """Whether a second call waits at the interpreter, behind one that fills the worker."""
    state.handle(arrive(1), NOW)
    return bool(find(state.handle(arrive(2, **fields), NOW), StartCall))


@pytest.mark.parametrize(
    ("fields", "is_ahead"),
    [
        ({}, True),
        ({"wall_time": 5.0}, False),
        ({"end_time": NOW + 5}, False),
        ({"inputs": (m.TaskFile("in", "in.txt"),)}, False),
        ({"outputs": (m.TaskFile("out", "out.txt"),)}, False),
    ],
)
def test_ahead__call_that_is_more_than_a_function__waits_here(fields: dict[str, Any], is_ahead: bool) -> None:
    state = make_state(cores=1)
    run_calls(state, 50, usec=100)

    assert is_sent_ahead(state, **fields) is is_ahead


def test_ahead__calls_that_failed_at_once__do_not_make_the_others_short() -> None:
    state = make_state(cores=1)
    run_calls(state, 50, usec=AHEAD_BELOW_USEC * 2)
    run_calls(state, 50, usec=1, code=ResultCode.INTERPRETER_LOST)

    assert not is_sent_ahead(state)


def test_ahead__something_older_waits_for_room__is_not_overtaken() -> None:
    state = make_state(cores=2.5)
    run_calls(state, 50, usec=100)
    for number in (1, 2):
        assert find(state.handle(arrive(number), NOW), StartCall)
    state.handle(make_task(3, cores=2.0), NOW)

    assert find(state.handle(arrive(4), NOW), StartCall) == []
    state.handle(m.Kill(3), NOW)
    assert [each.is_ahead for each in find(state.handle(arrive(5), NOW), StartCall)] == [True]

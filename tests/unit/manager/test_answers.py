from __future__ import annotations

from manager_peers import FUNCTION, SMALL, answer_command, connect, find_dispatched, find_results
from wq_package.archive.scripts.run_call import render_used
from wq_package.manager.state import ManagerState, StateOptions
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.protocol import messages as m
from wq_package.resources import CategoryOptions, LabelMode
from wq_package.task import Call, InputFile, OutputFile, Resources, ResultCode, Task

STAGED = e.StagedInput("", "own.txt", content=b"y", cache=False)
WITH_FILES = Task(
    command="cat",
    resources=SMALL,
    inputs=(InputFile("own.txt", content=b"y", cache=False),),
    outputs=(OutputFile("a", "/tmp/a"), OutputFile("b", "/tmp/b")),
    max_retries=0,
)
CALL = Task(call=Call(FUNCTION, b""), outputs=(OutputFile("a", "/tmp/a"),))


def make_state(options: CategoryOptions | None = None) -> ManagerState:
    return ManagerState(
        StateOptions(launcher=b"launch", run_call=b"run", default_category=options or CategoryOptions())
    )


def test_outputs__two_cannot_be_stored__the_first_reason_is_told() -> None:
    state = make_state()
    connect(state, 1)
    state.handle(e.Submitted(1, WITH_FILES, (STAGED,)))
    state.handle(answer_command(1, 1))
    assert not find_results(state.handle(e.OutputFetched(1, 1, "a", is_missing=True, message="no room")))
    results = find_results(state.handle(e.OutputFetched(1, 1, "b", is_missing=True, message="no right")))
    assert (results[1].message, results[1].missing_outputs) == ("no room", ("a", "b"))


def test_forsaken__too_often__says_so_and_leaves_nothing_at_the_worker() -> None:
    state = make_state()
    connect(state, 1)
    state.handle(e.Submitted(1, WITH_FILES, (STAGED,)))
    actions = state.handle(answer_command(1, 1, status=40))
    forgotten = [action.message for action in actions if isinstance(action, a.Send)]
    names = ("once-1-0-0", "out-1-0-0", "out-1-0-1")
    assert forgotten == [m.Kill(1), *(m.Unlink(name) for name in names)]
    result = find_results(actions)[1]
    assert (result.code, result.message) == (ResultCode.FORSAKEN, "the worker gave the task back")


def test_disk_full__at_our_worker__is_tried_elsewhere_with_its_inputs_sent_anew() -> None:
    state = make_state()
    connect(state, 1)
    shared = e.StagedInput("file-aa-644", "in", content=b"x")
    state.handle(e.Submitted(1, Task(command="cat", resources=SMALL, max_retries=1), (shared,)))
    assert find_dispatched(state.handle(answer_command(1, 1, status=64))) == []
    assert "file-aa-644" not in state.workers[1].files
    assert find_dispatched(connect(state, 2)) == [1]
    result = find_results(state.handle(answer_command(2, 1, status=64)))[1]
    assert (result.code, result.message) == (ResultCode.DISK_FULL, "the worker's disk is full")


def test_disk_full__at_a_worker_of_work_queue__ends_the_task() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    state.handle(e.Submitted(1, Task(command="cat", resources=SMALL, max_retries=1)))
    assert find_results(state.handle(answer_command(1, 1, status=64)))[1].code is ResultCode.DISK_FULL


def test_exhaustion__tried_with_more__is_no_loss() -> None:
    options = CategoryOptions(LabelMode.MIN_WASTE, guess=Resources(1, 100, 100))
    state = make_state(options)
    connect(state, 1)
    state.handle(e.Submitted(1, Task(call=Call(FUNCTION, b""), max_retries=0)))
    exhausted = m.CallResult(1, ResultCode.RESOURCE_EXHAUSTION.value, 0, 0, 0, 1, memory_mb=101.0)
    assert find_dispatched(state.handle(e.Received(1, exhausted))) == [1]
    assert state.tasks[1].losses == 0


def test_category__call_that_tells_itself_what_it_used__is_learnt_from() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    state.handle(e.Submitted(1, Task(call=Call(FUNCTION, b""))))
    state.handle(answer_command(1, 1))
    answer = b"pickle" + render_used()
    (result,) = find_results(
        state.handle(e.OutputFetched(1, 1, ".wq-package/answer", content=answer))
    ).values()
    assert result.measured.is_approximate
    assert state.categories.find("default").measured == 1


def test_category__call_with_outputs_that_its_worker_measured__is_learnt_from_once() -> None:
    state = make_state()
    connect(state, 1)
    state.handle(e.Submitted(1, CALL))
    told = m.CallResult(1, "success", 0, 5, 0, 1_000_000, 0, 1_000_000, 10.0, 10.0)
    state.handle(e.Received(1, told, b"value"))
    state.handle(e.OutputFetched(1, 1, "a"))
    assert not state.tasks
    assert state.categories.find("default").measured == 1

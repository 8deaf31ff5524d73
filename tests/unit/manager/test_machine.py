from __future__ import annotations

import dataclasses

import pytest

from manager_peers import (
    SMALL,
    answer_call,
    answer_command,
    connect,
    find_dispatched,
    find_results,
    greet,
    make_call,
)
from wq_package.manager.state import ManagerState, StateOptions, results
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.protocol import messages as m
from wq_package.task import Environment, Excess, InputFile, OutputFile, Resources, ResultCode, Task

ENVIRONMENT = Environment("1" * 64, "env.tar.gz", ("numpy",))
COMMAND = Task(command="true", resources=SMALL)


def make_state(**options: object) -> ManagerState:
    return ManagerState(
        StateOptions(session="s", launcher=b"launch", run_call=b"run", **options)  # type: ignore[arg-type]
    )


def submit(state: ManagerState, *tasks: Task, first: int = 1) -> list[a.Action]:
    return state.handle(*(e.Submitted(first + position, task) for position, task in enumerate(tasks)))


def sends(actions: list[a.Action]) -> list[m.ToWorker]:
    return [action.message for action in actions if isinstance(action, a.Send)]


def drops(actions: list[a.Action]) -> list[str]:
    return [action.reason for action in actions if isinstance(action, a.Drop)]


# -- greeting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left_out", range(1, 11))
def test_greeting__one_line_is_missing__no_task_is_sent(left_out: int) -> None:
    optional = ("worker-id", m.DIALECT_FEATURE, "workers", "gpus", "end_of_resource_update")
    state = make_state()
    submit(state, COMMAND)
    events = greet(1)
    left = events.pop(left_out)
    assert isinstance(left, e.Received)
    if any(word in repr(left.message) for word in optional):
        assert find_dispatched(state.handle(*events)) == [1]
    else:
        assert find_dispatched(state.handle(*events)) == []
        assert state.summarise().workers_connected == 0


def test_greeting__ours__is_answered_by_hello() -> None:
    assert sends(connect(make_state(), 1)) == [m.Hello(1, "s")]
    assert sends(connect(make_state(), 1, dialect=False)) == []


def test_greeting__unknown_version__is_dropped_and_reported_once_per_host() -> None:
    state = make_state()
    first = state.handle(*greet(1, version=8))
    assert len(drops(first)) == 1
    assert "protocol 8" in drops(first)[0]
    again = state.handle(
        e.WorkerConnected(2, "x"), e.Received(2, m.Workqueue(8, "host1", "Linux", "x86_64", "7"))
    )
    assert len(drops(again)) == 1
    (warning,) = [action for action in (*first, *again) if isinstance(action, a.Warn)]
    assert warning in first
    assert "`host1`" in warning.text
    assert state.summarise().workers_refused == 2


@pytest.mark.parametrize(
    "message",
    [
        m.Resource("cores", 1e9, 1, 1e9),
        m.Resource("memory", -1, 0, 0),
        m.Resource("disk", float("nan"), 0, 0),
        m.Info("worker-end-time", "soon"),
        m.Info("worker-end-time", "inf"),
        m.Workqueue(9, "again", "Linux", "x86_64", "8"),
    ],
)
def test_greeting__a_lie__drops_the_worker_and_keeps_its_tasks(message: m.ToManager) -> None:
    state = make_state()
    connect(state, 1)
    submit(state, COMMAND)
    assert len(drops(state.handle(e.Received(1, message)))) == 1
    assert find_dispatched(connect(state, 2)) == [1]


def test_greeting__says_nothing__is_dropped_after_a_while() -> None:
    state = make_state(greeting_timeout=5.0)
    state.handle(e.Tick(0, 0), e.WorkerConnected(1, "x"))
    state.handle(e.Tick(5, 5))
    assert drops(state.sweep()) == []
    state.handle(e.Tick(5.1, 5.1))
    assert drops(state.sweep()) == ["it did not say what it is"]


def test_worker_without_cores__nothing_declared__gets_no_task() -> None:
    state = make_state()
    submit(state, Task(command="true"), Task(command="true", resources=Resources(memory_mb=0)))
    assert find_dispatched(connect(state, 1, cores=0, memory=0, disk=0)) == []
    assert find_dispatched(connect(state, 2, cores=0)) == []
    assert find_dispatched(connect(state, 3, cores=1)) == [1]


def test_greeting__names_that_would_move_a_cursor__are_escaped() -> None:
    state = make_state()
    state.handle(e.WorkerConnected(1, "x"), e.Received(1, m.Workqueue(9, "a\x1b[2J", "Linux", "x86_64", "8")))
    assert state.workers[1].label == "a\\x1b[2J:x"


def test_name__is_answered() -> None:
    state = make_state(name="project")
    connect(state, 1)
    assert state.handle(e.Received(1, m.Name())) == [a.Send(1, m.ProjectName("project"))]


# -- order and room ----------------------------------------------------------------------------------------------------


def test_order__same_priority__first_in_first_out() -> None:
    state = make_state()
    submit(state, *[COMMAND] * 3)
    sent = find_dispatched(connect(state, 1, cores=1))
    for task_id in (1, 2):
        sent += find_dispatched(state.handle(answer_command(1, task_id)))
    assert sent == [1, 2, 3]


def test_order__higher_priority_and_other_kinds__most_urgent_first() -> None:
    state = make_state()
    urgent = dataclasses.replace(COMMAND, priority=2.0, category="other")
    submit(state, COMMAND, dataclasses.replace(COMMAND, priority=1.0), urgent, make_call(priority=3.0))
    assert find_dispatched(connect(state, 1, cores=4)) == [4, 3, 2, 1]


def test_room__boxes_fill_the_worker_and_no_more() -> None:
    state = make_state()
    half = dataclasses.replace(COMMAND, resources=Resources(1, 500, 10))
    submit(state, *[half] * 5)
    assert find_dispatched(connect(state, 1, cores=8, memory=1000)) == [1, 2]
    assert find_dispatched(state.handle(answer_command(1, 1))) == [3]


def test_room__nothing_declared__one_task_fills_a_worker() -> None:
    state = make_state()
    submit(state, *[Task(command="true")] * 2)
    actions = connect(state, 1, cores=8)
    assert find_dispatched(actions) == [1]
    message = next(action for action in actions if isinstance(action, a.Dispatch)).message
    assert (message.cores, message.memory_mb, message.disk_mb, message.gpus) == (8, 1000, 1000, 0)


def test_room__tenths_of_cores__never_drift() -> None:
    state = make_state()
    tenth = dataclasses.replace(COMMAND, resources=Resources(0.1, 1, 1))
    submit(state, *[tenth] * 30)
    assert len(find_dispatched(connect(state, 1, cores=2))) == 20


def test_room__a_large_task_waits__smaller_ones_pass() -> None:
    state = make_state()
    large = dataclasses.replace(COMMAND, resources=Resources(16, 1, 1))
    submit(state, large, COMMAND)
    assert find_dispatched(connect(state, 1)) == [2]
    assert find_dispatched(connect(state, 2, cores=16)) == [1]


def test_room__several_workers__tasks_are_spread() -> None:
    state = make_state()
    connect(state, 1)
    connect(state, 2)
    actions = submit(state, COMMAND, COMMAND)
    assert find_dispatched(actions, 1) == [1]
    assert find_dispatched(actions, 2) == [2]


def test_look_ahead__short_tasks__wait_at_the_worker() -> None:
    state = make_state()
    submit(state, *[make_call()] * 100)
    assert find_dispatched(connect(state, 1, cores=1)) == [1]
    assert len(find_dispatched(state.handle(answer_call(1, 1, usec=100)))) == 17


@pytest.mark.parametrize("seconds", [0.3, 60])
def test_look_ahead__longer_tasks__do_not_wait_at_a_worker(seconds: float) -> None:
    state = make_state()
    submit(state, *[make_call()] * 100)
    connect(state, 1, cores=1)
    assert find_dispatched(state.handle(answer_call(1, 1, usec=int(seconds * 1e6)))) == [2]


def test_look_ahead__wall_time__does_not_wait_at_a_worker() -> None:
    state = make_state()
    submit(state, *[make_call(wall_time=5)] * 10)
    connect(state, 1, cores=1)
    assert find_dispatched(state.handle(answer_call(1, 1, usec=100))) == [2]


def test_look_ahead__free_worker__comes_first() -> None:
    state = make_state()
    submit(state, *[make_call()] * 3)
    connect(state, 1, cores=1)
    state.handle(answer_call(1, 1, usec=100))
    state.handle(*(answer_call(1, task_id, usec=100) for task_id in (2, 3)))
    connect(state, 2, cores=1)
    actions = submit(state, make_call(), make_call(), first=4)
    assert len(find_dispatched(actions, 1)) == len(find_dispatched(actions, 2)) == 1


# -- what takes too long -----------------------------------------------------------------------------------------------


def pass_time(state: ManagerState, now: float) -> list[a.Action]:
    """Let time pass, and the machine look round."""
    return [*state.handle(e.Tick(now, now)), *state.sweep()]


def send_ahead(*, dialect: bool = True) -> ManagerState:
    """Let a worker with one core hold some tasks that it cannot have begun: after task 1, it has 2, 3, …"""
    state = make_state()
    connect(state, 1, cores=1, dialect=dialect)
    submit(state, *[make_call()] * 6)
    ended = answer_call(1, 1, usec=100) if dialect else answer_command(1, 1, usec=100)
    assert find_dispatched(state.handle(ended)) == [2, 3, 4, 5, 6]
    return state


def find_recalled(actions: list[a.Action]) -> list[tuple[int, ...]]:
    return [message.task_ids for message in sends(actions) if isinstance(message, m.Recall)]


def test_recall__behind_a_long_one__what_has_not_begun_is_run_elsewhere() -> None:
    state = send_ahead()
    assert find_recalled(pass_time(state, 1.0)) == []
    assert find_recalled(pass_time(state, 2.0)) == [(3, 4, 5, 6)]
    assert find_recalled(pass_time(state, 3.0)) == []  # once is enough
    connect(state, 2, cores=1)
    state.handle(answer_call(1, 3))  # it had begun meanwhile
    assert find_dispatched(state.handle(e.Received(1, m.Recalled((4, 5, 6)))), 2) == [4, 5]
    assert find_dispatched(state.handle(answer_call(1, 2)), 1) == [6]
    state.handle(answer_call(2, 4), answer_call(2, 5), answer_call(1, 6))
    assert (state.summarise().tasks_done, state.summarise().retries) == (6, 0)
    assert state.summarise().tasks_recalled == 3


def test_recall__nobody_else__nothing_is_sent_ahead_again() -> None:
    state = send_ahead()
    pass_time(state, 1.0)
    pass_time(state, 2.0)
    assert find_dispatched(state.handle(e.Received(1, m.Recalled((3, 4, 5, 6))))) == []
    assert find_dispatched(pass_time(state, 3.0)) == []
    assert find_dispatched(state.handle(answer_call(1, 2))) == [3]


def test_recall__of_a_real_worker__is_never_asked_but_it_gets_no_more() -> None:
    state = send_ahead(dialect=False)
    assert [*sends(pass_time(state, 1.0)), *sends(pass_time(state, 2.0))] == []
    assert find_dispatched(submit(state, make_call(), first=7)) == []


def test_recall__cancelled_meanwhile__is_cancelled_once() -> None:
    state = send_ahead()
    pass_time(state, 1.0)
    pass_time(state, 2.0)
    assert list(find_results(state.handle(e.Cancelled(3)))) == [3]
    assert state.handle(e.Received(1, m.Recalled((3,)))) == []


def test_recall__not_asked_for__drops_the_worker() -> None:
    state = send_ahead()
    assert len(drops(state.handle(e.Received(1, m.Recalled((3,)))))) == 1


def run_some(state: ManagerState, count: int, *, category: str = "default", usec: int = 1_000_000) -> None:
    """Let the manager learn what tasks of a category take."""
    task = dataclasses.replace(COMMAND, category=category)
    for task_id in range(1, count + 1):
        (action,) = (
            action for action in submit(state, task, first=task_id) if isinstance(action, a.Dispatch)
        )
        state.handle(answer_command(action.worker, task_id, usec=usec))


def test_fast_abort__slow_task__runs_on_another_worker_and_may_take_longer_there() -> None:
    state = make_state(fast_abort_multiplier=3.0)
    connect(state, 1, cores=1)
    run_some(state, 10)
    submit(state, COMMAND, first=11)
    connect(state, 2, cores=1)
    assert sends(pass_time(state, 100.0)) == []  # seen for the first time
    assert sends(pass_time(state, 103.0)) == []
    actions = pass_time(state, 103.5)
    assert sends(actions)[0] == m.Kill(11)
    assert find_dispatched(actions, 2) == [11]
    pass_time(state, 104.0)
    assert find_dispatched(pass_time(state, 109.5), 1) == []  # twice as long is granted now
    assert find_dispatched(pass_time(state, 110.5), 1) == [11]
    assert state.summarise().workers_fast_aborted == 0  # two workers were slow: it is the task
    assert state.handle(answer_command(1, 11))


def test_fast_abort__twice_in_a_row__the_worker_is_dropped() -> None:
    state = make_state(fast_abort_multiplier=3.0)
    connect(state, 1, cores=2)
    run_some(state, 10)
    submit(state, COMMAND, COMMAND, first=11)
    connect(state, 2, cores=2)
    pass_time(state, 100.0)
    actions = pass_time(state, 104.0)
    assert drops(actions) == ["two tasks in a row took too long there"]
    assert sorted(find_dispatched(actions, 2)) == [11, 12]
    assert state.summarise().workers_fast_aborted == 1


def test_fast_abort__a_task_ends_in_time_between__the_worker_stays() -> None:
    state = make_state(fast_abort_multiplier=3.0)
    connect(state, 1, cores=2)
    run_some(state, 10)
    submit(state, COMMAND, COMMAND, first=11)
    pass_time(state, 100.0)
    state.handle(answer_command(1, 12))
    connect(state, 2, cores=1)
    assert m.Kill(11) in sends(pass_time(state, 104.0))
    submit(state, COMMAND, first=13)
    pass_time(state, 105.0)
    state.handle(answer_command(1, 13))
    submit(state, COMMAND, first=14)
    pass_time(state, 106.0)
    assert drops(pass_time(state, 110.0)) == []


@pytest.mark.parametrize(
    ("runs", "options"),
    [
        (10, {}),
        (9, {"fast_abort_multiplier": 1.0}),
        (10, {"fast_abort_multiplier": 1.0, "fast_abort_categories": {"patient": None}}),
        (10, {"fast_abort_categories": {"another": 1.0}}),
    ],
)
def test_fast_abort__not_wanted_or_too_little_known__lets_tasks_run(
    runs: int, options: dict[str, object]
) -> None:
    state = make_state(**options)
    connect(state, 1, cores=1)
    run_some(state, runs, category="patient")
    submit(state, dataclasses.replace(COMMAND, category="patient"), first=11)
    connect(state, 2, cores=1)
    pass_time(state, 100.0)
    assert find_dispatched(pass_time(state, 1000.0)) == []


def test_fast_abort__no_other_worker__lets_the_task_run() -> None:
    state = make_state(fast_abort_multiplier=1.0)
    connect(state, 1, cores=1)
    run_some(state, 10)
    submit(state, COMMAND, first=11)
    connect(state, 2, cores=0)
    pass_time(state, 100.0)
    assert m.Kill(11) not in sends(pass_time(state, 1000.0))


def test_fast_abort__the_other_worker_goes__the_task_may_return() -> None:
    state = make_state(fast_abort_multiplier=1.0)
    connect(state, 1, cores=1)
    run_some(state, 10)
    submit(state, COMMAND, first=11)
    connect(state, 2, cores=1)
    submit(state, COMMAND, first=12)
    connect(state, 3, cores=0)
    pass_time(state, 100.0)
    state.handle(e.Tick(100.5, 100.5), answer_command(2, 12))
    submit(state, COMMAND, first=13)
    assert find_dispatched(pass_time(state, 104.0)) == []
    state.handle(e.WorkerGone(2, "gone"))
    assert find_dispatched(pass_time(state, 105.0)) == [13]
    assert find_dispatched(state.handle(answer_command(1, 13))) == []
    assert find_dispatched(pass_time(state, 106.0)) == [11]


def test_unservable__is_said_once_and_counted() -> None:
    state = make_state()
    connect(state, 1)
    submit(state, dataclasses.replace(COMMAND, resources=Resources(64, 10, 10), category="big"))
    warnings = []
    for second in range(30):
        state.handle(e.Tick(second, second))
        warnings += [action.text for action in state.sweep() if isinstance(action, a.Warn)]
    assert len(warnings) == 1
    assert "1 task of category `big` needs 64 cores" in warnings[0]
    assert state.summarise().tasks_unservable == 1


# -- files -------------------------------------------------------------------------------------------------------------

CACHED = e.StagedInput("file-aa-644", "in.txt", content=b"x")
PRIVATE = e.StagedInput("", "own.txt", content=b"y", cache=False)
WITH_FILES = Task(
    command="cat",
    resources=SMALL,
    inputs=(InputFile("in.txt", content=b"x"), InputFile("own.txt", content=b"y", cache=False)),
    outputs=(OutputFile("out.txt", "/tmp/out.txt"),),
)


def dispatch_with_files(state: ManagerState, task_id: int) -> a.Dispatch:
    actions = state.handle(e.Submitted(task_id, WITH_FILES, (CACHED, PRIVATE)))
    (action,) = [action for action in actions if isinstance(action, a.Dispatch)]
    return action


def test_inputs__cached__are_sent_once_per_worker() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    first, second = dispatch_with_files(state, 1), dispatch_with_files(state, 2)
    assert [staged.cache_name for staged in first.puts] == ["file-aa-644", "once-1-0-1"]
    assert [staged.cache_name for staged in second.puts] == ["once-2-0-1"]
    assert second.message.inputs == (
        m.TaskFile("file-aa-644", "in.txt", m.FileFlags.CACHE),
        m.TaskFile("once-2-0-1", "own.txt"),
    )


@pytest.mark.parametrize(("size", "keeps_files"), [(10**6, True), (10**6, False), (1000, True)])
def test_inputs__large_and_cached__are_offered_first_to_whoever_keeps_files(
    size: int, *, keeps_files: bool
) -> None:
    state = make_state()
    greeting = greet(1)
    if keeps_files:
        greeting.insert(2, e.Received(1, m.Feature(m.FILES_FEATURE)))
    state.handle(*greeting)
    folder = dataclasses.replace(CACHED, cache_name="folder-aa", entries=())
    inputs = tuple(dataclasses.replace(staged, size=size) for staged in (CACHED, PRIVATE, folder))
    actions = state.handle(e.Submitted(1, WITH_FILES, inputs))
    (dispatch,) = [action for action in actions if isinstance(action, a.Dispatch)]
    is_offered = keeps_files and size > a.LARGE_BODY
    assert [staged.is_offered for staged in dispatch.puts] == [is_offered, False, False]


def test_inputs__a_worker_that_holds_them__is_preferred() -> None:
    state = make_state()
    connect(state, 1, cores=4, dialect=False)
    dispatch_with_files(state, 1)
    connect(state, 2, cores=4, dialect=False)
    connect(state, 3, cores=4, dialect=False)
    assert {dispatch_with_files(state, task_id).worker for task_id in (2, 3)} == {1}


def test_outputs__are_fetched_then_everything_is_freed() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    dispatch_with_files(state, 1)
    fetches = state.handle(answer_command(1, 1, exit_code=3))
    assert fetches == [a.Fetch(1, 1, "out-1-0-0", "out.txt", "/tmp/out.txt")]
    assert state.summarise().tasks_fetching == 1
    actions = state.handle(e.OutputFetched(1, 1, "out.txt"))
    assert sends(actions) == [m.Kill(1), m.Unlink("once-1-0-1"), m.Unlink("out-1-0-0")]
    result = find_results(actions)[1]
    assert (result.code, result.exit_code, result.output, result.message) == (
        ResultCode.SUCCESS,
        3,
        b"out",
        "",
    )


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (e.OutputFetched(1, 1, "out.txt", is_missing=True), "the task did not leave `out.txt`"),
        (e.OutputFetched(1, 1, "out.txt", is_missing=True, message="no room"), "no room"),
    ],
)
def test_outputs__missing__is_told(event: e.OutputFetched, sentence: str) -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    dispatch_with_files(state, 1)
    state.handle(answer_command(1, 1))
    result = find_results(state.handle(event))[1]
    assert (result.code, result.missing_outputs, result.message) == (
        ResultCode.OUTPUT_MISSING,
        ("out.txt",),
        sentence,
    )


def test_outputs__worker_is_lost_meanwhile__the_task_runs_again() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    dispatch_with_files(state, 1)
    state.handle(answer_command(1, 1))
    state.handle(e.WorkerGone(1, "killed"))
    assert find_dispatched(connect(state, 2, dialect=False)) == [1]


def test_inputs__unreadable__the_task_fails_and_the_next_one_tries_again() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    dispatch_with_files(state, 1)
    result = find_results(state.handle(e.DispatchFailed(1, 1, "file-aa-644", "gone")))[1]
    assert (result.code, result.message) == (ResultCode.INPUT_MISSING, "gone")
    assert "file-aa-644" in [staged.cache_name for staged in dispatch_with_files(state, 2).puts]


def test_inputs__came_with_a_task_that_failed__the_next_one_brings_them_itself() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    dispatch_with_files(state, 1)
    dispatch_with_files(state, 2)
    state.handle(e.DispatchFailed(1, 1, "file-aa-644", "gone"))
    actions = state.handle(e.DispatchFailed(1, 2, "file-aa-644", "", is_dependent=True))
    (again,) = [action for action in actions if isinstance(action, a.Dispatch)]
    assert [staged.cache_name for staged in again.puts] == ["file-aa-644", "once-2-0-1"]
    assert state.tasks[2].losses == 0


def test_inputs__worker_has_lost_one__is_sent_again() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    dispatch_with_files(state, 1)
    actions = state.handle(answer_command(1, 1, status=1))
    (again,) = [action for action in actions if isinstance(action, a.Dispatch)]
    assert [staged.cache_name for staged in again.puts] == ["file-aa-644", "once-1-1-1"]


def test_variables__longer_than_a_line_may_be__go_into_the_command() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    long = "it's " * 2000
    task = dataclasses.replace(COMMAND, variables=(("SHORT", "1"), ("LONG", long)))
    (action,) = submit(state, task)
    assert isinstance(action, a.Dispatch)
    assert isinstance(action.message, m.TaskDescription)
    assert action.message.variables == (("SHORT", "1"),)
    assert action.message.command.startswith("export LONG='it'\"'\"'s")
    assert action.message.command.endswith("\ntrue")


# -- calls -------------------------------------------------------------------------------------------------------------


def test_call__function_travels_once_per_worker() -> None:
    state = make_state()
    connect(state, 1)
    first, second = submit(state, make_call(), make_call())
    assert isinstance(first, a.Dispatch)
    assert isinstance(second, a.Dispatch)
    assert first.function is not None
    assert second.function is None
    assert isinstance(second.message, m.CallTask)
    assert (second.message.size, second.body) == (9, b"arguments")


def test_call__result__is_measured_and_needs_no_kill() -> None:
    state = make_state()
    connect(state, 1)
    submit(state, make_call())
    answer = m.CallResult(1, "success", 1, 8, 3, 2_000_000, cpu_usec=1_000_000, memory_mb=5.0)
    (action,) = state.handle(e.Received(1, answer, b"outvalue"[:8]))
    assert isinstance(action, a.Finish)
    result = action.result
    assert (result.output, result.value, result.exit_code) == (b"out", b"value", 1)
    assert (result.measured.wall_time, result.measured.cpu_time) == (2.0, 1.0)
    assert (result.measured.memory_mb, result.measured.disk_mb) == (5.0, None)
    assert result.measured.is_approximate


def test_command__over_its_limit__says_which_and_by_how_much() -> None:
    state = make_state()
    connect(state, 1)
    (dispatch,) = submit(state, Task(command="true", enforce_limits=True))
    assert isinstance(dispatch, a.Dispatch)
    assert isinstance(dispatch.message, m.TaskDescription)
    assert dispatch.message.is_enforced
    told = m.Result(16, 9, 0, 2_000_000, 1, 500_000, 120.0, limit="memory", allowed=100, used=120.0)
    result = find_results(state.handle(e.Received(1, told, b"")))[1]
    assert (result.code, result.excess) == (ResultCode.RESOURCE_EXHAUSTION, Excess("memory", 100, 120.0))
    assert result.message == "the task used 120 MB of memory, and its limit is 100 MB"
    assert (result.measured.memory_mb, result.measured.cores) == (120.0, None)
    assert not result.measured.is_approximate


def test_call__environment__is_offered_and_waited_for() -> None:
    state = make_state()
    connect(state, 1)
    assert submit(state, make_call(environment=ENVIRONMENT)) == [a.OfferEnvironment(1, ENVIRONMENT)]
    wanted = state.handle(e.Received(1, m.LayersWanted(ENVIRONMENT.digest, ("aa", "bb"))))
    assert wanted == [a.SendLayers(1, ENVIRONMENT, ("aa", "bb"))]
    state.handle(e.TransferEnded(1))
    assert find_dispatched(state.handle(e.Received(1, m.EnvironmentReady(ENVIRONMENT.digest)))) == [1]


def test_call__environment__other_tasks_go_on_meanwhile() -> None:
    state = make_state()
    connect(state, 1)
    actions = submit(state, make_call(environment=ENVIRONMENT), COMMAND)
    assert find_dispatched(actions) == [2]


def test_call__environment__as_many_workers_prepare_it_as_its_tasks_can_fill() -> None:
    state = make_state()
    for number in range(1, 6):
        connect(state, number, cores=2)
    task = make_call(environment=ENVIRONMENT)
    assert len(submit(state, task)) == 1
    assert len(submit(state, task, first=2)) == 0
    assert len(submit(state, task, task, first=3)) == 1


def test_call__environment_fails_on_one_worker__another_one_takes_its_tasks() -> None:
    state = make_state()
    connect(state, 1)
    connect(state, 2)
    submit(state, make_call(environment=ENVIRONMENT))
    failed = state.handle(e.Received(1, m.EnvironmentFailed(ENVIRONMENT.digest, "glibc is too old")))
    assert a.OfferEnvironment(2, ENVIRONMENT) in failed
    assert not find_results(failed)
    assert find_dispatched(state.handle(e.Received(2, m.EnvironmentReady(ENVIRONMENT.digest)))) == [1]


def test_call__environment_fails_everywhere__only_its_tasks_fail() -> None:
    state = make_state()
    connect(state, 1, cores=1)
    submit(state, make_call(environment=ENVIRONMENT), make_call(), make_call())
    actions = state.handle(e.Received(1, m.EnvironmentFailed(ENVIRONMENT.digest, "glibc is too old")))
    results = find_results(actions)
    assert list(results) == [1]
    assert results[1].code is ResultCode.ENVIRONMENT_FAILED
    assert results[1].message == "glibc is too old (on worker host1:worker-1)"
    late = find_results(submit(state, make_call(environment=ENVIRONMENT), first=4))
    assert late[4].code is ResultCode.ENVIRONMENT_FAILED
    connect(state, 2)
    assert submit(state, make_call(environment=ENVIRONMENT), first=5) == [a.OfferEnvironment(2, ENVIRONMENT)]


def test_call__archive_cannot_be_read__its_tasks_fail() -> None:
    state = make_state()
    connect(state, 1)
    submit(state, make_call(environment=ENVIRONMENT))
    results = find_results(state.handle(e.OfferFailed(1, ENVIRONMENT.digest, "it is damaged")))
    assert (results[1].code, results[1].message) == (ResultCode.ENVIRONMENT_FAILED, "it is damaged")


@pytest.mark.parametrize(
    "message",
    [m.EnvironmentReady("2" * 64), m.LayersWanted("2" * 64, ("aa",)), m.EnvironmentFailed("2" * 64, "no")],
)
def test_call__answer_about_an_environment_never_offered__drops_the_worker(message: m.ToManager) -> None:
    state = make_state()
    connect(state, 1)
    assert len(drops(state.handle(e.Received(1, message)))) == 1


# -- calls on real workers ---------------------------------------------------------------------------------------------


def dispatch_fallback(state: ManagerState, *, first: int = 1) -> a.Dispatch:
    actions = submit(state, make_call(environment=ENVIRONMENT), first=first)
    (action,) = [action for action in actions if isinstance(action, a.Dispatch)]
    return action


def test_fallback__call_becomes_a_command_with_the_archive_as_a_cached_input() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    action = dispatch_fallback(state)
    assert isinstance(action.message, m.TaskDescription)
    archive = f"env-{ENVIRONMENT.digest}.tar.gz"
    assert action.message.command == (
        f"/bin/sh .wq-package/launch.sh {archive} -- python3 .wq-package/run_call.py "
        ".wq-package/function .wq-package/arguments .wq-package/answer"
    )
    puts = {staged.sandbox_name: staged for staged in action.puts}
    assert puts[archive].path == "env.tar.gz"
    assert puts[".wq-package/launch.sh"].content == b"launch"
    assert puts[".wq-package/run_call.py"].content == b"run"
    assert puts[".wq-package/function"].content == b"function"
    assert [staged.sandbox_name for staged in dispatch_fallback(state, first=2).puts] == [
        ".wq-package/arguments"
    ]


def finish_fallback(output: bytes, exit_code: int, fetched: e.OutputFetched) -> object:
    state = make_state()
    connect(state, 1, dialect=False)
    dispatch_fallback(state)
    state.handle(e.Received(1, m.Result(0, exit_code, len(output), 10, 1), output))
    return find_results(state.handle(fetched))[1]


def test_fallback__answer__becomes_the_value() -> None:
    answer = e.OutputFetched(1, 1, ".wq-package/answer", content=b"pickle")
    result = finish_fallback(b"printed", 1, answer)
    assert (result.code, result.value, result.output, result.exit_code, result.missing_outputs) == (  # type: ignore[attr-defined]
        ResultCode.SUCCESS, b"pickle", b"printed", 1, (),
    )  # fmt: skip


def test_fallback__no_answer__the_interpreter_was_lost() -> None:
    missing = e.OutputFetched(1, 1, ".wq-package/answer", is_missing=True)
    result = finish_fallback(b"words\nSegmentation fault\n", 139, missing)
    assert (result.code, result.signal, result.message) == (  # type: ignore[attr-defined]
        ResultCode.INTERPRETER_LOST, 11,
        "the call was killed by signal 11 and left no answer: Segmentation fault",
    )  # fmt: skip


def test_fallback__no_answer_and_a_high_exit_code__is_not_taken_for_a_signal() -> None:
    missing = e.OutputFetched(1, 1, ".wq-package/answer", is_missing=True)
    result = finish_fallback(b"", 255, missing)
    assert (result.code, result.signal, result.message) == (  # type: ignore[attr-defined]
        ResultCode.INTERPRETER_LOST, None, "the call ended with exit code 255 and left no answer",
    )  # fmt: skip


def test_fallback__launcher_failed__the_environment_cannot_be_used() -> None:
    missing = e.OutputFetched(1, 1, ".wq-package/answer", is_missing=True)
    result = finish_fallback(b"wq-package: no room on the disk\n", 221, missing)
    assert (result.code, result.message) == (ResultCode.ENVIRONMENT_FAILED, "no room on the disk")  # type: ignore[attr-defined]


def test_fallback__command_with_environment__runs_in_it() -> None:
    state = make_state()
    connect(state, 1)
    (action,) = submit(state, dataclasses.replace(COMMAND, command="echo 'a b'", environment=ENVIRONMENT))
    assert isinstance(action, a.Dispatch)
    assert isinstance(action.message, m.TaskDescription)
    assert action.message.command.endswith("-- /bin/sh -c 'echo '\"'\"'a b'\"'\"''")


# -- losses ------------------------------------------------------------------------------------------------------------


def test_loss__tasks_come_back_in_their_order_before_others() -> None:
    state = make_state()
    connect(state, 1, cores=2)
    submit(state, *[COMMAND] * 4)
    state.handle(e.WorkerGone(1, "killed"))
    assert find_dispatched(connect(state, 2, cores=4)) == [1, 2, 3, 4]


def test_loss__too_often__the_task_ends() -> None:
    state = make_state()
    submit(state, dataclasses.replace(COMMAND, max_retries=2))
    actions: list[a.Action] = []
    for number in range(1, 4):
        assert find_dispatched(connect(state, number)) == [1]
        actions = state.handle(e.WorkerGone(number, "it was killed"))
    result = find_results(actions)[1]
    assert result.code is ResultCode.MAX_RETRIES
    assert result.message == "3 workers were lost while they ran this task, the last one: it was killed"
    assert result.worker == "host3:worker-3"


def test_loss__no_limit__the_task_is_tried_for_ever() -> None:
    state = make_state()
    submit(state, dataclasses.replace(COMMAND, max_retries=None))
    for number in range(1, 50):
        assert find_dispatched(connect(state, number)) == [1]
        state.handle(e.WorkerGone(number, "killed"))


def test_loss__tasks_that_only_waited_at_the_worker__are_not_to_blame() -> None:
    state = make_state()
    submit(state, *[make_call(max_retries=0)] * 5)
    connect(state, 1, cores=1)
    assert find_dispatched(state.handle(answer_call(1, 1, usec=100))) == [2, 3, 4, 5]
    results = find_results(state.handle(e.WorkerGone(1, "killed")))
    assert {task_id: result.code for task_id, result in results.items()} == {2: ResultCode.MAX_RETRIES}
    assert find_dispatched(connect(state, 2)) == [3, 4, 5]


def test_loss__nothing_is_sent_ahead_and_no_retries__all_that_the_worker_had_is_given_up() -> None:
    state = make_state(look_ahead=0)
    submit(state, *[make_call(max_retries=0)] * 5)
    connect(state, 1, cores=1)
    assert find_dispatched(state.handle(answer_call(1, 1, usec=100))) == [2]
    results = find_results(state.handle(e.WorkerGone(1, "killed")))
    assert {task_id: result.code for task_id, result in results.items()} == {2: ResultCode.MAX_RETRIES}
    assert find_dispatched(connect(state, 2, cores=1)) == [3]


@pytest.mark.parametrize("key", ["vacating", "idle-disconnecting"])
def test_loss__worker_said_that_it_leaves__no_task_is_to_blame(key: str) -> None:
    state = make_state()
    submit(state, dataclasses.replace(COMMAND, max_retries=0))
    connect(state, 1)
    state.handle(e.Received(1, m.Info(key, "15")))
    assert find_dispatched(submit(state, COMMAND, first=2)) == []
    assert not find_results(state.handle(e.WorkerGone(1, "closed")))
    assert find_dispatched(connect(state, 2)) == [1, 2]


def test_forsaken__is_tried_elsewhere_and_given_up_in_the_end() -> None:
    state = make_state()
    connect(state, 1)
    submit(state, dataclasses.replace(COMMAND, max_retries=1))
    back = state.handle(answer_command(1, 1, status=40))
    assert find_dispatched(back) == []
    assert find_dispatched(connect(state, 2)) == [1]
    result = find_results(state.handle(answer_command(2, 1, status=40)))[1]
    assert result.code is ResultCode.FORSAKEN


def test_forsaken__worker_whose_disk_changed_meanwhile__is_tried_there_again() -> None:
    state = make_state()
    connect(state, 1, disk=1000)
    assert find_dispatched(submit(state, Task(command="true", max_retries=0))) == [1]
    state.handle(
        e.Received(1, m.Resource("disk", 990, 990, 990)),
        e.Received(1, m.Info("end_of_resource_update", "0")),
    )
    assert find_dispatched(state.handle(answer_command(1, 1, status=40))) == [1]
    assert find_results(state.handle(answer_command(1, 1, status=40)))[1].code is ResultCode.FORSAKEN


def test_forsaken__long_ago__is_tried_there_again() -> None:
    state = make_state()
    connect(state, 1)
    submit(state, COMMAND)
    state.handle(e.Tick(0, 0))
    assert find_dispatched(state.handle(answer_command(1, 1, status=40))) == []
    assert find_dispatched(pass_time(state, 29.0)) == []
    assert find_dispatched(pass_time(state, 30.0)) == [1]


# -- liars -------------------------------------------------------------------------------------------------------------


def test_result__task_never_given__drops_the_worker() -> None:
    state = make_state()
    connect(state, 1)
    connect(state, 2)
    submit(state, COMMAND)
    assert len(drops(state.handle(answer_command(2, 1)))) == 1
    assert find_results(state.handle(answer_command(1, 1)))[1].is_success


def test_result__sent_twice__drops_the_worker_and_ends_the_task_once() -> None:
    state = make_state()
    connect(state, 1)
    submit(state, make_call())
    actions = state.handle(answer_call(1, 1), answer_call(1, 1))
    assert len(find_results(actions)) == 1
    assert len(drops(actions)) == 1


def test_result__late_one_of_a_cancelled_task__is_ignored() -> None:
    state = make_state()
    connect(state, 1)
    submit(state, make_call())
    assert find_results(state.handle(e.Cancelled(1)))[1].code is ResultCode.CANCELLED
    assert state.handle(answer_call(1, 1)) == []


@pytest.mark.parametrize(
    "message",
    [m.CallResult(1, "wonderful", 0, 5, 0, 1), m.CallResult(1, "success", 0, 5, 50, 1)],
)
def test_result__makes_no_sense__drops_the_worker_and_runs_the_task_again(message: m.CallResult) -> None:
    state = make_state()
    connect(state, 1)
    submit(state, make_call())
    assert len(drops(state.handle(e.Received(1, message, b"value")))) == 1
    assert find_dispatched(connect(state, 2)) == [1]


def test_call_result__of_a_command__drops_the_worker() -> None:
    state = make_state()
    connect(state, 1)
    submit(state, COMMAND)
    assert len(drops(state.handle(answer_call(1, 1)))) == 1


# -- cancel and time ---------------------------------------------------------------------------------------------------


def test_cancel__waiting__leaves_the_queue() -> None:
    state = make_state()
    submit(state, COMMAND, COMMAND)
    assert find_results(state.handle(e.Cancelled(1)))[1].code is ResultCode.CANCELLED
    assert state.handle(e.Cancelled(1), e.Cancelled(99)) == []
    assert find_dispatched(connect(state, 1)) == [2]


def test_cancel__running__is_killed_and_its_room_used_at_once() -> None:
    state = make_state()
    connect(state, 1, cores=1)
    submit(state, COMMAND, COMMAND)
    actions = state.handle(e.Cancelled(1))
    assert sends(actions) == [m.Kill(1)]
    assert find_dispatched(actions) == [2]


def test_cancel__while_outputs_are_on_their_way__they_are_abandoned() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    dispatch_with_files(state, 1)
    state.handle(answer_command(1, 1))
    actions = state.handle(e.Cancelled(1))
    assert actions[0] == a.Abandon(1, 1)
    assert find_results(actions)[1].code is ResultCode.CANCELLED
    assert state.handle(e.OutputFetched(1, 1, "out.txt")) == []
    state.check()


def test_cancel__many_waiting__memory_is_given_back() -> None:
    state = make_state()
    submit(state, *[COMMAND] * 1000)
    state.handle(*(e.Cancelled(task_id) for task_id in range(1, 991)))
    (lane,) = state.placement.lanes.values()
    assert sum(map(len, lane.queues.values())) < 100
    assert find_dispatched(connect(state, 1, cores=20)) == list(range(991, 1001))


def test_wall_time__exceeded__is_killed_with_a_result() -> None:
    state = make_state()
    connect(state, 1)
    state.handle(e.Tick(100, 1e9))
    submit(state, dataclasses.replace(COMMAND, wall_time=2.0))
    assert state.handle(e.Tick(101.9, 1e9)) == []
    actions = state.handle(e.Tick(102, 1e9))
    assert sends(actions) == [m.Kill(1)]
    result = find_results(actions)[1]
    assert (result.code, result.message) == (
        ResultCode.WALL_TIME,
        "the task ran longer than its wall time of 2 s",
    )


def test_wall_time__inputs_are_on_their_way__the_clock_stands_still() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    state.handle(e.Tick(100, 1e9))
    task = dataclasses.replace(WITH_FILES, wall_time=2.0)
    state.handle(e.Submitted(1, task, (CACHED, PRIVATE)))
    assert state.handle(e.Tick(200, 1e9)) == []
    state.handle(e.DispatchSent(1, 1))
    assert state.handle(e.Tick(201.9, 1e9)) == []
    assert find_results(state.handle(e.Tick(202, 1e9)))[1].code is ResultCode.WALL_TIME


def test_wall_time__task_runs_again__starts_anew() -> None:
    state = make_state()
    connect(state, 1)
    state.handle(e.Tick(0, 1e9))
    submit(state, dataclasses.replace(COMMAND, wall_time=2.0))
    state.handle(e.WorkerGone(1, "killed"))
    state.handle(e.Tick(1.5, 1e9))
    connect(state, 2)
    assert state.handle(e.Tick(3, 1e9)) == []
    assert find_results(state.handle(e.Tick(3.5, 1e9)))[1].code is ResultCode.WALL_TIME


@pytest.mark.parametrize("is_running", [False, True])
def test_end_time__reached__ends_the_task(is_running: bool) -> None:
    state = make_state()
    state.handle(e.Tick(0, 1e9))
    submit(state, dataclasses.replace(COMMAND, end_time=1e9 + 5))
    if is_running:
        connect(state, 1)
    assert not find_results(state.handle(e.Tick(5, 1e9 + 4.9)))
    actions = state.handle(e.Tick(5.1, 1e9 + 5))
    assert find_results(actions)[1].code is ResultCode.END_TIME
    assert sends(actions) == ([m.Kill(1)] if is_running else [])


def test_running_time__worker_leaves_before__waits_for_one_that_stays() -> None:
    state = make_state()
    state.handle(e.Tick(0, 1e9))
    greeting = greet(1)
    greeting[-1] = e.Received(1, m.Info("worker-end-time", str(int(1e9) + 60)))
    state.handle(*greeting)
    submit(state, dataclasses.replace(COMMAND, running_time_min=61.0))
    state.handle(e.Tick(1, 1e9))
    assert find_dispatched(state.sweep()) == []
    submit(state, dataclasses.replace(COMMAND, running_time_min=60.0), first=2)
    assert list(state.workers[1].tasks) == [2]
    state.handle(e.Tick(2, 1e9 + 1))
    submit(state, dataclasses.replace(COMMAND, running_time_min=60.0), first=3)
    assert list(state.workers[1].tasks) == [2]
    assert find_dispatched(connect(state, 2)) == [1, 3]


def test_keepalive__silence__is_asked_about_and_ends_in_a_drop() -> None:
    state = make_state(keepalive_interval=10.0, keepalive_timeout=3.0)
    state.handle(e.Tick(0, 0))
    connect(state, 1)
    seen: dict[int, list[a.Action]] = {}
    for second in range(1, 20):
        state.handle(e.Tick(second, second))
        if actions := state.sweep():
            seen[second] = actions
    assert seen[11] == [a.Send(1, m.Check())]
    assert drops(seen[15]) == ["it has not answered for 15 s"]
    assert set(seen) == {11, 15}


def test_keepalive__answer__keeps_the_worker() -> None:
    state = make_state(keepalive_interval=10.0, keepalive_timeout=3.0)
    state.handle(e.Tick(0, 0))
    connect(state, 1)
    for second in range(1, 60):
        state.handle(e.Tick(second, second))
        for action in state.sweep():
            assert action == a.Send(1, m.Check())
            state.handle(e.Received(1, m.Alive()))
    assert state.summarise().workers_connected == 1


def test_keepalive__large_transfer__is_no_silence() -> None:
    state = make_state(keepalive_interval=10.0, keepalive_timeout=3.0)
    state.handle(e.Tick(0, 0))
    connect(state, 1, dialect=False)
    dispatch_with_files(state, 1)
    for second in range(1, 60):
        state.handle(e.Tick(second, second))
        assert state.sweep() == []


# -- protocol 11 and numbers -------------------------------------------------------------------------------------------


def test_cache_invalid__the_file_is_sent_again() -> None:
    state = make_state()
    connect(state, 1, dialect=False, version=11)
    dispatch_with_files(state, 1)
    state.handle(e.Received(1, m.CacheInvalid("file-aa-644", "disk error")))
    assert "file-aa-644" in [staged.cache_name for staged in dispatch_with_files(state, 2).puts]


def test_resources__grow__more_tasks_are_sent() -> None:
    state = make_state()
    connect(state, 1, cores=1)
    submit(state, COMMAND, COMMAND)
    grown = [
        e.Received(1, m.Resource("cores", 2, 2, 2)),
        e.Received(1, m.Info("end_of_resource_update", "0")),
    ]
    assert find_dispatched(state.handle(*grown)) == [2]


def test_summarise__counts_everything_once() -> None:
    state = make_state()
    connect(state, 1, cores=2)
    submit(state, *[COMMAND] * 4)
    state.handle(answer_command(1, 1), e.Cancelled(4))
    statistics = state.summarise()
    assert statistics.tasks_left == statistics.tasks_running == 2
    assert (statistics.tasks_done, statistics.tasks_cancelled, statistics.tasks_submitted) == (1, 1, 4)
    assert (statistics.workers_connected, statistics.workers_busy, statistics.cores_committed) == (1, 1, 2.0)
    assert state.count_hungry() == 4


# -- corners -----------------------------------------------------------------------------------------------------------


def test_refused__ends_at_once() -> None:
    state = make_state()
    actions = state.handle(e.Refused(1, COMMAND, ResultCode.INPUT_MISSING, "absent"))
    assert find_results(actions)[1].message == "absent"
    assert (state.summarise().tasks_failed, state.summarise().tasks_submitted) == (1, 1)


def test_call__worker_has_lost_the_function__it_is_sent_again() -> None:
    state = make_state()
    connect(state, 1)
    submit(state, make_call())
    lost = e.Received(1, m.CallResult(1, "input missing", 0, 0, 0, 1), b"")
    (again,) = [action for action in state.handle(lost) if isinstance(action, a.Dispatch)]
    assert again.function is not None


def test_feature__after_the_greeting__changes_nothing() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    state.handle(
        e.Received(1, m.Feature(m.DIALECT_FEATURE)), e.Received(1, m.Resource("coprocess_cores", 1, 1, 1))
    )
    (action,) = submit(state, make_call())
    assert isinstance(action, a.Dispatch)
    assert isinstance(action.message, m.TaskDescription)


def test_feature__endless__drops_the_worker() -> None:
    state = make_state()
    state.handle(*greet(1)[:2])
    actions = state.handle(*(e.Received(1, m.Feature(str(number))) for number in range(2000)))
    assert drops(actions) == ["it has too many features"]


def test_late_events__of_a_lost_worker__are_ignored() -> None:
    state = make_state()
    connect(state, 1)
    state.handle(e.WorkerGone(1, "killed"))
    late: list[e.Event] = [
        e.WorkerGone(1, "again"),
        e.DispatchSent(1, 1),
        e.DispatchFailed(1, 1, "file", "gone"),
        e.OutputFetched(1, 1, "out"),
        e.TransferEnded(1),
        e.OfferFailed(1, "9" * 64, "gone"),
        e.Received(1, m.Alive()),
    ]
    assert state.handle(*late) == []


def test_deadlines__of_ended_tasks__are_passed_over() -> None:
    state = make_state()
    connect(state, 1)
    state.handle(e.Tick(0, 1e9))
    submit(state, dataclasses.replace(COMMAND, wall_time=1.0, end_time=1e9 + 1))
    state.handle(answer_command(1, 1))
    assert state.handle(e.Tick(5, 1e9 + 5)) == []


def test_end_time__outputs_are_on_their_way__the_task_ends_as_it_did() -> None:
    state = make_state()
    connect(state, 1, dialect=False)
    state.handle(e.Tick(0, 1e9))
    state.handle(e.Submitted(1, dataclasses.replace(WITH_FILES, end_time=1e9 + 1), (CACHED, PRIVATE)))
    state.handle(answer_command(1, 1))
    assert state.handle(e.Tick(5, 1e9 + 5)) == []
    assert find_results(state.handle(e.OutputFetched(1, 1, "out.txt")))[1].is_success


def test_memory__ever_new_kinds_and_totals__is_bounded() -> None:
    state = make_state()
    connect(state, 1, cores=1)
    for number in range(1, 10_200):
        submit(state, dataclasses.replace(COMMAND, category=f"c{number}"), first=number)
        state.handle(answer_command(1, number))
    assert len(state.placement.lanes) <= 10_001
    assert len(state.category_counts) <= 10_001
    for disk in range(1000, 1600):
        state.handle(
            e.Received(1, m.Resource("disk", disk, disk, disk)),
            e.Received(1, m.Info("end_of_resource_update", "0")),
        )
        submit(state, COMMAND, first=20_000 + disk)
        state.handle(answer_command(1, 20_000 + disk))
    assert all(len(lane.boxes) <= 257 for lane in state.placement.lanes.values())


def test_memory__killed_tasks__are_not_remembered_for_ever() -> None:
    state = make_state()
    connect(state, 1)
    for number in range(1, 5000):
        submit(state, COMMAND, first=number)
        state.handle(e.Cancelled(number))
    assert len(state.workers[1].killed) == 4096


def test_properties__show_what_is_known() -> None:
    state = make_state()
    connect(state, 1)
    submit(state, COMMAND)
    assert (list(state.tasks), list(state.workers), state.refused_hosts) == ([1], [1], set())
    state.check()


def test_call__figures_that_no_machine_reaches__are_unknown() -> None:
    answer = m.CallResult(
        1, "success", 1, 8, 3, -5, cpu_usec=1, memory_mb=1.7e308, disk_mb=2.0**62, cores=1.0
    )
    measured = results.make_measurement(answer, is_approximate=False)
    assert (measured.memory_mb, measured.disk_mb, measured.cores) == (None, None, 1.0)
    assert measured.wall_time == 0

from __future__ import annotations

import itertools
from typing import Any, TypeVar

import pytest

from wq_package.protocol import messages as m
from wq_package.task import ResultCode
from wq_package.worker.actions import (
    Action,
    Box,
    ComposeEnvironment,
    Disconnect,
    DropCall,
    EndedTask,
    ExamineEnvironment,
    KillCall,
    KillRun,
    Leave,
    PushResult,
    ReleaseLayer,
    RemoveEntry,
    RestEnvironment,
    ReturnCall,
    Send,
    SendCallResult,
    SendEntry,
    SendResults,
    StagedFile,
    StartCall,
    StartRun,
    WatchedPiece,
)
from wq_package.worker.events import (
    CallArrived,
    CallEnded,
    CallReturned,
    Clock,
    DiskChanged,
    Drain,
    EntryRefused,
    EntryStored,
    EnvironmentBroken,
    EnvironmentComposed,
    EnvironmentExamined,
    EnvironmentIdle,
    FunctionStored,
    LayerBroken,
    LayerClaimed,
    LayerStored,
    RunEnded,
    WatchedSize,
)
from wq_package.worker.greeting import render_greeting
from wq_package.worker.state import WorkerState, is_inside_name
from wq_package.worker.watching import LARGEST_PIECE

T = TypeVar("T")
NOW = 1000.0
WORKER = Box(cores=4, memory_mb=1000, disk_mb=1000, gpus=1)


def make_state(*, dialect: bool = False, capacity: Box = WORKER, protocol: int = 9) -> WorkerState:
    state = WorkerState(capacity, itertools.count(1), protocol)
    if dialect:
        assert state.handle(m.Hello(1, "s"), NOW) == []
        assert state.handle(FunctionStored("f"), NOW) == []
    return state


def make_task(number: int = 1, **fields: Any) -> m.TaskDescription:
    fields = {"command": "true", "cores": 1.0, "memory_mb": 1, "disk_mb": 1, "gpus": 0, **fields}
    return m.TaskDescription(number, **fields)


def arrive(number: int = 1, *, path: str = "", **fields: Any) -> CallArrived:
    fields = {"environment": "", "function": "f", "size": 1, "cores": 1.0, **fields}
    return CallArrived(m.CallTask(number, **fields), b"", path)


def find(actions: list[Action], kind: type[T]) -> list[T]:
    return [action for action in actions if isinstance(action, kind)]


def tell(results: SendResults) -> list[tuple[int, int]]:
    return [(each.result.task_id, each.result.status) for each in results.ended]


# -- command tasks -----------------------------------------------------------------------------------------------------


def test_task__fits__starts_at_once() -> None:
    state = make_state()

    actions = state.handle(make_task(), NOW)

    assert actions == [StartRun(1, make_task(), (), Box(1, 1, 1, 0))]
    assert state.running == 1


def test_task__nothing_declared__holds_the_whole_worker() -> None:
    state = make_state()

    first = state.handle(make_task(1, cores=None, memory_mb=None, disk_mb=None, gpus=None), NOW)
    second = state.handle(make_task(2), NOW)

    assert find(first, StartRun)[0].box == WORKER
    assert second == []


def test_task__no_room__starts_when_another_ends() -> None:
    state = make_state()
    state.handle(make_task(1, cores=4.0), NOW)
    assert state.handle(make_task(2, cores=3.0), NOW) == []

    actions = state.handle(RunEnded(1), NOW)

    assert [action.serial for action in find(actions, StartRun)] == [2]


def test_task__small_one_behind_a_large_one__fills_the_gap() -> None:
    state = make_state()
    state.handle(make_task(1, cores=3.0), NOW)
    state.handle(make_task(2, cores=2.0), NOW)

    assert [action.serial for action in find(state.handle(make_task(3), NOW), StartRun)] == [3]


def test_task__can_never_fit__is_forsaken_without_a_body() -> None:
    state = make_state()

    assert state.handle(make_task(7, cores=64.0), NOW) == [Send(m.AvailableResults())]
    assert state.handle(m.SendResults(-1), NOW) == [
        SendResults((EndedTask(m.Result(40, 0, 0, 0, 7), ""),), 0)
    ]


def test_task__input_never_sent__a_real_manager_is_dropped() -> None:
    state = make_state()

    actions = state.handle(make_task(inputs=(m.TaskFile("x", "x"),)), NOW)

    assert len(find(actions, Disconnect)) == 1


def test_task__input_never_sent__a_manager_of_protocol_11_is_told() -> None:
    state = make_state(protocol=11)

    assert state.handle(make_task(7, inputs=(m.TaskFile("x", "x"),)), NOW) == [Send(m.AvailableResults())]
    assert state.handle(m.SendResults(-1), NOW) == [SendResults((EndedTask(m.Result(1, 0, 0, 0, 7), ""),), 0)]


def test_task__input_never_sent__our_manager_is_told() -> None:
    state = make_state(dialect=True)

    actions = state.handle(make_task(inputs=(m.TaskFile("x", "x"),)), NOW)

    assert actions == [PushResult(EndedTask(m.Result(1, 0, 0, 0, 1), ""))]
    assert state.is_idle


def test_run_ended__our_manager__is_told_at_once_and_after_the_next_has_begun() -> None:
    state = make_state(dialect=True, capacity=Box(1, 10, 10))
    state.handle(make_task(1), NOW)
    state.handle(make_task(2), NOW)

    started, told = state.handle(RunEnded(1, usec=9, output="o", output_size=5), NOW)

    assert isinstance(started, StartRun)
    assert told == PushResult(EndedTask(m.Result(0, 0, 5, 9, 1), "o"))
    assert state.handle(m.Kill(1), NOW) == []  # it is forgotten
    assert state.handle(m.SendResults(-1), NOW) == [SendResults((), 1)]


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", ""])
def test_task__name_outside_its_sandbox__drops_the_manager(name: str) -> None:
    assert not is_inside_name(name)
    for fields in ({"outputs": (m.TaskFile("x", name),)}, {"folders": (name,)}):
        assert len(find(make_state().handle(make_task(**fields), NOW), Disconnect)) == 1


@pytest.mark.parametrize(
    ("event", "status", "exit_code", "size"),
    [
        (RunEnded(1, exit_code=3, usec=9, output="o", output_size=5), 0, 3, 5),
        (RunEnded(1, signal=9, usec=9, output="o", output_size=5), 0, 9, 5),
        (RunEnded(1, failure=ResultCode.DISK_FULL, usec=9, output="o", output_size=5), 64, 0, 5),
        (RunEnded(1, failure=ResultCode.UNKNOWN, usec=9, output="o", output_size=5), 32, 0, 5),
    ],
)
def test_run_ended__any_way__is_told_in_work_queue_s_numbers(
    event: RunEnded, status: int, exit_code: int, size: int
) -> None:
    state = make_state()
    state.handle(make_task(), NOW)

    assert state.handle(event, NOW) == [Send(m.AvailableResults())]
    told = find(state.handle(m.SendResults(-1), NOW), SendResults)[0]
    assert told == SendResults((EndedTask(m.Result(status, exit_code, size, 9, 1), "o"),), 0)


def test_results__announced_once_until_they_are_asked_for() -> None:
    state = make_state()
    for number in (1, 2, 3):
        state.handle(make_task(number), NOW)

    assert state.handle(RunEnded(1), NOW) == [Send(m.AvailableResults())]
    assert state.handle(RunEnded(2), NOW) == []
    assert tell(find(state.handle(m.SendResults(-1), NOW), SendResults)[0]) == [(1, 0), (2, 0)]
    assert state.handle(RunEnded(3), NOW) == [Send(m.AvailableResults())]


def watch(*names: str) -> m.TaskDescription:
    return make_task(outputs=tuple(m.TaskFile(f"out-{name}", name, m.FileFlags.WATCH) for name in names))


def test_watched_output__grows__is_announced_and_told_once() -> None:
    state = make_state()
    state.handle(watch("a", "b c"), NOW)
    assert state.list_watched() == [(1, "a")]
    assert state.handle(WatchedSize(1, "a", 0), NOW) == []
    assert state.handle(WatchedSize(1, "a", 5), NOW) == [Send(m.AvailableResults())]
    assert state.handle(WatchedSize(1, "a", 9), NOW) == []  # it is announced
    assert state.handle(m.SendResults(-1), NOW) == [SendResults((), 1, (WatchedPiece(1, 1, "a", 0, 9),))]
    assert state.handle(WatchedSize(1, "a", 9), NOW) == []
    state.handle(WatchedSize(1, "a", 2), NOW)  # begun anew
    assert state.handle(m.SendResults(-1), NOW) == [SendResults((), 1, (WatchedPiece(1, 1, "a", 0, 2),))]


def test_watched_output__much_at_once__is_told_in_pieces() -> None:
    state = make_state()
    state.handle(watch("a"), NOW)
    told: list[WatchedPiece] = []
    for _ in range(3):
        state.handle(WatchedSize(1, "a", LARGEST_PIECE + 7), NOW)
        told += find(state.handle(m.SendResults(-1), NOW), SendResults)[0].watched
    assert [(piece.offset, piece.size) for piece in told] == [(0, LARGEST_PIECE), (LARGEST_PIECE, 7)]


def test_watched_output__task_has_ended__is_not_told_any_more() -> None:
    state = make_state()
    state.handle(watch("a", "b"), NOW)
    state.handle(WatchedSize(1, "a", 5), NOW)
    state.handle(RunEnded(1), NOW)
    assert state.list_watched() == []
    assert state.handle(WatchedSize(1, "b", 5), NOW) == []
    assert find(state.handle(m.SendResults(-1), NOW), SendResults)[0].watched == ()


def test_check__is_answered_with_the_number_of_tasks() -> None:
    state = make_state()
    state.handle(make_task(), NOW)

    assert state.handle(m.Check(), NOW) == [Send(m.Alive()), Send(m.Info("tasks_running", "1"))]


def test_kill__runs__is_killed_and_never_told() -> None:
    state = make_state()
    state.handle(make_task(), NOW)

    assert state.handle(m.Kill(1), NOW) == [KillRun(1)]
    assert state.handle(RunEnded(1, output="o", outputs=(("c", 5),)), NOW) == [RemoveEntry(5), DropCall("o")]
    assert state.handle(m.SendResults(-1), NOW) == [SendResults((), 0)]
    assert state.is_idle


def test_kill__number_given_again_before_the_process_is_gone__the_new_task_is_another() -> None:
    state = make_state(capacity=Box(1, 100, 100))
    state.handle(make_task(), NOW)
    state.handle(m.Kill(1), NOW)
    state.handle(make_task(), NOW)

    actions = state.handle(RunEnded(1), NOW)

    assert [action.serial for action in find(actions, StartRun)] == [2]
    state.handle(RunEnded(2), NOW)
    assert tell(find(state.handle(m.SendResults(-1), NOW), SendResults)[0]) == [(1, 0)]


def test_kill__waits_or_has_ended__is_forgotten() -> None:
    state = make_state(capacity=Box(1, 100, 100))
    state.handle(make_task(1), NOW)
    state.handle(make_task(2), NOW)
    state.handle(RunEnded(1, output="o"), NOW)

    assert state.handle(m.Kill(1), NOW) == [DropCall("o")]
    assert state.handle(m.Kill(2), NOW) == [KillRun(2)]
    assert state.handle(m.Kill(99), NOW) == []
    assert state.handle(m.SendResults(-1), NOW) == [SendResults((), 1)]


def test_recall__what_has_not_begun__is_given_back_and_forgotten() -> None:
    state = make_state(dialect=True, capacity=Box(1, 10, 10))
    state.handle(make_task(1), NOW)
    state.handle(make_task(2), NOW)
    state.handle(arrive(3, path="arguments"), NOW)

    actions = state.handle(m.Recall((1, 2, 3, 4)), NOW)

    assert actions == [DropCall("arguments"), Send(m.Recalled((2, 3)))]
    ended = state.handle(RunEnded(1), NOW)
    assert [action.ended.result.task_id for action in find(ended, PushResult)] == [1]
    assert find(ended, StartRun) == []
    assert state.is_idle


def test_recall__waits_at_an_interpreter__is_given_back_if_that_has_not_begun_it() -> None:
    state = make_state(dialect=True, capacity=Box(1, 10, 10))
    warm_up(state, 100)
    running = find(state.handle(arrive(1), NOW), StartCall)[0].serial
    ahead = find(state.handle(arrive(2), NOW), StartCall)[0].serial

    assert state.handle(m.Recall((1, 2)), NOW) == [ReturnCall(running), ReturnCall(ahead)]
    assert state.handle(CallReturned(ahead), NOW) == [Send(m.Recalled((2,)))]
    assert find(state.handle(CallEnded(running, usec=100), NOW), SendCallResult)[0].result.task_id == 1
    assert (state.is_idle, state.used.cores) == (True, 0)


def test_recall__killed_meanwhile__is_not_given_back() -> None:
    state = make_state(dialect=True)
    serial = find(state.handle(arrive(1), NOW), StartCall)[0].serial
    state.handle(m.Recall((1,)), NOW)
    state.handle(m.Kill(1), NOW)

    assert state.handle(CallReturned(serial), NOW) == []
    assert state.is_idle


def test_kill__minus_one__ends_all() -> None:
    state = make_state()
    state.handle(make_task(1), NOW)
    state.handle(make_task(2), NOW)

    assert state.handle(m.Kill(-1), NOW) == [KillRun(1), KillRun(2)]


# -- time --------------------------------------------------------------------------------------------------------------


def test_clock__wall_time_over__is_killed_and_told_as_56() -> None:
    state = make_state()
    state.handle(make_task(wall_time=5.0), NOW)

    assert state.next_deadline == NOW + 5
    assert state.handle(Clock(), NOW + 4.9) == []
    assert state.handle(Clock(), NOW + 5) == [KillRun(1)]
    assert state.handle(Clock(), NOW + 6) == []
    state.handle(RunEnded(1, signal=9, output="o", output_size=2), NOW + 6)
    assert tell(find(state.handle(m.SendResults(-1), NOW), SendResults)[0]) == [(1, 56)]
    assert state.next_deadline is None


def test_clock__end_time_reached__is_told_as_24() -> None:
    state = make_state()
    state.handle(make_task(wall_time=50.0, end_time=NOW + 1), NOW)

    assert state.handle(Clock(), NOW + 1) == [KillRun(1)]
    state.handle(RunEnded(1, signal=9), NOW + 1)
    assert tell(find(state.handle(m.SendResults(-1), NOW), SendResults)[0]) == [(1, 24)]


def test_clock__wall_time_of_a_waiting_task__counts_from_its_start() -> None:
    state = make_state(capacity=Box(1, 100, 100))
    state.handle(make_task(1), NOW)
    state.handle(make_task(2, wall_time=5.0), NOW)

    assert state.next_deadline is None
    state.handle(RunEnded(1), NOW + 100)
    assert state.next_deadline == NOW + 105


def test_clock__call_over_its_wall_time__says_so() -> None:
    state = make_state(dialect=True)
    state.handle(arrive(wall_time=1.0), NOW)

    assert state.handle(Clock(), NOW + 1) == [KillCall(1)]
    ended = state.handle(CallEnded(1, ResultCode.INTERPRETER_LOST, signal=9, message="lost"), NOW + 1)
    result = find(ended, SendCallResult)[0].result
    assert (result.status, result.message) == ("wall time exceeded", "the call ran longer than its wall time")
    assert (result.usec, result.limit, result.allowed, result.used) == (1_000_000, "wall_time", 1.0, 1.0)


@pytest.mark.parametrize("code", [ResultCode.INTERPRETER_LOST, ResultCode.RESOURCE_EXHAUSTION])
def test_call__killed_before_it_could_tell__ran_until_then(code: ResultCode) -> None:
    state = make_state(dialect=True)
    state.handle(arrive(), NOW)

    ended = state.handle(CallEnded(1, code, signal=9), NOW + 2.5)
    assert find(ended, SendCallResult)[0].result.usec == 2_500_000


def test_call__never_begun__has_no_wall_time() -> None:
    state = make_state(dialect=True)
    state.handle(arrive(), NOW)

    ended = state.handle(CallEnded(1, ResultCode.ENVIRONMENT_FAILED), NOW + 2.5)
    assert find(ended, SendCallResult)[0].result.usec == 0


# -- cache entries -----------------------------------------------------------------------------------------------------


def test_entry__read_by_a_task__goes_when_both_unlinked_and_unread() -> None:
    state = make_state()
    state.handle(EntryStored("in", 7), NOW)
    actions = state.handle(make_task(inputs=(m.TaskFile("in", "in.txt", m.FileFlags.CACHE),)), NOW)

    assert find(actions, StartRun)[0].inputs == (StagedFile(7, "in.txt", is_private=False),)
    assert state.handle(m.Unlink("in"), NOW) == []
    assert RemoveEntry(7) in state.handle(RunEnded(1), NOW)


def test_entry__put_again_while_read__the_reader_keeps_the_old_one() -> None:
    state = make_state(capacity=Box(1, 100, 100))
    state.handle(EntryStored("in", 7), NOW)
    task = {"inputs": (m.TaskFile("in", "in.txt", m.FileFlags.CACHE),)}
    state.handle(make_task(1, **task), NOW)

    assert state.handle(EntryStored("in", 8), NOW) == []
    state.handle(make_task(2, **task), NOW)
    actions = state.handle(RunEnded(1), NOW)

    assert RemoveEntry(7) in actions
    assert find(actions, StartRun)[0].inputs[0].key == 8


@pytest.mark.parametrize("dialect", [False, True])
@pytest.mark.parametrize(("flags", "is_private"), [(m.FileFlags.NONE, True), (m.FileFlags.CACHE, False)])
def test_entry__linked__only_if_no_other_task_can_read_it(
    dialect: bool, flags: m.FileFlags, is_private: bool
) -> None:
    state = make_state(dialect=dialect)
    state.handle(EntryStored("in", 7), NOW)
    inputs = (m.TaskFile("in", "a", flags), m.TaskFile("in", "b", flags))

    staged = find(state.handle(make_task(inputs=inputs), NOW), StartRun)[0].inputs

    assert [file.is_private for file in staged] == [is_private, False]


def test_entry__refused__its_tasks_and_calls_end_because_the_disk_is_full_until_it_is_stored() -> None:
    state = make_state(dialect=True)
    state.handle(EntryStored("in", 7), NOW)
    assert state.handle(EntryRefused("in"), NOW) == [RemoveEntry(7)]
    inputs = (m.TaskFile("in", "in.txt", m.FileFlags.CACHE),)

    (pushed,) = find(state.handle(make_task(1, inputs=inputs), NOW), PushResult)
    assert pushed.ended.result.status == 64
    (sent,) = find(state.handle(arrive(2, inputs=inputs), NOW), SendCallResult)
    assert sent.result.status == ResultCode.DISK_FULL.value

    state.handle(EntryStored("in", 8), NOW)
    assert find(state.handle(make_task(3, inputs=inputs), NOW), StartRun)


def test_entry__refused_and_unlinked__is_only_missing() -> None:
    state = make_state(dialect=True)
    state.handle(EntryRefused("in"), NOW)
    state.handle(m.Unlink("in"), NOW)
    (pushed,) = find(state.handle(make_task(1, inputs=(m.TaskFile("in", "in.txt"),)), NOW), PushResult)
    assert pushed.ended.result.status == 1


def test_get__answers_with_what_is_there() -> None:
    state = make_state()
    state.handle(EntryStored("in", 7), NOW)

    assert state.handle(m.Get("in"), NOW) == [SendEntry("in", 7, is_recursive=True)]
    assert state.handle(m.Get("other", recursive=False), NOW) == [
        SendEntry("other", None, is_recursive=False)
    ]
    assert state.handle(m.Unlink("other"), NOW) == []


def test_run_ended__outputs__can_be_fetched() -> None:
    state = make_state()
    state.handle(make_task(), NOW)
    state.handle(RunEnded(1, outputs=(("out", 9),)), NOW)

    assert state.handle(m.Get("out"), NOW) == [SendEntry("out", 9, is_recursive=True)]
    assert state.handle(m.Unlink("out"), NOW) == [RemoveEntry(9)]


# -- calls -------------------------------------------------------------------------------------------------------------


def test_call__fits__starts_and_its_result_is_pushed() -> None:
    state = make_state(dialect=True)
    event = arrive()

    assert state.handle(event, NOW) == [StartCall(1, event.call, b"", "", (), is_ahead=False)]
    actions = state.handle(CallEnded(1, usec=7, size=3, output_size=1, body=b"abc"), NOW)
    assert actions == [SendCallResult(m.CallResult(1, "success", 0, 3, 1, 7), b"abc", "")]
    assert state.is_idle


def test_call__ends__the_next_starts_before_the_result_is_sent() -> None:
    state = make_state(dialect=True, capacity=Box(1, 10, 10))
    state.handle(arrive(1), NOW)
    state.handle(arrive(2), NOW)

    assert [type(action) for action in state.handle(CallEnded(1), NOW)] == [StartCall, SendCallResult]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"function": "unknown"}, "unknown"),
        ({"environment": "never offered"}, "environment cannot be used"),
        ({"cores": 64.0}, "no worker can run it"),
        ({"inputs": (m.TaskFile("x", "x"),)}, "input missing"),
        ({"outputs": (m.TaskFile("x", "../x"),)}, "unknown"),
    ],
)
def test_call__cannot_run__is_refused_with_a_sentence(fields: dict[str, Any], status: str) -> None:
    state = make_state(dialect=True)

    drop, send = state.handle(arrive(path="body", **fields), NOW)

    assert drop == DropCall("body")
    assert isinstance(send, SendCallResult)
    assert send.result.status == status
    assert send.result.message
    assert state.is_idle


def warm_up(state: WorkerState, usec: int) -> None:
    for number in itertools.count(1000):
        serial = find(state.handle(arrive(number), NOW), StartCall)[0].serial
        state.handle(CallEnded(serial, usec=usec), NOW)
        if number > 1050:
            return


def test_calls__short_and_alike__one_waits_behind_each_that_runs() -> None:
    state = make_state(dialect=True, capacity=Box(2, 10, 10))
    warm_up(state, 100)

    starts = [find(state.handle(arrive(number), NOW), StartCall) for number in range(1, 7)]

    assert [[each.is_ahead for each in start] for start in starts] == [
        [False],
        [False],
        [True],
        [True],
        [],
        [],
    ]
    # The place of one that ends goes to one that waited behind, and the next one is sent ahead.
    serial = starts[0][0].serial
    assert [each.is_ahead for each in find(state.handle(CallEnded(serial, usec=100), NOW), StartCall)] == [
        True
    ]


@pytest.mark.parametrize(
    "fields", [{"mode": "fork"}, {"wall_time": 9.0}, {"outputs": (m.TaskFile("x", "x"),)}]
)
def test_calls__not_simple__none_is_sent_ahead(fields: dict[str, Any]) -> None:
    state = make_state(dialect=True, capacity=Box(1, 10, 10))
    warm_up(state, 100)

    assert len(find(state.handle(arrive(1, **fields), NOW), StartCall)) == 1
    assert find(state.handle(arrive(2, **fields), NOW), StartCall) == []


def test_calls__long__none_is_sent_ahead() -> None:
    state = make_state(dialect=True, capacity=Box(1, 10, 10))
    warm_up(state, 100_000)

    assert len(find(state.handle(arrive(1), NOW), StartCall)) == 1
    assert find(state.handle(arrive(2), NOW), StartCall) == []


def test_calls__no_cores_declared__only_so_many_run_at_once() -> None:
    state = make_state(dialect=True, capacity=Box(2, 10, 10))

    starts = [state.handle(arrive(number, cores=0.0), NOW) for number in range(1, 40)]

    assert sum(len(find(actions, StartCall)) for actions in starts) == 16


def test_call__killed__its_outputs_and_answer_are_dropped() -> None:
    state = make_state(dialect=True)
    state.handle(arrive(), NOW)

    assert state.handle(m.Kill(1), NOW) == [KillCall(1)]
    assert state.handle(CallEnded(1, outputs=(("o", 3),), path="p"), NOW) == [RemoveEntry(3), DropCall("p")]
    assert state.handle(CallEnded(1), NOW) == []


# -- environments ------------------------------------------------------------------------------------------------------


def make_offer(name: str = "e", layers: tuple[str, ...] = ("a", "b")) -> m.EnvironmentOffer:
    return m.EnvironmentOffer(name, tuple(m.LayerName(layer, 1) for layer in layers), (), "")


def test_environment__layers_arrive__is_composed_and_its_calls_start() -> None:
    state = make_state(dialect=True)
    offer = make_offer()

    assert state.handle(offer, NOW) == [ExamineEnvironment(offer)]
    assert state.handle(arrive(environment="e"), NOW) == []
    assert state.handle(EnvironmentExamined("e", ("a", "b")), NOW) == [Send(m.LayersWanted("e", ("a", "b")))]
    assert state.handle(LayerStored("b"), NOW) == []
    assert state.handle(LayerStored("a"), NOW) == [ComposeEnvironment(offer)]
    ready, start = state.handle(EnvironmentComposed("e"), NOW)
    assert ready == Send(m.EnvironmentReady("e"))
    assert isinstance(start, StartCall)


def test_environment__all_layers_here__is_composed_at_once() -> None:
    state = make_state(dialect=True)
    state.handle(make_offer(), NOW)

    actions = state.handle(EnvironmentExamined("e", ()), NOW)

    assert actions == [Send(m.LayersWanted("e", ())), ComposeEnvironment(make_offer())]


def make_resting() -> WorkerState:
    """A worker that has an environment which was not used for long."""
    state = make_state(dialect=True)
    state.handle(make_offer(), NOW)
    state.handle(EnvironmentExamined("e", ()), NOW)
    state.handle(EnvironmentComposed("e"), NOW)
    assert state.handle(EnvironmentIdle("e"), NOW) == [RestEnvironment("e")]
    return state


def test_environment__rests__is_looked_after_for_the_first_call_only() -> None:
    state = make_resting()

    assert state.handle(arrive(1, environment="e"), NOW) == [ExamineEnvironment(make_offer())]
    assert state.handle(arrive(2, environment="e"), NOW) == []
    assert state.handle(EnvironmentExamined("e", ("a",)), NOW) == [Send(m.LayersWanted("e", ("a",)))]
    assert state.handle(LayerStored("a"), NOW) == [ComposeEnvironment(make_offer())]
    ready, *starts = state.handle(EnvironmentComposed("e"), NOW)
    assert ready == Send(m.EnvironmentReady("e"))
    assert len(find(starts, StartCall)) == 2


def test_environment__rests_and_is_offered_again__is_looked_after() -> None:
    assert make_resting().handle(make_offer(), NOW) == [ExamineEnvironment(make_offer())]


def test_environment__a_call_is_about_to_use_it__does_not_rest() -> None:
    state = make_state(dialect=True)
    state.handle(make_offer(), NOW)
    assert state.handle(EnvironmentIdle("e"), NOW) == [], "it is not even here"
    state.handle(EnvironmentExamined("e", ()), NOW)
    state.handle(EnvironmentComposed("e"), NOW)
    state.handle(arrive(environment="e"), NOW)
    assert state.handle(EnvironmentIdle("e"), NOW) == []
    state.handle(CallEnded(1), NOW)
    assert state.handle(EnvironmentIdle("e"), NOW) == [RestEnvironment("e")]


def test_environment__offered_again__is_ready_at_once() -> None:
    state = make_state(dialect=True)
    state.handle(make_offer(), NOW)
    assert state.handle(make_offer(), NOW) == []
    state.handle(EnvironmentExamined("e", ()), NOW)
    state.handle(EnvironmentComposed("e"), NOW)

    assert state.handle(make_offer(), NOW) == [Send(m.LayersWanted("e", ())), Send(m.EnvironmentReady("e"))]


def test_environments__sharing_a_layer__it_is_wanted_once() -> None:
    state = make_state(dialect=True)
    first, second = make_offer("e", ("a", "b")), make_offer("g", ("b", "c"))
    for offer in (first, second):
        state.handle(offer, NOW)
    state.handle(EnvironmentExamined("e", ("a", "b")), NOW)

    assert state.handle(EnvironmentExamined("g", ("b", "c")), NOW) == [Send(m.LayersWanted("g", ("c",)))]
    state.handle(LayerStored("a"), NOW)
    assert state.handle(LayerStored("b"), NOW) == [ComposeEnvironment(first)]
    assert state.handle(LayerStored("c"), NOW) == [ComposeEnvironment(second)]


def test_environment__layer_broken__fails_with_its_calls_and_may_be_offered_again() -> None:
    state = make_state(dialect=True)
    state.handle(make_offer(), NOW)
    state.handle(arrive(environment="e"), NOW)
    state.handle(EnvironmentExamined("e", ("a", "b")), NOW)

    assert state.handle(LayerBroken("a", "damaged"), NOW) == []  # `b` is still on its way
    failed, result = state.handle(LayerBroken("b", "late"), NOW)

    assert failed == Send(m.EnvironmentFailed("e", "damaged"))
    assert isinstance(result, SendCallResult)
    assert (result.result.status, result.result.message) == ("environment cannot be used", "damaged")
    assert find(state.handle(arrive(2, environment="e"), NOW), SendCallResult)[0].result.message == "damaged"
    assert state.handle(make_offer(), NOW) == [ExamineEnvironment(make_offer())]


def test_environment__one_layer_broken_and_the_others_here__fails_when_the_last_has_come() -> None:
    state = make_state(dialect=True)
    state.handle(make_offer(layers=("a", "b", "c")), NOW)
    state.handle(EnvironmentExamined("e", ("a", "b", "c")), NOW)

    assert state.handle(LayerStored("a"), NOW) == []
    assert state.handle(LayerBroken("b", "damaged"), NOW) == []
    assert state.handle(LayerStored("c"), NOW) == [Send(m.EnvironmentFailed("e", "damaged"))]


def test_environment__offered_anew_after_broken_layers__asks_for_all_that_is_missing() -> None:
    state = make_state(dialect=True)
    state.handle(make_offer(), NOW)
    state.handle(EnvironmentExamined("e", ("a", "b")), NOW)
    state.handle(LayerBroken("a", "damaged"), NOW)
    state.handle(LayerBroken("b", "damaged"), NOW)

    assert state.handle(make_offer(), NOW) == [ExamineEnvironment(make_offer())]
    assert state.handle(EnvironmentExamined("e", ("a", "b")), NOW) == [Send(m.LayersWanted("e", ("a", "b")))]


def test_environment__layers_on_their_way_to_another_worker__are_awaited_and_not_asked_for() -> None:
    state = make_state()
    state.handle(make_offer(), NOW)
    assert state.handle(EnvironmentExamined("e", (), ("a", "b")), NOW) == [Send(m.LayersWanted("e", ()))]
    assert state.handle(LayerStored("a"), NOW) == []
    assert state.handle(LayerStored("b"), NOW) == [ComposeEnvironment(make_offer())]


def test_environment__other_worker_gives_a_layer_up__it_is_asked_for() -> None:
    state = make_state()
    state.handle(make_offer(), NOW)
    state.handle(EnvironmentExamined("e", ("a",), ("b",)), NOW)
    assert state.handle(LayerClaimed("b"), NOW) == [Send(m.LayersWanted("e", ("b",)))]
    state.handle(LayerStored("b"), NOW)
    assert state.handle(LayerStored("a"), NOW) == [ComposeEnvironment(make_offer())]


def test_environment__claimed_layer_that_nobody_needs_any_more__is_released() -> None:
    state = make_state()
    state.handle(make_offer(), NOW)
    state.handle(EnvironmentExamined("e", ("a",), ("b",)), NOW)
    state.handle(LayerBroken("a", "damaged"), NOW)
    assert state.handle(LayerClaimed("b"), NOW) == [ReleaseLayer("b")]


def test_environment__refused_before_any_layer__still_answers_the_offer_first() -> None:
    state = make_state(dialect=True)
    state.handle(make_offer(), NOW)

    assert state.handle(EnvironmentBroken("e", "other machine"), NOW) == [
        Send(m.LayersWanted("e", ())),
        Send(m.EnvironmentFailed("e", "other machine")),
    ]


def test_environment__call_killed_while_it_waits__never_starts() -> None:
    state = make_state(dialect=True)
    state.handle(make_offer(), NOW)
    state.handle(arrive(environment="e", path="p"), NOW)

    assert state.handle(m.Kill(1), NOW) == [DropCall("p")]
    state.handle(EnvironmentExamined("e", ()), NOW)
    assert state.handle(EnvironmentComposed("e"), NOW) == [Send(m.EnvironmentReady("e"))]


# -- leaving -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("message", "is_final"), [(m.Exit(), True), (m.Release(), False)])
def test_exit_and_release__part(message: m.Exit | m.Release, is_final: bool) -> None:
    assert find(make_state().handle(message, NOW), Leave)[0].is_final == is_final


def test_drain__gives_back_what_waits_and_finishes_what_runs() -> None:
    state = make_state(dialect=True, capacity=Box(1, 100, 100))
    state.handle(make_task(1), NOW)
    state.handle(make_task(2), NOW)
    state.handle(arrive(3), NOW)
    state.handle(make_offer(), NOW)
    state.handle(arrive(4, environment="e"), NOW)

    actions = state.handle(Drain(), NOW)

    assert Send(m.Resource("cores", 0, 0, 0)) in actions
    refused = {action.result.task_id: action.result.status for action in find(actions, SendCallResult)}
    assert refused == {3: "no worker can run it", 4: "no worker can run it"}
    actions += state.handle(make_task(5), NOW) + state.handle(RunEnded(1), NOW)
    told = [action.ended.result for action in find(actions, PushResult)]
    assert [(result.task_id, result.status) for result in told] == [(2, 40), (5, 40), (1, 0)]


def test_greeting__is_that_of_real_workers_in_their_order() -> None:
    identity = m.Workqueue(9, "host", "Linux", "x86_64", "1")

    greeting = render_greeting(identity, "worker-1", ["gpu x"], WORKER, 0.0)

    assert greeting == (
        identity,
        m.Info("worker-id", "worker-1"),
        m.Feature("gpu x"),
        m.Alive(),
        m.Resource("workers", 1, 1, 1),
        m.Resource("disk", 1000, 1000, 1000),
        m.Resource("memory", 1000, 1000, 1000),
        m.Resource("gpus", 1, 1, 1),
        m.Resource("cores", 4, 4, 4),
        m.Resource("tag", 0, 0, 0),
        m.Info("end_of_resource_update", "0"),
        m.Info("tasks_running", "0"),
        m.Info("worker-end-time", "0"),
    )


# -- the disk ----------------------------------------------------------------------------------------------------------


def find_disk(actions: list[Action]) -> list[float]:
    sent = [action.message for action in find(actions, Send)]
    return [line.total for line in sent if isinstance(line, m.Resource) and line.name == "disk"]


def test_disk__has_changed__is_announced_and_counts() -> None:
    state = make_state(dialect=True)
    assert find_disk(state.handle(DiskChanged(500), NOW)) == [500]
    assert state.capacity.disk_mb == 500
    (started,) = find(
        state.handle(make_task(cores=None, memory_mb=None, disk_mb=None, gpus=None), NOW), StartRun
    )
    assert started.box.disk_mb == 500


def test_disk__grows__what_waited_for_it_starts() -> None:
    state = make_state()
    assert find(state.handle(make_task(1, disk_mb=800), NOW), StartRun)
    assert not find(state.handle(make_task(2, disk_mb=800), NOW), StartRun)
    (started,) = find(state.handle(DiskChanged(1600), NOW), StartRun)
    assert started.task.task_id == 2
    assert state.used.disk_mb == 1600


def test_disk__shrinks__what_can_never_run_here_is_given_back() -> None:
    state = make_state(dialect=True)
    state.handle(arrive(1, disk_mb=800), NOW)
    state.handle(arrive(2, disk_mb=800), NOW)
    state.handle(arrive(3), NOW)
    (refused,) = find(state.handle(DiskChanged(700), NOW), SendCallResult)
    assert refused.result.task_id == 2
    assert refused.result.status == ResultCode.FORSAKEN.value
    state.handle(CallEnded(1), NOW)
    state.handle(CallEnded(3), NOW)
    assert state.used == Box()


def test_disk__shrinks_while_whole_workers_wait__they_run_one_after_the_other() -> None:
    state = make_state(dialect=True)
    whole: dict[str, Any] = {"cores": None, "memory_mb": None, "disk_mb": None, "gpus": None}
    for number in (1, 2, 3):
        state.handle(arrive(number, **whole), NOW)
    state.handle(DiskChanged(400), NOW)
    for serial in (1, 2):
        (started,) = find(state.handle(CallEnded(serial), NOW), StartCall)
        assert started.serial == serial + 1
    state.handle(CallEnded(3), NOW)
    assert state.used == Box()
    assert state.is_idle


def test_disk__changes_while_draining__is_not_told() -> None:
    state = make_state()
    state.handle(Drain(), NOW)
    assert state.handle(DiskChanged(500), NOW) == []

from __future__ import annotations

from manager_peers import FUNCTION, connect, find_dispatched
from wq_package.manager.state import ManagerState, StateOptions
from wq_package.manager.state import events as e
from wq_package.manager.state.keeping import PATIENCE, SECONDS, find_patience
from wq_package.protocol import messages as m
from wq_package.resources import CategoryOptions, LabelMode
from wq_package.task import Call, Resources, ResultCode, Task

LABELLED = CategoryOptions(LabelMode.MIN_WASTE, guess=Resources(1, 1000, 100))
CALL = Call(FUNCTION, b"")
SMALL = Task(call=CALL, resources=Resources(1, 1000, 100), category="small")


def answer(task_id: int, memory: float = 10.0, *, worker: int = 1, is_exhausted: bool = False) -> e.Received:
    code = ResultCode.RESOURCE_EXHAUSTION if is_exhausted else ResultCode.SUCCESS
    message = m.CallResult(task_id, code.value, 0, 0, 0, 1_000_000, 0, 1_000_000, memory, 10.0)
    return e.Received(worker, message)


def make_state(workers: int = 1, retries: int = 1) -> ManagerState:
    """Make a state in which the first tasks are to be tried with all memory of a worker, and small tasks run and wait."""
    options = StateOptions(categories={"labelled": LABELLED}, look_ahead=0)
    state = ManagerState(options)
    for number in range(1, workers + 1):
        connect(state, number, cores=4, memory=4000, disk=4000)
    first = range(1, 1 + retries)
    task = Task(call=CALL, resources=Resources(cores=1, disk_mb=100), category="labelled")
    state.handle(*(e.Submitted(number, task) for number in first))
    state.handle(*(e.Submitted(number, SMALL) for number in range(1 + retries, 100)))
    for number in first:
        worker = state.tasks[number].worker
        assert worker is not None
        state.handle(answer(number, 1001, worker=worker.number, is_exhausted=True))
    assert not any(state.tasks[number].worker for number in first)
    return state


def finish_one(state: ManagerState, number: int = 1) -> list[int]:
    task_id = min(task_id for task_id in state.workers[number].tasks)
    return find_dispatched(state.handle(answer(task_id, worker=number)))


def test_retry__no_room_for_it__is_waited_for() -> None:
    state = make_state()

    assert [finish_one(state) for _ in range(3)] == [[], [], [1]]
    state.check()


def test_retry__needs_one_worker__others_are_not_kept() -> None:
    state = make_state(2)
    kept = next(number for number in (1, 2) if state.workers[number].kept_for)

    assert not state.workers[3 - kept].kept_for
    assert finish_one(state, 3 - kept) != []
    assert finish_one(state, kept) == []


def test_retry__is_placed__worker_is_for_all_again() -> None:
    state = make_state()
    for _ in range(3):
        finish_one(state)

    assert len(find_dispatched(state.handle(answer(1, 3000)))) == 4
    assert state.workers[1].kept_for is None


def test_retry__is_cancelled__worker_is_for_all_again() -> None:
    state = make_state()
    finish_one(state)
    state.handle(e.Cancelled(1))
    state.sweep()

    assert state.workers[1].kept_for is None
    assert len(state.workers[1].tasks) == 4


def test_retry__what_runs_there_does_not_end__worker_is_for_all_again() -> None:
    state = make_state()
    state.handle(e.Tick(10.0, 10.0))
    assert finish_one(state) == []
    state.handle(e.Tick(59.0, 59.0))
    assert find_dispatched(state.sweep()) == []
    state.handle(e.Tick(61.0, 61.0))

    assert len(find_dispatched(state.sweep())) == 2
    assert finish_one(state) != []
    state.handle(e.Tick(200.0, 200.0))
    state.sweep()
    assert finish_one(state) == []


def test_retry__more_urgent_task__does_not_wait_for_it() -> None:
    state = make_state()
    state.handle(e.Submitted(200, Task(call=CALL, resources=SMALL.resources, category="small", priority=5)))

    assert finish_one(state) == [200]


def test_retry__kept_worker_is_lost__another_is_kept() -> None:
    state = make_state(2)
    kept = next(number for number in (1, 2) if state.workers[number].kept_for)
    state.handle(e.WorkerGone(kept, "gone"))

    assert finish_one(state, 3 - kept) == []
    assert state.workers[3 - kept].kept_for is not None


def resize(state: ManagerState, number: int, **totals: int) -> None:
    said: list[m.ToManager] = [m.Resource(kind, total, total, total) for kind, total in totals.items()]
    said.append(m.Info("end_of_resource_update", "0"))
    state.handle(*(e.Received(number, each) for each in said))


def test_retry__kept_worker_has_become_too_small__is_for_all_again() -> None:
    state = make_state(2)
    kept = next(number for number in (1, 2) if state.workers[number].kept_for)
    resize(state, kept, memory=3000)

    assert state.workers[kept].kept_for is None
    assert finish_one(state, 3 - kept) == []
    assert finish_one(state, kept) != []


def test_retry__kept_worker_has_become_larger__others_are_for_all_again() -> None:
    state = make_state(2, retries=3)
    assert all(worker.kept_for for worker in state.workers.values())
    resize(state, 1, cores=8, memory=8000, disk=8000)

    assert state.workers[1].kept_for is not None
    assert state.workers[2].kept_for is None
    assert finish_one(state, 2) != []
    state.check()


def test_probing__many_wait__workers_are_divided_differently() -> None:
    state = ManagerState(StateOptions(default_category=CategoryOptions(LabelMode.ADAPTIVE), look_ahead=0))
    for number in range(1, 6):
        connect(state, number, cores=16, memory=16000, disk=16000)
    state.handle(*(e.Submitted(number, Task(call=CALL)) for number in range(1, 200)))

    assert [len(state.workers[number].tasks) for number in range(1, 6)] == [4, 16, 16, 16, 1]
    state.check()


def test_probing__few_wait__have_a_worker_each() -> None:
    state = ManagerState(StateOptions(default_category=CategoryOptions(LabelMode.ADAPTIVE), look_ahead=0))
    for number in range(1, 6):
        connect(state, number, cores=16, memory=16000, disk=16000)
    state.handle(*(e.Submitted(number, Task(call=CALL)) for number in range(1, 6)))

    assert [len(worker.tasks) for worker in state.workers.values()] == [1] * 5


def test_probing__part_is_too_small__is_tried_with_twice_as_much_within_the_maximum() -> None:
    options = CategoryOptions(LabelMode.ADAPTIVE, maximum=Resources(memory_mb=1500))
    state = ManagerState(StateOptions(default_category=options, look_ahead=0))
    connect(state, 1)  # of five, the second is the first that is divided finely
    connect(state, 2, cores=16, memory=16000, disk=16000)
    state.handle(e.WorkerGone(1, "gone"))
    state.handle(*(e.Submitted(number, Task(call=CALL)) for number in range(1, 17)))
    assert state.tasks[3].box == (1000, 1000, 1000, 0)

    state.handle(answer(3, 1001, worker=2, is_exhausted=True))
    state.handle(*(answer(number, worker=2) for number in (1, 2)))
    assert state.tasks[3].box == (2000, 1500, 2000, 0)
    results = state.handle(answer(3, 1501, worker=2, is_exhausted=True))

    assert 3 not in state.tasks, results
    state.check()


def test_probing__task_declares_some__is_given_that() -> None:
    state = ManagerState(StateOptions(default_category=CategoryOptions(LabelMode.ADAPTIVE), look_ahead=0))
    for number in (1, 2):
        connect(state, number, cores=16, memory=16000, disk=16000)
    task = Task(call=CALL, resources=Resources(memory_mb=4000))
    state.handle(*(e.Submitted(number, task) for number in range(1, 100)))

    assert {record.box for record in state.workers[2].tasks.values()} == {(1000, 4000, 1000, 0)}
    assert len(state.workers[2].tasks) == 4


def test_retries__of_two_kinds__each_has_a_worker_kept() -> None:
    state = ManagerState(StateOptions(default_category=LABELLED, look_ahead=0))
    for number in (1, 2):
        connect(state, number, cores=4, memory=4000, disk=4000)
    for task_id, category in ((1, "a"), (2, "b")):
        state.handle(e.Submitted(task_id, Task(call=CALL, category=category)))
    state.handle(*(e.Submitted(number, SMALL) for number in range(3, 100)))
    owners = {task_id: state.tasks[task_id].worker for task_id in (1, 2)}
    for task_id, worker in owners.items():
        assert worker is not None
        state.handle(answer(task_id, 1001, worker=worker.number, is_exhausted=True))
    kept = [worker.kept_for.category for worker in state.workers.values() if worker.kept_for]
    assert sorted(kept) == ["a", "b"]


def test_patience__with_what_is_known_of_the_category__follows_its_tasks() -> None:
    state = ManagerState(StateOptions(categories={"labelled": LABELLED}, look_ahead=0))
    connect(state, 1, cores=4, memory=4000, disk=4000)
    state.handle(e.Submitted(1, Task(call=CALL, category="labelled")))
    lane = state.tasks[1].lane
    assert find_patience(lane) == SECONDS
    state.handle(answer(1))
    assert find_patience(lane) == PATIENCE * 1.0

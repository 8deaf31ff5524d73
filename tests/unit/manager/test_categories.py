from __future__ import annotations

import pytest

from manager_peers import FUNCTION, answer_call, connect, find_dispatched, find_results
from wq_package.errors import QueueError
from wq_package.manager.state import ManagerState, StateOptions
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.manager.state.records import box_fits
from wq_package.protocol import messages as m
from wq_package.resources import CategoryOptions, LabelMode, Usage
from wq_package.task import Call, Resources, ResultCode, Task

LABELLED = CategoryOptions(LabelMode.MIN_WASTE, window=2)


def make_task(resources: Resources | None = None, category: str = "default") -> Task:
    return Task(call=Call(FUNCTION, b""), resources=resources or Resources(), category=category)


def make_state(options: CategoryOptions = LABELLED, **workers: float) -> ManagerState:
    state = ManagerState(StateOptions(default_category=options, look_ahead=0))
    connect(state, 1, **{"cores": 8, "memory": 8000, "disk": 8000, **workers})
    return state


def submit(state: ManagerState, first: int, count: int, task: Task | None = None) -> list[a.Action]:
    task = task or make_task()
    return state.handle(*(e.Submitted(number, task) for number in range(first, first + count)))


def answer(
    task_id: int,
    memory: float,
    *,
    worker: int = 1,
    disk: float = 10.0,
    cores: float = 1.0,
    is_exhausted: bool = False,
) -> e.Received:
    status = ResultCode.RESOURCE_EXHAUSTION if is_exhausted else ResultCode.SUCCESS
    message = m.CallResult(
        task_id, status.value, 0, 0, 0, 1_000_000, 0, int(cores * 1e6), float(memory), float(disk)
    )
    return e.Received(worker, message)


def find_boxes(actions: list[a.Action]) -> dict[int, tuple[float | None, int | None, int | None]]:
    return {
        action.message.task_id: (action.message.cores, action.message.memory_mb, action.message.disk_mb)
        for action in actions
        if isinstance(action, a.Dispatch)
    }


def test_labels__nothing_known__runs_on_whole_workers() -> None:
    state = make_state()

    assert find_boxes(submit(state, 1, 3)) == {1: (8, 8000, 8000)}


@pytest.mark.parametrize("options", [LABELLED, CategoryOptions()])
def test_labels__tasks_of_labelled_categories__are_held_to_their_box(options: CategoryOptions) -> None:
    (dispatch,) = submit(make_state(options), 1, 1)

    assert isinstance(dispatch, a.Dispatch)
    assert dispatch.message.is_enforced == options.is_labelled


def test_labels__enough_measured__packs_the_others_at_once() -> None:
    state = make_state()
    submit(state, 1, 20)
    state.handle(answer(1, 500))
    actions = state.handle(answer(2, 500))

    assert find_boxes(actions) == dict.fromkeys(range(3, 11), (1, 500, 10))
    state.check()


def test_labels__each_category__learns_alone() -> None:
    state = make_state()
    submit(state, 1, 1)
    state.handle(answer(1, 500))
    submit(state, 2, 1)
    state.handle(answer(2, 500))

    assert find_boxes(submit(state, 3, 1, make_task(category="other"))) == {3: (8, 8000, 8000)}


def test_labels__category_without_options__is_given_what_it_declares() -> None:
    state = ManagerState(StateOptions(categories={"labelled": LABELLED}))
    connect(state, 1, cores=8, memory=8000, disk=8000)

    assert find_boxes(submit(state, 1, 2, make_task(Resources(1, 100, 100)))) == {
        1: (1, 100, 100),
        2: (1, 100, 100),
    }
    state.handle(answer(1, 7000), answer(2, 7000))
    assert find_boxes(submit(state, 3, 1, make_task(Resources(1, 100, 100)))) == {3: (1, 100, 100)}


def _teach(state: ManagerState, *memories: float, first: int = 1) -> int:
    for number, memory in enumerate(memories, first):
        submit(state, number, 1)
        state.handle(answer(number, memory))
    return first + len(memories)


def test_labels__task_declares_some__label_fills_the_rest() -> None:
    state = make_state()
    task_id = _teach(state, 500, 500)

    boxes = find_boxes(submit(state, task_id, 1, make_task(Resources(memory_mb=2000))))

    assert boxes == {task_id: (1, 2000, 10)}


def test_labels__category_has_limits__label_keeps_within_them() -> None:
    limits = CategoryOptions(
        LabelMode.MAX, Resources(cores=2, disk_mb=100), Resources(memory_mb=600), window=2
    )
    state = make_state(limits)

    assert find_boxes(submit(state, 1, 1)) == {1: (8, 600, 8000)}
    state.handle(answer(1, 550))
    submit(state, 2, 1)
    state.handle(answer(2, 550))
    assert find_boxes(submit(state, 3, 1)) == {3: (2, 600, 250)}


def test_labels__fixed_category_with_limits__fills_what_is_not_declared() -> None:
    limits = CategoryOptions(minimum=Resources(memory_mb=200), maximum=Resources(1, 600, 700))
    state = make_state(limits)

    assert find_boxes(submit(state, 1, 1)) == {1: (1, 600, 700)}
    assert find_boxes(submit(state, 2, 1, make_task(Resources(memory_mb=900)))) == {2: (1, 900, 700)}
    assert find_boxes(submit(state, 3, 1, make_task(Resources(memory_mb=100)))) == {3: (1, 200, 700)}


def test_labels__guess__is_used_from_the_start() -> None:
    state = make_state(CategoryOptions(LabelMode.MAX_THROUGHPUT, guess=Resources(1, 1000, 100)))

    assert find_boxes(submit(state, 1, 2)) == {1: (1, 1000, 100), 2: (1, 1000, 100)}


def test_exhaustion__label_was_too_small__is_tried_with_the_most_seen_then_with_all() -> None:
    state = make_state()
    task_id = _teach(state, 100, 100, 100, 100, 100, 2000)
    assert find_boxes(submit(state, task_id, 1)) == {task_id: (1, 250, 10)}

    again = find_boxes(state.handle(answer(task_id, 260, is_exhausted=True)))
    assert again == {task_id: (1, 2000, 10)}
    whole = find_boxes(state.handle(answer(task_id, 2100, is_exhausted=True)))
    assert whole == {task_id: (8, 8000, 8000)}

    results = find_results(state.handle(answer(task_id, 8100, is_exhausted=True)))
    assert results[task_id].code is ResultCode.RESOURCE_EXHAUSTION
    state.check()


def test_exhaustion__retry__overtakes_the_others() -> None:
    state = make_state()
    task_id = _teach(state, 100, 100, 100, 100, 100, 2000)
    submit(state, task_id, 100)

    actions = state.handle(answer(task_id, 260, is_exhausted=True))

    assert find_dispatched(actions)[0] == task_id


@pytest.mark.parametrize(("waiting", "step"), [(0, -1), (50, 1)])
def test_exhaustion__nobody_else_waits__takes_the_step_that_surely_is_enough(waiting: int, step: int) -> None:
    state = make_state(CategoryOptions(LabelMode.ADAPTIVE, window=10), cores=1, memory=64000, disk=64000)
    labels = state.categories.find("default").labels
    assert labels is not None
    for memory in [2000, 2000, 2000, 2000, 2000, 6000, 6000, 6000, 14000, 14000] * 20:
        labels.observe(Usage(0, memory, 10, 60.0), Resources(1, 64000, 64000))
    assert len(labels.ladder) > 2
    submit(state, 1, 1 + waiting)

    again = find_boxes(state.handle(answer(1, (labels.ladder[0].memory_mb or 0) + 1, is_exhausted=True)))

    assert again[1][1] == labels.ladder[step].memory_mb


def test_exhaustion__above_what_the_task_declares__is_an_error() -> None:
    state = make_state()
    task_id = _teach(state, 100, 100)
    submit(state, task_id, 1, make_task(Resources(memory_mb=200)))

    results = find_results(state.handle(answer(task_id, 201, is_exhausted=True)))

    assert results[task_id].code is ResultCode.RESOURCE_EXHAUSTION


def test_exhaustion__above_the_categorys_maximum__is_an_error() -> None:
    # The original compares with the task's own declaration only, and tries such a task for ever.
    state = make_state(CategoryOptions(LabelMode.MAX, maximum=Resources(memory_mb=600), window=2))
    task_id = _teach(state, 100, 100)
    submit(state, task_id, 1)

    retried = state.handle(answer(task_id, 400, is_exhausted=True))
    assert find_boxes(retried) == {task_id: (8, 600, 8000)}
    results = find_results(state.handle(answer(task_id, 601, is_exhausted=True)))

    assert results[task_id].code is ResultCode.RESOURCE_EXHAUSTION


def test_exhaustion__no_label__is_an_error() -> None:
    state = make_state(CategoryOptions())
    submit(state, 1, 1, make_task(Resources(1, 100, 100)))

    assert find_results(state.handle(answer(1, 200, is_exhausted=True)))[1].code is (
        ResultCode.RESOURCE_EXHAUSTION
    )


def test_exhaustion__small_worker__is_tried_on_the_largest() -> None:
    state = make_state(cores=1, memory=500, disk=500)
    connect(state, 2, cores=8, memory=8000, disk=8000)
    submit(state, 1, 2)
    (small,) = [task_id for task_id in (1, 2) if state.tasks[task_id].worker is state.workers[1]]

    assert not find_dispatched(state.handle(answer(small, 501, is_exhausted=True)))
    actions = state.handle(answer(3 - small, 100, worker=2))

    assert find_dispatched(actions, 2) == [small]


def test_labels__larger_than_every_worker_left__gives_whole_workers() -> None:
    state = make_state()
    task_id = _teach(state, 6000, 6000)
    state.handle(e.WorkerGone(1, "gone"))
    connect(state, 2, cores=4, memory=4000, disk=4000)
    assert not find_dispatched(submit(state, task_id, 1))

    state.sweep()

    assert state.tasks[task_id].worker is state.workers[2]


@pytest.mark.parametrize("mode", [LabelMode.MIN_WASTE, LabelMode.MAX_THROUGHPUT])
def test_labels__short_calls_read_more_cores_than_any_worker_has__still_fit(mode: LabelMode) -> None:
    # 10 ms of processor time, as the clock tells it, in 8.4 ms: 1.19 cores, which would be 2.
    state = make_state(CategoryOptions(mode, window=2), cores=1)
    for task_id in range(1, 8):
        submit(state, task_id, 1)
        state.handle(answer(task_id, 100, cores=1.19))

    ((cores, memory, _),) = find_boxes(submit(state, 8, 1)).values()

    assert (cores, state.categories.records["default"].label is not None) == (1, True)
    assert memory is not None
    assert memory < 8000


def test_exhaustion__measured_on_more_cores_than_there_are__teaches_none_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Usage] = []
    state = make_state()
    labels = state.categories.find("default").labels
    assert labels is not None

    def note(_labels: object, usage: Usage, *_: object, **__: object) -> bool:
        seen.append(usage)
        return False

    monkeypatch.setattr(type(labels), "observe_exhaustion", note)
    task_id = _teach(state, 100, 100)
    submit(state, task_id, 1)
    state.handle(answer(task_id, 200, cores=500, is_exhausted=True))
    assert [usage.cores for usage in seen] == [8]


def test_labels__measured_on_more_cores_than_there_are_by_a_worker_that_leaves__keep_to_what_there_was() -> (
    None
):
    state = make_state(cores=4)
    submit(state, 1, 2, make_task(Resources(2, 100, 100)))
    state.handle(*_drain(1))
    state.handle(answer(1, 100, cores=500), answer(2, 100, cores=500))
    assert (state.categories.records["default"].label or Resources()).cores == 4


def test_exhaustion__worker_is_leaving_and_there_is_no_other__is_tried_again_when_one_comes() -> None:
    state = make_state()
    task_id = _teach(state, 100, 100)
    submit(state, task_id, 1)
    state.handle(*_drain(1))

    assert not find_results(state.handle(answer(task_id, 400, is_exhausted=True)))

    connect(state, 2, cores=8, memory=8000, disk=8000)
    assert state.tasks[task_id].worker is state.workers[2]
    assert state.tasks[task_id].box[1] > 400


def _drain(worker: int) -> list[e.Received]:
    """What a worker says that takes nothing more."""
    kinds = ("cores", "memory", "disk", "gpus")
    said: list[m.ToManager] = [m.Resource(kind, 0, 0, 0) for kind in kinds]
    said.append(m.Info("end_of_resource_update", "0"))
    return [e.Received(worker, message) for message in said]


def test_labels__results_that_were_not_measured__teach_nothing() -> None:
    state = make_state()
    for number in range(1, 4):
        submit(state, number, 1)
        state.handle(answer_call(1, number))

    assert find_boxes(submit(state, 4, 1)) == {4: (8, 8000, 8000)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0},
        {"minimum": Resources(memory_mb=-1)},
        {"guess": Resources(cores=float("nan"))},
        {"minimum": Resources(cores=2), "maximum": Resources(cores=1)},
    ],
)
def test_category_options__senseless__are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(QueueError):
        CategoryOptions(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_talk__4_and_3_cores__share_8_with_one_more() -> None:
    state = make_state(CategoryOptions())

    boxes = [find_boxes(submit(state, n, 1, make_task(Resources(n, 100, 100)))) for n in (4, 3, 1, 2)]

    assert [bool(box) for box in boxes] == [True, True, True, False]


def test_talk__disk_not_declared__does_not_share() -> None:
    state = make_state(CategoryOptions())

    boxes = [find_boxes(submit(state, n, 1, make_task(Resources(n, 100)))) for n in (4, 3, 1)]

    assert boxes == [{4: (4, 100, 8000)}, {}, {}]


def test_categories__very_many__forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wq_package.manager.state.categories.CATEGORIES_KEPT", 4)
    state = make_state()

    for number in range(1, 7):
        submit(state, number, 1, make_task(category=f"c{number}"))

    assert list(state.categories.records) == ["c3", "c4", "c5", "c6"]


def test_lanes__very_many__idle_ones_follow_no_label_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wq_package.manager.state.placement.LANES_KEPT", 2)
    state = make_state()
    for number in range(1, 5):
        submit(state, number, 1, make_task(Resources(memory_mb=1000 + number)))
        state.handle(answer(number, 500))

    assert len(state.categories.records["default"].lanes) <= 2
    assert find_boxes(submit(state, 5, 1)) == {5: (1, 500, 10)}


def test_box__larger_than_the_worker__is_not_sent_ahead_either() -> None:
    assert not box_fits((2000, 10, 10, 0), [0, 0, 0, 0], (1000, 1000, 1000, 0), 17)
    assert box_fits((1000, 10, 10, 0), [1000, 10, 10, 0], (1000, 1000, 1000, 0), 17)


def test_labels__more_cores_measured_than_any_worker_has__are_the_grain_of_the_clocks() -> None:
    state = make_state()
    for number in (1, 2):
        submit(state, number, 1)
        state.handle(answer(number, 500, cores=9.2))
    label = state.categories.records["default"].label
    assert label is not None
    assert label.cores == 8


def test_exhaustion__nothing_was_measured__is_tried_with_more_of_everything() -> None:
    state = make_state()
    task_id = _teach(state, 500, 500)
    assert find_boxes(submit(state, task_id, 1)) == {task_id: (1, 500, 10)}
    assert find_boxes(state.handle(answer(task_id, -1, disk=-1, is_exhausted=True))) == {
        task_id: (8, 8000, 8000)
    }

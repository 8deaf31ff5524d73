from __future__ import annotations

import random

from manager_peers import FUNCTION, connect, find_dispatched
from wq_package.manager.state import ManagerState, StateOptions
from wq_package.manager.state import events as e
from wq_package.manager.state.records import WorkerRecord
from wq_package.manager.state.room import RoomIndex
from wq_package.resources import CategoryOptions, LabelMode
from wq_package.task import Call, Resources, Task


def make_worker(number: int, total: tuple[int, int]) -> WorkerRecord:
    worker = WorkerRecord(number, "", 0.0)
    worker.total = (total[0], total[1], 1000, 0)
    return worker


def find(index: RoomIndex, needed: Resources) -> set[int]:
    return {worker.number for worker in index.iter_roomy(needed)}


def test_index__random_loads__lists_everyone_who_has_room() -> None:
    rng = random.Random(4)
    index, workers = RoomIndex(), [make_worker(number, (16_000, 64_000)) for number in range(50)]
    for _ in range(500):
        worker = rng.choice(workers)
        worker.used[:2] = [rng.randint(0, 16_000), rng.randint(0, 64_000)]
        for each in workers:
            index.update(each)
        needed = Resources(rng.randint(1, 16), rng.randint(1, 64_000))
        roomy = {
            each.number
            for each in workers
            if 16_000 - each.used[0] >= (needed.cores or 0) * 1000
            and 64_000 - each.used[1] >= (needed.memory_mb or 0)
        }
        assert roomy <= find(index, needed)


def test_index__full_workers__are_passed_over() -> None:
    index, worker = RoomIndex(), make_worker(1, (4000, 4000))
    index.update(worker)
    assert find(index, Resources(1, 1000)) == {1}
    worker.used[:2] = [4000, 1000]
    index.update(worker)

    assert find(index, Resources(1, 1000)) == set()
    assert find(index, Resources()) == {1}
    index.remove(worker)
    index.remove(worker)
    assert find(index, Resources()) == set()


def test_placement__many_workers__finds_the_ones_that_have_room() -> None:
    state = ManagerState(StateOptions(look_ahead=0))
    for number in range(1, 101):
        connect(state, number, cores=4, memory=4000, disk=4000)

    def submit(first: int, count: int, *box: int) -> list[int]:
        task = Task(call=Call(FUNCTION, b""), resources=Resources(*box))
        return find_dispatched(
            state.handle(*(e.Submitted(number, task) for number in range(first, first + count)))
        )

    assert len(submit(1, 100, 3, 1000, 10)) == 100
    assert len(submit(101, 200, 1, 2000, 10)) == 100
    assert submit(301, 1, 1, 100, 10) == []
    assert all(worker.used[0] == 4000 for worker in state.workers.values())
    state.check()


def test_placement__nothing_is_known_and_the_maximum_is_above_every_worker__parts_find_room() -> None:
    category = CategoryOptions(LabelMode.ADAPTIVE, maximum=Resources(8, 8000))
    state = ManagerState(StateOptions(default_category=category, look_ahead=0))
    for number in range(1, 101):
        connect(state, number, cores=4, memory=4000, disk=4000)

    tasks = [e.Submitted(number, Task(call=Call(FUNCTION, b""))) for number in range(1, 401)]

    assert len(find_dispatched(state.handle(*tasks))) == 60 * 4 + 20 * 2
    state.check()

"""Which workers are kept for tasks that are tried again with more (logic module).

Knows lanes, boxes and workers. A task that needs a large box finds none while every bit of room that comes free is taken by
tasks that need less. So workers are kept for it until they have room: as many as the waiting retries can fill, and none for
longer than its tasks may be expected to end in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from wq_package.manager.state.records import Box, Lane, WorkerRecord, count_boxes

PATIENCE = 5.0
"""For how many times the mean duration of a category's tasks a worker is kept, and then is not for as long."""
SECONDS = 60.0
"""The same in seconds, if no such task has ended yet."""

BoxFinder = Callable[[Lane, WorkerRecord], Box]


class Keeping:
    """The workers that are kept for some lane."""

    def __init__(self, find_box: BoxFinder) -> None:
        self._find_box = find_box
        self._kept: dict[int, WorkerRecord] = {}

    def count(self) -> int:
        """Count the workers that are kept."""
        return len(self._kept)

    def keep(self, lane: Lane, candidates: Iterable[WorkerRecord], epoch: float) -> None:
        """Keep as many more workers as the ready tasks of this lane can fill, those with most room first.

        Args:
            lane: whose tasks found no room.
            candidates: workers that are not kept and could run them if they were idle.
            epoch: the time.
        """
        missing = lane.count - sum(self._count_slots(lane, worker) for worker in self._list_kept(lane))
        if missing <= 0:
            return
        rest = find_patience(lane)
        free = [worker for worker in candidates if epoch - worker.kept_since >= rest]
        for worker in sorted(free, key=lambda worker: self._find_room(lane, worker), reverse=True):
            if missing <= 0:
                return
            worker.kept_for, worker.kept_since = lane, epoch
            self._kept[worker.number] = worker
            missing -= self._count_slots(lane, worker)

    def release_spare(self) -> list[WorkerRecord]:
        """Release the workers that their lanes do not need any more; list them."""
        if not self._kept:
            return []
        released = []
        left: dict[int, int] = {}
        for worker in list(self._kept.values()):
            lane = worker.kept_for
            assert lane is not None
            if left.setdefault(id(lane), lane.count) <= 0:
                self._release(worker, -math.inf)
                released.append(worker)
            else:
                left[id(lane)] -= self._count_slots(lane, worker)
        return released

    def release_overdue(self, epoch: float) -> list[WorkerRecord]:
        """Release the workers that have been kept for too long: what runs there does not end; list them."""
        overdue = [
            worker
            for worker in self._kept.values()
            if worker.kept_for is not None and epoch - worker.kept_since > find_patience(worker.kept_for)
        ]
        for worker in overdue:
            self._release(worker, epoch)
        return overdue

    def forget(self, worker: WorkerRecord) -> None:
        """Forget a worker that is gone."""
        self._kept.pop(worker.number, None)
        worker.kept_for = None

    def _release(self, worker: WorkerRecord, since: float) -> None:
        del self._kept[worker.number]
        worker.kept_for, worker.kept_since = None, since

    def _list_kept(self, lane: Lane) -> list[WorkerRecord]:
        return [worker for worker in self._kept.values() if worker.kept_for is lane]

    def _count_slots(self, lane: Lane, worker: WorkerRecord) -> int:
        return count_boxes(self._find_box(lane, worker), worker.total)

    def _find_room(self, lane: Lane, worker: WorkerRecord) -> float:
        """Find how many such boxes there is room for now."""
        box = self._find_box(lane, worker)
        return min(
            (
                (have - used) / need
                for need, used, have in zip(box, worker.used, worker.total, strict=True)
                if need
            ),
            default=1.0,
        )


def is_kept_from(worker: WorkerRecord, lane: Lane) -> bool:
    """Tell whether a worker is kept for another lane, whose tasks are at least as urgent."""
    holder = worker.kept_for
    if holder is None or holder is lane:
        return False
    mine, other = lane.find_head(), holder.find_head()
    return mine is None or other is None or mine.task.priority <= other.task.priority


def find_patience(lane: Lane) -> float:
    """Find for how many seconds a worker is kept for a lane."""
    means = [
        each.mean_seconds
        for each in (lane, *lane.category_record.lanes.values())
        if each.mean_seconds is not None
    ]
    return PATIENCE * max(means) if means else SECONDS

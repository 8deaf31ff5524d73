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
        self._kept: dict[Lane, dict[int, WorkerRecord]] = {}
        """In the order in which they were taken."""
        self._slots: dict[int, int] = {}
        """By worker: how many tasks of the lane that it is kept for it can run at a time."""
        self._sums: dict[Lane, int] = {}

    def count(self) -> int:
        """Count the workers that are kept."""
        return len(self._slots)

    def keep(self, lane: Lane, candidates: Iterable[WorkerRecord], epoch: float) -> None:
        """Keep as many more workers as the ready tasks of this lane can fill, those with most room first.

        Args:
            lane: whose tasks found no room.
            candidates: workers that are not kept and could run them if they were idle.
            epoch: the time.
        """
        missing = lane.count - self._sums.get(lane, 0)
        if missing <= 0:
            return
        rest = find_patience(lane)
        free = [worker for worker in candidates if epoch - worker.kept_since >= rest]
        for worker in sorted(free, key=lambda worker: self._find_room(lane, worker), reverse=True):
            if missing <= 0:
                return
            missing -= self._take(lane, worker, epoch)

    def _take(self, lane: Lane, worker: WorkerRecord, epoch: float) -> int:
        worker.kept_for, worker.kept_since = lane, epoch
        slots = self._slots[worker.number] = self._count_slots(lane, worker)
        self._kept.setdefault(lane, {})[worker.number] = worker
        self._sums[lane] = self._sums.get(lane, 0) + slots
        return slots

    def recount(self, worker: WorkerRecord) -> None:
        """Note that a worker has another total than before; it is not kept if that is too little."""
        lane = worker.kept_for
        if lane is None:
            return
        slots = self._count_slots(lane, worker)
        if not slots:
            self._release(worker, -math.inf)
            return
        self._sums[lane] += slots - self._slots[worker.number]
        self._slots[worker.number] = slots

    def release_spare(self) -> list[WorkerRecord]:
        """Release the workers that their lanes do not need any more, the newest first; list them."""
        released = []
        for lane in list(self._kept):
            workers = self._kept[lane]
            while workers:
                worker = workers[next(reversed(workers))]
                if self._sums[lane] - self._slots[worker.number] < lane.count:
                    break
                self._release(worker, -math.inf)
                released.append(worker)
        return released

    def release_overdue(self, epoch: float) -> list[WorkerRecord]:
        """Release the workers that have been kept for too long: what runs there does not end; list them."""
        overdue = [
            worker
            for lane, workers in self._kept.items()
            for worker in workers.values()
            if epoch - worker.kept_since > find_patience(lane)
        ]
        for worker in overdue:
            self._release(worker, epoch)
        return overdue

    def forget(self, worker: WorkerRecord) -> None:
        """Forget a worker that is gone."""
        self._release(worker, worker.kept_since)

    def _release(self, worker: WorkerRecord, since: float) -> None:
        lane, worker.kept_for, worker.kept_since = worker.kept_for, None, since
        if lane is None:
            return
        self._sums[lane] -= self._slots.pop(worker.number)
        del self._kept[lane][worker.number]
        if not self._kept[lane]:
            del self._kept[lane], self._sums[lane]

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

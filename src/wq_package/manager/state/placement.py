"""Which ready task goes to which worker next (logic module).

Knows lanes, boxes and workers, and nothing of messages. It keeps one promise between two calls of `place`: no ready
task could be placed on any worker. So there is something to do only when a worker has gained room or when a lane that
was empty has a task, and the length of the queue costs nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from wq_package.manager.state.categories import Categories
from wq_package.manager.state.keeping import Keeping, is_kept_from
from wq_package.manager.state.options import StateOptions
from wq_package.manager.state.records import (
    Box,
    EnvironmentRecord,
    EnvironmentStage,
    Lane,
    LaneKey,
    TaskRecord,
    WorkerRecord,
    box_fits,
    count_boxes,
    decode_box,
    encode_box,
    need_processor,
)
from wq_package.manager.state.room import LargestTotal, RoomIndex
from wq_package.resources import compute_box, count_parts
from wq_package.task import Resources, Task

LANES_TRIED = 256
"""How many lanes that do not fit are tried in one pass; a `Tick` tries them all."""
LANES_KEPT = 10_000
"""How many lanes are remembered before the empty ones are forgotten, with what they have learnt."""
BOXES_KEPT = 256
FEW_WORKERS = 4
"""Up to how many workers that gained room, it is asked first whether any of them has enough for a lane."""
MANY_WORKERS = 64
"""From how many workers on those that have room are looked up, and not found by trying one after the other."""
WORKERS_COMPARED = 32
"""Among how many workers with room the one that holds most of a task's inputs is looked for."""
SECONDS_AHEAD = 0.02
"""How much work is kept waiting at a worker: some round trips, so that it never idles between two short tasks."""
SHORT_SECONDS = 0.25
"""Tasks that run longer on average never wait at a worker while another may become free."""

Dispatcher = Callable[[TaskRecord, WorkerRecord, Box], None]
Offerer = Callable[[WorkerRecord, EnvironmentRecord], None]


class Placement:
    """The ready tasks and the workers that may take them."""

    def __init__(self, options: StateOptions, categories: Categories) -> None:
        self._options = options
        self._categories = categories
        self._largest = LargestTotal()
        self.epoch = 0.0
        self.lanes: dict[LaneKey, Lane] = {}
        self.environments: dict[str, EnvironmentRecord] = {}
        self.workers: dict[int, WorkerRecord] = {}
        self._dialect_workers = 0
        self._waiting: dict[LaneKey, Lane] = {}
        self._freed: dict[int, WorkerRecord] = {}
        self._grown: dict[LaneKey, Lane] = {}
        self._hungry: dict[LaneKey, Lane] = {}
        self._keeping = Keeping(self._find_box)
        self._room = RoomIndex()
        self._most_lanes = LANES_KEPT

    # -- what changes -------------------------------------------------------------------------------------------------

    def find_lane(self, task: Task, allotment: Resources | None = None) -> Lane:
        """Find the lane of a task, or of a retry with this allotment, or open it."""
        environment = task.environment
        key = (
            environment.digest if environment else "",
            task.call is not None,
            task.wall_time is None,
            task.category,
            task.resources,
            task.running_time_min or 0.0,
            allotment,
        )
        lane = self.lanes.get(key)
        if lane is None:
            if len(self.lanes) >= self._most_lanes:
                self._forget_idle_lanes()
            category = self._categories.find(task.category)
            lane = self.lanes[key] = Lane(key, self._find_environment(task), *key[1:], category)
            self._categories.enlist(lane)
            if lane.environment:
                lane.environment.lanes[key] = lane
        return lane

    def _forget_idle_lanes(self) -> None:
        """Forget the lanes without ready tasks; those that come back to the queue have their lane looked up again."""
        for key in [key for key, lane in self.lanes.items() if not lane.count]:
            lane = self.lanes.pop(key)
            self._categories.dismiss(lane)
            if lane.environment is not None:
                del lane.environment.lanes[key]
        self._most_lanes = max(LANES_KEPT, 2 * len(self.lanes))  # not to look at all of them for each new one

    def _find_environment(self, task: Task) -> EnvironmentRecord | None:
        if task.environment is None:
            return None
        return self.environments.setdefault(task.environment.digest, EnvironmentRecord(task.environment))

    def add(self, record: TaskRecord, *, at_front: bool = False) -> None:
        """Put a ready task into its lane."""
        lane = record.lane
        if not lane.count:
            self._waiting[lane.key] = self._grown[lane.key] = lane
            lane.is_warned = False
        if lane.environment is not None and lane.is_call:
            self._hungry[lane.key] = lane
        lane.push(record, at_front=at_front)

    def add_worker(self, worker: WorkerRecord) -> None:
        """Let a worker take tasks."""
        self.workers[worker.number] = worker
        self.note_total(worker)
        self._dialect_workers += worker.is_dialect

    def remove_worker(self, worker: WorkerRecord) -> None:
        """Let a worker take nothing more."""
        if self.workers.pop(worker.number, None) is not None:
            self._dialect_workers -= worker.is_dialect
            self._largest.forget()
        self._freed.pop(worker.number, None)
        self._keeping.forget(worker)
        self._room.remove(worker)

    def find_largest(self) -> Resources:
        """Find the most that any worker has of each resource; while all are gone or leaving, the most that any had."""
        return self._largest.find(self.workers.values())

    def note_total(self, worker: WorkerRecord) -> None:
        """Note that a worker has another total than before."""
        self._largest.note(worker.total)
        self._keeping.recount(worker)
        self.free(worker)

    def free(self, worker: WorkerRecord) -> None:
        """Note that a worker has gained room, or an environment."""
        if worker.number in self.workers:
            self._freed[worker.number] = worker
            self._room.update(worker)

    def want_environment(self, lane: Lane) -> None:
        """Note that more workers may have to prepare the environment of a lane."""
        self._hungry[lane.key] = lane

    def reconsider(self) -> None:
        """Try every lane on every worker next time."""
        self._freed.update(self.workers)

    def release_overdue(self) -> None:
        """Let everybody have the workers that have been kept for too long."""
        for worker in self._keeping.release_overdue(self.epoch):
            self.free(worker)

    # -- what follows -------------------------------------------------------------------------------------------------

    def place(self, dispatch: Dispatcher, offer: Offerer, *, all_lanes: bool = False) -> None:
        """Place every ready task that can be placed, oldest and most urgent first."""
        while self._freed or self._grown or self._hungry:
            self._place_all(dispatch, all_lanes=all_lanes)
            self._offer_environments(offer)
            self._forget_empty_lanes()
            self._freed.clear()
            self._grown.clear()
            for worker in self._keeping.release_spare():
                self.free(worker)

    def _place_all(self, dispatch: Dispatcher, *, all_lanes: bool) -> None:
        lanes = self._waiting if self._freed else self._grown
        heap = [self._rank(lane) for lane in lanes.values() if lane.find_head() is not None]
        heapq.heapify(heap)
        tries = len(heap) if all_lanes else LANES_TRIED
        while heap and tries > 0:
            lane = heap[0][2]
            if not self._may_have_room(lane) or not self._place_lane(
                lane, min(heap[1:3], default=None), dispatch
            ):
                tries -= 1
                heapq.heappop(heap)
                continue
            heapq.heapreplace(heap, self._rank(lane))

    def _may_have_room(self, lane: Lane) -> bool:
        """Tell whether there may be room for a task of a lane; it is known at once if few workers have gained room."""
        if len(self._freed) > FEW_WORKERS or lane.allotment is not None:
            return True
        if self._grown and lane.key in self._grown:
            return True
        times = 1 + self._count_ahead(lane)
        for worker in self._freed.values():
            if box_fits(self._find_box(lane, worker), worker.used, worker.total, times):
                return True
        return False

    @staticmethod
    def _rank(lane: Lane) -> tuple[float, int, Lane]:
        head = lane.find_head()
        assert head is not None
        return (-head.task.priority, head.task_id, lane)

    def _place_lane(self, lane: Lane, rival: tuple[float, int, Lane] | None, dispatch: Dispatcher) -> bool:
        """Place tasks of one lane until it has nothing more, no room, or a more urgent rival; tell whether it may go on."""
        times = 1
        limit = 1 + self._count_ahead(lane)
        while (head := lane.find_head()) is not None:
            if rival is not None and (-head.task.priority, head.task_id) > rival[:2]:
                return True
            chosen = self._choose(lane, head, times)
            if chosen is None:
                if times >= limit:
                    self._keep_workers(lane)
                    return False
                times = limit
                continue
            lane.pop(head)
            dispatch(head, chosen, self._find_box(lane, chosen))
            self._rotate(chosen)
        return False

    def _keep_workers(self, lane: Lane) -> None:
        """Keep workers for tasks that are tried with more and find no room."""
        if lane.allotment is None or self._keeping.count() == len(self.workers):
            return
        able = (
            worker
            for worker in self.workers.values()
            if worker.kept_for is None and self.could_fit(lane, worker) and self._may_run(lane, worker)
        )
        self._keeping.keep(lane, islice(able, WORKERS_COMPARED), self.epoch)

    def _rotate(self, worker: WorkerRecord) -> None:
        number = worker.number
        if self.workers.pop(number, None) is not None:
            self.workers[number] = worker
            self._room.update(worker)
        if self._freed.pop(number, None) is not None:
            self._freed[number] = worker

    def _choose(self, lane: Lane, head: TaskRecord, times: int) -> WorkerRecord | None:
        best: WorkerRecord | None = None
        best_score = -1
        compared = 0
        for worker in self._iter_candidates(lane, times):
            if not self._may_run(lane, worker) or not box_fits(
                self._find_box(lane, worker), worker.used, worker.total, 1 if worker.is_held else times
            ):
                continue
            if head.avoided == worker.number and len(self.workers) > 1:
                continue
            if not head.inputs:
                return worker
            score = sum(staged.size + 1 for staged in head.inputs if staged.cache_name in worker.files)
            if score > best_score:
                best, best_score = worker, score
            compared += 1
            if compared >= WORKERS_COMPARED:
                break
        return best

    def _iter_candidates(self, lane: Lane, times: int) -> Iterable[WorkerRecord]:
        candidates = self.workers if lane.key in self._grown else self._freed
        if times > 1 or len(candidates) < MANY_WORKERS:
            return candidates.values()
        # A part of a worker may be smaller than what the category may use at most, which counts as declared.
        least = lane.resources if lane.is_probing else lane.declared
        return (worker for worker in self._room.iter_roomy(least) if worker.number in candidates)

    def _may_run(self, lane: Lane, worker: WorkerRecord) -> bool:
        if worker.kept_for is not None and is_kept_from(worker, lane):
            return False
        if worker.refused and lane.key in worker.refused:
            return False
        if lane.running_time_min and not worker.stays(lane.running_time_min, self.epoch):
            return False
        environment = lane.environment
        if environment is None or not lane.is_call or not worker.is_dialect:
            return True
        return environment.told.get(worker.number) is EnvironmentStage.READY

    def is_cut_to(self, record: TaskRecord, worker: WorkerRecord) -> bool:
        """Tell whether a task that a worker has would get the same box there now."""
        return record.box == self._find_box(record.lane, worker)

    def _find_box(self, lane: Lane, worker: WorkerRecord) -> Box:
        if lane.is_probing:
            return self._find_part(lane, worker)
        box = lane.boxes.get(worker.total)
        if box is None:
            if len(lane.boxes) >= BOXES_KEPT:  # a worker's free disk changes all the time
                lane.boxes.clear()
            box = lane.boxes[worker.total] = self._make_box(lane, lane.declared, worker)
        return box

    def _find_part(self, lane: Lane, worker: WorkerRecord) -> Box:
        """Find the box of a task for which there is no label yet: a part of the worker."""
        parts = count_parts(worker.number, worker.total[0] / 1000, lane.crowd / max(1, len(self.workers)))
        box = lane.parts.get((worker.total, parts))
        if box is None:
            if len(lane.parts) >= BOXES_KEPT:
                lane.parts.clear()
            given = lane.declared if parts == 1 else self._categories.find_part(lane, worker.total, parts)
            box = lane.parts[worker.total, parts] = self._make_box(lane, given, worker)
        return box

    def _make_box(self, lane: Lane, given: Resources, worker: WorkerRecord) -> Box:
        minimum = lane.category_record.options.minimum
        resources = compute_box(given, decode_box(worker.total), rule=self._options.rule, minimum=minimum)
        return need_processor(encode_box(resources))

    def _count_ahead(self, lane: Lane) -> int:
        mean = lane.mean_seconds
        if mean is None or not lane.may_wait or mean > SHORT_SECONDS:
            return 0
        return min(self._options.look_ahead, 1 + int(SECONDS_AHEAD / max(mean, 0.0001)))

    def _forget_empty_lanes(self) -> None:
        for key in [key for key, lane in self._waiting.items() if not lane.count]:
            del self._waiting[key]

    # -- environments ---------------------------------------------------------------------------------------------------

    def _offer_environments(self, offer: Offerer) -> None:
        for lane in [*self._hungry.values(), *(self._waiting.values() if self._freed else ())]:
            if lane.environment is not None and lane.is_call and lane.count:
                self._offer(lane, lane.environment, offer)
        self._hungry.clear()

    def _offer(self, lane: Lane, environment: EnvironmentRecord, offer: Offerer) -> None:
        """Let as many workers prepare the environment as its waiting tasks can fill."""
        if len(environment.told) >= self._dialect_workers:
            return
        missing = environment.count_ready() - sum(
            self._count_slots(lane, self.workers[number])
            for number, stage in environment.told.items()
            if stage is EnvironmentStage.STAGING and number in self.workers
        )
        for worker in self._list_untold(lane, environment) if missing > 0 else ():
            environment.told[worker.number] = EnvironmentStage.STAGING
            worker.environments[environment.environment.digest] = environment
            offer(worker, environment)
            missing -= self._count_slots(lane, worker)
            if missing <= 0:
                return

    def _list_untold(self, lane: Lane, environment: EnvironmentRecord) -> list[WorkerRecord]:
        untold = [
            worker
            for worker in self.workers.values()
            if worker.is_dialect and worker.number not in environment.told and self.could_fit(lane, worker)
        ]
        return sorted(untold, key=lambda worker: len(worker.tasks))

    def _count_slots(self, lane: Lane, worker: WorkerRecord) -> int:
        return count_boxes(self._find_box(lane, worker), worker.total)

    def could_fit(self, lane: Lane, worker: WorkerRecord) -> bool:
        """Tell whether the worker could run a task of this lane if it were idle."""
        return worker.stays(lane.running_time_min, self.epoch) and box_fits(
            self._find_box(lane, worker), [0, 0, 0, 0], worker.total
        )

    def has_other(self, lane: Lane, worker: WorkerRecord) -> bool:
        """Tell whether another worker could run a task of this lane if it were idle."""
        return any(
            self.could_fit(lane, other) and lane.key not in other.refused
            for other in self.workers.values()
            if other is not worker
        )

    def is_hopeless(self, environment: EnvironmentRecord) -> bool:
        """Tell whether every connected worker has failed to use this environment."""
        return bool(self.workers) and all(
            environment.told.get(worker.number) is EnvironmentStage.FAILED for worker in self.workers.values()
        )

    def iter_waiting(self) -> Iterator[Lane]:
        """Go over the lanes that have ready tasks."""
        yield from [lane for lane in self._waiting.values() if lane.count]

    def count_waiting(self) -> int:
        """Count the ready tasks."""
        return sum(lane.count for lane in self._waiting.values())

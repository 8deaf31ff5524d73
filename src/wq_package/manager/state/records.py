"""What the manager's state machine remembers of tasks, workers and environments (logic module).

These records change and never leave the state machine. A box is held as four whole numbers, cores in thousandths, so
that adding and taking away never drifts.
"""

from __future__ import annotations

import enum
import heapq
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import le

from wq_package.manager.state.events import StagedInput
from wq_package.manager.state.uses import KINDS, UseOfKind
from wq_package.protocol.messages import DIALECT_FEATURE
from wq_package.resources import CategoryOptions, Labels
from wq_package.task import Environment, Resources, Task, TaskResult

Box = tuple[int, int, int, int]
"""Thousandths of a core, MB of memory, MB of disk, gpus."""

NO_BOX: Box = (0, 0, 0, 0)
KILLED_REMEMBERED = 4096
"""How many killed task ids are remembered per worker, so that their late results are not taken for lies."""


def encode_box(resources: Resources) -> Box:
    """Turn resources into whole numbers; what is not declared counts as nothing."""
    return (
        round((resources.cores or 0) * 1000),
        int(resources.memory_mb or 0),
        int(resources.disk_mb or 0),
        int(resources.gpus or 0),
    )


def need_processor(box: Box) -> Box:
    """Let a task without a core and without a gpu, as on a worker that has none, fit nowhere."""
    return box if box[0] or box[3] else (1, box[1], box[2], 0)


def decode_box(box: Box) -> Resources:
    """Turn whole numbers back into resources."""
    return Resources(box[0] / 1000, box[1], box[2], box[3])


def box_fits(box: Box, used: list[int], total: Box, times: int = 1) -> bool:
    """Tell whether a box that fits into this total fits beside what is used into `times` of it."""
    return (
        used[0] + box[0] <= total[0] * times
        and used[1] + box[1] <= total[1] * times
        and used[2] + box[2] <= total[2] * times
        and used[3] + box[3] <= total[3] * times
        and (times == 1 or all(map(le, box, total)))
    )


def count_boxes(box: Box, total: Box) -> int:
    """Count how many such boxes fit into this total."""
    return min((have // need for need, have in zip(box, total, strict=True) if need), default=1)


class TaskState(enum.Enum):
    """Where a task is."""

    READY = "waiting"
    """In the queue."""
    RUNNING = "running"
    """At a worker, which may still be waiting for its inputs or for room."""
    FETCHING = "waiting retrieval"
    """It has ended; its outputs are on their way."""
    DONE = "done"
    """It has a result. Its record may still stand in the queue, where it is passed over."""


@dataclass(slots=True, eq=False)
class TaskRecord:
    """A task and what has become of it so far."""

    task_id: int
    task: Task
    lane: Lane
    inputs: tuple[StagedInput, ...] = ()
    state: TaskState = TaskState.READY
    losses: int = 0
    serial: int = 0
    """Which of its category's tasks it was, in the order in which they were first given to a worker."""
    box: Box = NO_BOX
    worker: WorkerRecord | None = None
    run: RunRecord | None = None
    queued_since: float | None = None
    """Since when it is known to wait behind others at its worker."""
    began: float | None = None
    """Since when it is known that it may run, if anybody wants to know."""
    is_recalled: bool = False
    times_slow: int = 0
    """How often it was taken from a worker because it took too long there."""
    avoided: int = 0
    """The worker that it is not to go to again, as long as another one will do: those behind it wait, or for a sweep."""

    @property
    def is_limited(self) -> bool:
        """Whether it may not use more than its box: because it says so, or because that is how labels are found."""
        return self.task.enforce_limits or self.lane.category_record.labels is not None

    def forget_attempt(self) -> None:
        """Be as if no worker had had it, but for how that ended."""
        self.state = TaskState.READY
        self.worker = self.queued_since = self.began = None
        self.run = None if self.run is None else RunRecord()
        self.is_recalled = False


@dataclass(slots=True, eq=False)
class RunRecord:
    """One attempt to run a task that has files; a plain call has none of this."""

    inputs: tuple[StagedInput, ...] = ()
    outputs: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """Sandbox name → (cache name, path or `None`)."""
    missing: list[str] = field(default_factory=list)
    answer: bytes = b""
    message: str = ""
    started: float | None = None
    result: TaskResult | None = None
    awaited: int = 0


LaneKey = tuple[str, bool, bool, str, Resources, float, Resources | None]
"""Environment, is it a call, may it wait at a worker, category, declared resources, least running time, what is allotted
to a retry."""


@dataclass(slots=True, eq=False)
class Lane:
    """Ready tasks that can take each other's place: same environment, same kind, same declared resources.

    Oldest first within a priority. Tasks that lost their worker come back to the front.

    Attributes:
        resources: what the tasks themselves declare.
        allotment: what they are tried with because they needed more than their label; `None` for first tries.
        declared: what they are given in the end, with the label and the category's limits; see `Categories`.
    """

    key: LaneKey
    environment: EnvironmentRecord | None
    is_call: bool
    may_wait: bool
    category: str
    resources: Resources
    running_time_min: float
    allotment: Resources | None
    category_record: CategoryRecord
    declared: Resources = Resources()  # noqa: RUF009 - it is frozen
    queues: dict[float, deque[TaskRecord]] = field(default_factory=dict)
    order: list[float] = field(default_factory=list)
    """A heap of the negated priorities that have a queue."""
    count: int = 0
    ended: int = 0
    """How many in the queues are not ready any more."""
    boxes: dict[Box, Box] = field(default_factory=dict)
    """By the worker's total."""
    parts: dict[tuple[Box, int], Box] = field(default_factory=dict)
    """The same, by the worker's total and into how many parts that is divided for want of a label."""
    is_probing: bool = False
    """Whether its tasks are given parts of a worker for want of a label."""
    crowd: int = 0
    """How many were ready at once, at most."""
    mean_seconds: float | None = None
    is_warned: bool = False
    unservable_since: float | None = None

    def push(self, record: TaskRecord, *, at_front: bool = False) -> None:
        """Add a ready task."""
        priority = record.task.priority
        queue = self.queues.get(priority)
        if queue is None:
            queue = self.queues[priority] = deque()
            heapq.heappush(self.order, -priority)
        if at_front:
            queue.appendleft(record)
        else:
            queue.append(record)
        self.count += 1
        self.crowd = max(self.crowd, self.count)

    def find_head(self) -> TaskRecord | None:
        """Find the next task to run; forget those that were cancelled meanwhile."""
        while self.order:
            priority = -self.order[0]
            queue = self.queues[priority]
            while queue:
                if queue[0].state is TaskState.READY:
                    return queue[0]
                queue.popleft()
                self.ended -= 1
            del self.queues[priority]
            heapq.heappop(self.order)
        return None

    def pop(self, record: TaskRecord) -> None:
        """Take the task that `find_head` has found."""
        self.queues[record.task.priority].popleft()
        self.count -= 1

    def forget_one(self) -> None:
        """Note that one of the ready tasks has been cancelled; sweep when most of them have."""
        self.count -= 1
        self.ended += 1
        if self.ended > self.count + 64:
            self.ended = 0
            for queue in self.queues.values():
                ready = [record for record in queue if record.state is TaskState.READY]
                queue.clear()
                queue.extend(ready)

    def drain(self) -> Iterator[TaskRecord]:
        """Take every ready task."""
        while (record := self.find_head()) is not None:
            self.pop(record)
            yield record

    def note_duration(self, seconds: float) -> None:
        """Learn how long such tasks run."""
        mean = self.mean_seconds
        self.mean_seconds = seconds if mean is None else mean + 0.1 * (seconds - mean)


@dataclass(slots=True, eq=False)
class CategoryRecord:
    """A category's options, statistics and lanes."""

    name: str
    options: CategoryOptions
    labels: Labels | None
    lanes: dict[LaneKey, Lane] = field(default_factory=dict)
    """The lanes of first tries, which follow the label."""
    uses: tuple[UseOfKind, ...] = field(default_factory=lambda: tuple(UseOfKind() for _ in KINDS))
    measured: int = 0
    exhausted: int = 0
    at_full: int = 0
    relabelled: int = 0

    @property
    def label(self) -> Resources | None:
        """What a task that declares nothing is given at first; `None` if nothing is known yet."""
        ladder = self.labels.ladder if self.labels is not None else ()
        return ladder[0] if ladder else None


class EnvironmentStage(enum.Enum):
    """How far an environment has come on one worker."""

    STAGING = "staging"
    READY = "ready"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class EnvironmentRecord:
    """An environment that tasks need, and the workers that have been told of it."""

    environment: Environment
    lanes: dict[LaneKey, Lane] = field(default_factory=dict)
    failure: str = ""
    told: dict[int, EnvironmentStage] = field(default_factory=dict)
    """Worker number → how far it is."""

    def count_ready(self) -> int:
        """Count the tasks that wait for it."""
        return sum(lane.count for lane in self.lanes.values())


@dataclass(slots=True, eq=False)
class WorkerRecord:
    """A connected peer; a worker once its greeting is complete (`is_ready`)."""

    number: int
    address: str
    connected: float
    version: int = 0
    hostname: str = "unknown"
    system: str = ""
    machine: str = ""
    software: str = ""
    worker_id: str = ""
    features: set[str] = field(default_factory=set)
    totals: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    has_tag: bool = False
    names_asked: int = 0
    end_time: float | None = None
    is_ready: bool = False
    is_leaving: bool = False
    total: Box = NO_BOX
    used: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    tasks: dict[int, TaskRecord] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    environments: dict[str, EnvironmentRecord] = field(default_factory=dict)
    refused: dict[LaneKey, float] = field(default_factory=dict)
    killed: dict[int, None] = field(default_factory=dict)
    transfers: int = 0
    last_heard: float = 0.0
    last_check: float = 0.0
    last_result: float = 0.0
    nudges: int = 0
    """How often it was woken since."""
    tasks_done: int = 0
    is_slow: bool = False
    """Whether a task was taken from it because it took too long, and none has ended in time since."""
    held_until: float = 0.0
    is_held: bool = False
    """Whether nothing is sent ahead to it, because something long is in the way."""
    kept_for: Lane | None = None
    """Whose tasks it is kept for until it has room for them."""
    kept_since: float = -math.inf
    """Since when; or, if it is not, when it was last kept in vain."""
    joined_epoch: float = 0.0

    @property
    def is_dialect(self) -> bool:
        """Whether the worker is one of ours."""
        return DIALECT_FEATURE in self.features

    @property
    def label(self) -> str:
        """What people call it."""
        return f"{self.hostname}:{self.worker_id or self.address}"

    def stays(self, seconds: float, epoch: float) -> bool:
        """Tell whether the worker has so many seconds left; one that told no end has."""
        return not seconds or not self.end_time or self.end_time - epoch >= seconds

    def take(self, box: Box) -> None:
        """Count a box as used."""
        used = self.used
        used[0] += box[0]
        used[1] += box[1]
        used[2] += box[2]
        used[3] += box[3]

    def give_back(self, box: Box) -> None:
        """Count a box as free."""
        used = self.used
        used[0] -= box[0]
        used[1] -= box[1]
        used[2] -= box[2]
        used[3] -= box[3]

    def remember_kill(self, task_id: int) -> None:
        """Remember that a result of this task may still come, and means nothing."""
        self.killed[task_id] = None
        if len(self.killed) > KILLED_REMEMBERED:
            del self.killed[next(iter(self.killed))]

    def find_suspects(self) -> set[int]:
        """Find the tasks that may have been running, as opposed to waiting for room at the worker."""
        used, suspects = [0, 0, 0, 0], set[int]()
        for task_id, record in self.tasks.items():
            if record.state is not TaskState.RUNNING or not box_fits(record.box, used, self.total):
                continue
            suspects.add(task_id)
            for position, amount in enumerate(record.box):
                used[position] += amount
        return suspects

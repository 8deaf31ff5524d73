"""Tasks as the worker's state remembers them (value module).

Knows what a task or call is and how far it is. Knows nothing of what is decided about it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from wq_package.protocol import messages as wire
from wq_package.task import ResultCode
from wq_package.worker.actions import Action, Box, KillCall, KillRun, StagedFile

__all__ = [
    "AHEAD_BELOW_USEC",
    "WORKER_PYTHON",
    "Group",
    "Phase",
    "TaskRecord",
    "find_deadline",
    "is_inside_name",
    "is_whole",
    "iter_sandbox_names",
    "make_kill",
]

WORKER_PYTHON = ""
"""The name of the environment that is the worker's own Python."""

AHEAD_BELOW_USEC = 10_000
"""Calls that are shorter than this may wait at a host behind one that runs."""


class Phase(enum.Enum):
    """How far a task is."""

    WAITING = enum.auto()
    RUNNING = enum.auto()
    ENDED = enum.auto()


@dataclass(slots=True)
class Group:
    """Calls that are alike in what they hold and where they run; some may wait behind those that run."""

    box: Box
    running: int = 0
    ahead: int = 0
    usec: float = AHEAD_BELOW_USEC * 2.0  # a running mean; nothing goes ahead until we know
    can_be_ahead: bool = False
    is_whole: bool = False

    def renew(self, box: Box) -> Group:
        """Make the group that takes its place when the whole worker is another one than before."""
        return Group(box, usec=self.usec, can_be_ahead=self.can_be_ahead, is_whole=True)


@dataclass(slots=True)
class TaskRecord:
    """One task or call.

    Attributes:
        began: when it was started.
        reason: why we ended it ourselves.
        is_forgotten: the manager wants no result.
    """

    serial: int
    task: wire.TaskDescription | wire.CallTask
    box: Box
    phase: Phase = Phase.WAITING
    inputs: tuple[StagedFile, ...] = ()
    arguments: bytes = b""
    path: str = ""
    began: float = 0.0
    deadline: float | None = None
    reason: ResultCode | None = None
    is_forgotten: bool = False
    group: Group | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it declares nothing, and so holds the whole worker."""
        return is_whole(self.task)


def is_whole(task: wire.TaskDescription | wire.CallTask) -> bool:
    """Whether a task declares nothing, and so holds the whole worker."""
    return task.cores is None and task.memory_mb is None and task.disk_mb is None and task.gpus is None


def iter_sandbox_names(task: wire.TaskDescription | wire.CallTask) -> Iterator[str]:
    """Iterate over the names that a task has in its sandbox."""
    for file in (*task.inputs, *task.outputs):
        yield file.sandbox_name
    if isinstance(task, wire.TaskDescription):
        yield from task.folders


def is_inside_name(name: str) -> bool:
    """Whether a sandbox name stays inside the sandbox."""
    return bool(name) and not name.startswith("/") and ".." not in name.split("/") and "\0" not in name


def make_kill(record: TaskRecord) -> Action:
    """Make what ends a task that runs."""
    return (
        KillRun(record.serial) if isinstance(record.task, wire.TaskDescription) else KillCall(record.serial)
    )


def find_deadline(task: wire.TaskDescription | wire.CallTask, now: float) -> float | None:
    """Find when a task that starts now must have ended."""
    limits = [task.end_time] if task.end_time else []
    if task.wall_time:
        limits.append(now + task.wall_time)
    return min(limits, default=None)

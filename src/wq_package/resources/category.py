"""What can be set about a category, and what is measured of its tasks (value module).

Knows resources as numbers and the names of the label modes; nothing of how a label is found.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field

from wq_package.errors import QueueError
from wq_package.task import Measurement, Resources

__all__ = ["CategoryOptions", "LabelMode", "Usage", "find_usage"]

WINDOW = 25
ADAPTIVE_WINDOW = 5
NEARLY_A_CORE = 0.1
"""Measured cores are an average, and noisy: this much above a whole number still counts as that number."""


class LabelMode(enum.Enum):
    """How a category's tasks get their label: what a task that declares nothing is given at first."""

    FIXED = "fixed"
    """No label: what is declared, and a whole worker for what is not."""
    MAX = "max"
    """A little more than the most that was ever used."""
    MIN_WASTE = "min-waste"
    """What wastes least, given that whoever needs more is run again with the most."""
    MAX_THROUGHPUT = "max-throughput"
    """What lets most tasks end in a given time, given the same."""
    ADAPTIVE = "adaptive"
    """Several steps from small to large that commit least of a worker all in all; old measurements fade."""


@dataclass(frozen=True, slots=True)
class CategoryOptions:
    """What holds for all tasks of a category.

    Attributes:
        mode: how they get their label.
        minimum: what each of them is given at least.
        maximum: what each of them may use at most, unless it declares more itself.
        guess: their label as long as nothing better is known; spares the tasks that measure on whole workers.
        window: how many measured tasks it takes until there are labels; in Work Queue's modes, since the last one that
            used more than all before. `None`: 25, as there, and 5 for `ADAPTIVE`, which needs fewer.
    """

    mode: LabelMode = LabelMode.FIXED
    minimum: Resources = field(default_factory=Resources)
    maximum: Resources = field(default_factory=Resources)
    guess: Resources | None = None
    window: int | None = None

    def __post_init__(self) -> None:
        if self.window is not None and self.window < 1:
            raise QueueError(
                f"a window of {self.window} tasks measures nothing", hint="give a whole number from 1 on"
            )
        for kind in ("cores", "memory_mb", "disk_mb", "gpus"):
            self._check_kind(kind)

    def _check_kind(self, kind: str) -> None:
        least, most = getattr(self.minimum, kind), getattr(self.maximum, kind)
        for amount in (least, most, getattr(self.guess, kind, None)):
            if amount is not None and not 0 <= amount < math.inf:
                raise QueueError(
                    f"{kind} of {amount} cannot be given", hint="give a number from 0 on, or `None`"
                )
        if least is not None and most is not None and least > most:
            raise QueueError(
                f"the category's minimum {kind} of {least} is above its maximum of {most}",
                hint="lower the minimum or raise the maximum",
            )

    @property
    def tasks_measured(self) -> int:
        """How many measured tasks it takes until there are labels."""
        return self.window or (ADAPTIVE_WINDOW if self.mode is LabelMode.ADAPTIVE else WINDOW)

    @property
    def is_labelled(self) -> bool:
        """Whether its tasks get labels."""
        return self.mode is not LabelMode.FIXED


@dataclass(frozen=True, slots=True)
class Usage:
    """What one task used at its peak, in whole numbers, and for how long it ran."""

    cores: int
    memory_mb: int
    disk_mb: int
    seconds: float


def find_usage(measured: Measurement) -> Usage | None:
    """Find what a task used; `None` if its memory or its time was not measured."""
    memory, seconds = measured.memory_mb, measured.wall_time
    if memory is None or seconds is None:
        return None
    cores = measured.average_cores or 0.0  # what it kept busy for a moment, it need not have all the time
    return Usage(
        max(1, math.ceil(cores - NEARLY_A_CORE)), math.ceil(memory), math.ceil(measured.disk_mb or 0), seconds
    )

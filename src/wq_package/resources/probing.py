"""What the first tasks of a category are given, while nothing is known of them (logic module).

One task alone on a worker is the safe choice and the slowest. So most workers are divided, each into parts of one size: what
fits is done many times as fast, and what does not has cost nothing but a try on a worker that would have had one task.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from wq_package.task import Resources

__all__ = ["count_parts", "divide", "enlarge"]

GROWTH = 2
"""By how much a part that was too small is enlarged."""


def count_parts(worker: int, cores: float, waiting: float) -> int:
    """Count the parts into which a worker is divided.

    Args:
        worker: its number, counted from 1: of five, three are divided as finely as can be, one half as finely (on a
            logarithmic scale, so four parts of sixteen cores), and one is not.
        cores: how many it has.
        waiting: how many tasks there are for each worker; with no more parts than that, none is left idle.
    """
    finest = max(1, math.floor(cores))
    match worker % 5:
        case 0:
            parts = 1
        case 1:
            parts = 2 ** round(math.log2(finest) / 2)
        case _:
            parts = finest
    return max(1, min(parts, math.floor(waiting)))


def divide(total: Resources, parts: int, most: Resources) -> Resources:
    """Find one of so many equal parts of a worker, within a category's maximum."""
    cores, memory, disk = (
        (total.cores or 0) / parts,
        (total.memory_mb or 0) / parts,
        (total.disk_mb or 0) / parts,
    )
    return Resources(
        _cap(cores if cores < 1 else math.floor(cores), most.cores),
        math.floor(_cap(memory, most.memory_mb)),
        math.floor(_cap(disk, most.disk_mb)),
    )


def enlarge(had: Iterable[float], largest: Resources) -> Resources:
    """Find what a task is tried with next that needs more than such a part; at most the largest worker."""
    cores, memory, disk = (amount * GROWTH for amount in had)
    return Resources(
        _cap(cores, largest.cores),
        math.floor(_cap(memory, largest.memory_mb)),
        math.floor(_cap(disk, largest.disk_mb)),
    )


def _cap(amount: float, most: float | None) -> float:
    return amount if most is None else min(amount, most)

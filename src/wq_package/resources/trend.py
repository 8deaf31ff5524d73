"""Where needs are heading: measurements carried forward along their slope (logic module).

Knows numbers only: what was used, and by which of a category's tasks, counted in the order in which they began.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from wq_package.resources.category import Usage

__all__ = ["project"]

LEAST_LEFT = 0.5
"""A projection never goes below this part of what was measured: a slope does not hold for ever."""


def project(
    usages: Sequence[Usage], serials: Sequence[int], weights: Sequence[float], now: int
) -> Iterator[Usage]:
    """Tell what the same tasks would use if they began now, and needs went on to change as they did."""
    memory = _find_slope(serials, [usage.memory_mb for usage in usages], weights)
    disk = _find_slope(serials, [usage.disk_mb for usage in usages], weights)
    for usage, serial in zip(usages, serials, strict=True):
        steps = now - serial
        yield Usage(
            usage.cores,
            _carry(usage.memory_mb, memory * steps),
            _carry(usage.disk_mb, disk * steps),
            usage.seconds,
        )


def _carry(amount: int, change: float) -> int:
    return math.ceil(max(amount * LEAST_LEFT, amount + change))


def _find_slope(times: Sequence[int], values: Sequence[int], weights: Sequence[float]) -> float:
    """Find the slope of the line that fits best, by weighted least squares."""
    total = sum(weights)
    middle = sum(map(float.__mul__, weights, map(float, times))) / total
    offsets = [time - middle for time in times]
    spread = sum(weight * offset * offset for weight, offset in zip(weights, offsets, strict=True))
    if not spread:
        return 0.0
    return (
        sum(weight * offset * value for weight, offset, value in zip(weights, offsets, values, strict=True))
        / spread
    )

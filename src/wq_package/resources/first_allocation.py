"""The first allocations of Work Queue: one number per resource, from a histogram of what was used (logic module).

Knows numbers only. A *bucket* is a key (an amount, the bucket's upper end), how many tasks fell into it and how long they
ran together. The formulae are those of Tovar et al., TPDS 2018, as Work Queue carries them out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["Bucket", "Histogram", "choose_max", "choose_max_throughput", "choose_min_waste"]

Bucket = tuple[float, int, float]
"""Upper end, count, seconds."""


class Histogram:
    """How often how much was used: a value v is counted at ceil(v / width) · width."""

    def __init__(self, width: float) -> None:
        self.width = width
        self._cells: dict[int, list[float]] = {}

    def add(self, value: float, seconds: float) -> None:
        """Count one task."""
        cell = self._cells.setdefault(math.ceil(value / self.width), [0, 0.0])
        cell[0] += 1
        cell[1] += seconds

    def clear(self) -> None:
        """Forget everything."""
        self._cells.clear()

    def list_buckets(self) -> list[Bucket]:
        """List what was counted, smallest amount first."""
        return [
            (cell * self.width, int(count), seconds) for cell, (count, seconds) in sorted(self._cells.items())
        ]


def choose_min_waste(buckets: Sequence[Bucket], top: float) -> float | None:
    """Choose the amount that wastes least if whoever needs more is run again with `top`; `None` if nothing is known."""
    total = _Totals(buckets)
    best, best_waste = None, math.inf
    for amount, _, later in total.iter_candidates():
        waste = amount * total.mean_seconds + top * later
        if waste < best_waste:
            best, best_waste = amount, waste
    return best if best is None else min(best, top)


def choose_max_throughput(buckets: Sequence[Bucket], top: float) -> float | None:
    """Choose the amount with which most tasks end in a given time, on the same terms."""
    total = _Totals(buckets)
    best, best_throughput = None, 0.0
    for amount, below, later in total.iter_candidates():
        throughput = (below * top / amount + (total.count - below)) / (total.mean_seconds + later)
        if throughput > best_throughput:
            best, best_throughput = amount, throughput
    return best if best is None else min(best, top)


def choose_max(most: float, width: float, *limits: float | None) -> float | None:
    """Choose a little more than the most that was seen, within the limits; `None` if nothing was seen."""
    if most < 0:
        return None
    amount = math.ceil((most + width // 2) / width) * width
    return min([amount, *(limit for limit in limits if limit is not None)])


class _Totals:
    """Sums over a histogram."""

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        self._buckets = buckets
        self.count = sum(count for _, count, _ in buckets)
        self._seconds = sum(seconds for _, _, seconds in buckets)
        self.mean_seconds = self._seconds / self.count if self.count else 0.0

    def iter_candidates(self) -> list[tuple[float, int, float]]:
        """List each amount with how many tasks need no more, and the mean seconds of those that do."""
        candidates = []
        below, seconds = 0, 0.0
        for amount, count, spent in self._buckets:
            below += count
            seconds += spent
            if amount >= 1:
                candidates.append((amount, below, (self._seconds - seconds) / self.count))
        return candidates

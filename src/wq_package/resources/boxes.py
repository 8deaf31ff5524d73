"""From what tasks used to the boxes that are tried one after the other (logic module).

Knows one category's measurements and how much each still counts; nothing of tasks, workers or clocks. Each task counts with
its cores, memory and disk together, so what is not scarce is given generously and what is scarce is not; see
`wq_package.resources.ladder` for how the steps are found.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from wq_package.resources.category import CategoryOptions, Usage
from wq_package.resources.ladder import Sample, count_slots, find_share, plan_steps
from wq_package.task import Resources

__all__ = ["Step", "make_steps"]

GENEROSITY = 1.5
"""How much more than the most that was seen is given where there is room, if nearly all tasks fit into the step.

Of disk it is half of what there is room for, on a logarithmic scale, if that is more: it is seldom scarce, and varies most.
"""
HEADROOM = 1.02
"""The same, if many do not: then boxes of several sizes share the worker, and each is to be tight."""
NEARLY_ALL = 0.97
PADDING = (0, 8, 64)
"""What is added at least to cores, memory and disk, where there is room: small amounts vary most."""

_KINDS = ("cores", "memory_mb", "disk_mb")


@dataclass(frozen=True, slots=True)
class Step:
    """A box, and the share of a worker that it costs."""

    box: Resources
    memory_mb: int
    disk_mb: int
    price: float

    def holds(self, usage: Usage) -> bool:
        """Tell whether such a task comes to its end in this box."""
        return usage.memory_mb <= self.memory_mb and usage.disk_mb <= self.disk_mb


def make_steps(
    usages: Sequence[Usage],
    weights: Sequence[float],
    exhausted: Sequence[tuple[Usage, float]],
    totals: tuple[float, ...],
    options: CategoryOptions,
) -> tuple[Step, ...]:
    """Make the boxes that commit least of a worker, smallest first.

    Args:
        usages: what tasks used that ended.
        weights: how much each of these still counts.
        exhausted: what tasks had used that were ended because of it, and are still to be tried with more; and how much each
            of these still counts.
        totals: cores, memory and disk of the largest worker.
        options: the least and the most that the category may be given.
    """
    known = zip(_iter_shares(usages, totals), usages, weights, strict=True)
    samples = sorted(known, key=itemgetter(0))
    shares = [share for share, _, _ in samples]
    weighed = [(share, usage.seconds, weight) for share, usage, weight in samples]
    least = _iter_shares([usage for usage, _ in exhausted], totals)
    steps = plan_steps(
        _add_exhausted(weighed, [*zip(least, (weight for _, weight in exhausted), strict=True)])
    )
    most = list(_iter_most([usage for _, usage, _ in samples]))
    return tuple(_make_step(share, shares, most, totals, options) for share in steps)


def _iter_shares(usages: Sequence[Usage], totals: Sequence[float]) -> Iterator[float]:
    """Find for each task the largest share of a worker that it needs."""
    by_core, by_memory, by_disk = (1 / total if total > 0 else 0.0 for total in totals)
    for usage in usages:
        yield max(usage.cores * by_core, usage.memory_mb * by_memory, usage.disk_mb * by_disk)


def _iter_most(usages: Sequence[Usage]) -> Iterator[tuple[int, int, int]]:
    """Tell for each place the most of each kind that was used up to there; nothing, before the first."""
    cores = memory = disk = 0
    yield cores, memory, disk
    for usage in usages:
        if usage.cores > cores or usage.memory_mb > memory or usage.disk_mb > disk:
            cores, memory = max(cores, usage.cores), max(memory, usage.memory_mb)
            disk = max(disk, usage.disk_mb)
        yield cores, memory, disk


def _make_step(
    share: float,
    shares: Sequence[float],
    most: Sequence[tuple[int, int, int]],
    totals: Sequence[float],
    options: CategoryOptions,
) -> Step:
    """Make the box of a step: what the tasks need that fit into it, and more where there is room."""
    within = bisect_right(shares, share)
    slots = count_slots(share)
    has_nearly_all = within >= NEARLY_ALL * len(shares)
    amounts = []
    for kind, needed, padding, total in zip(_KINDS, most[within], PADDING, totals, strict=True):
        room = _find_room(kind, needed, padding, total / slots, has_nearly_all=has_nearly_all)
        if share > shares[-1]:  # a step beyond all that was seen has no tasks to go by
            room = total * share
        amounts.append(_keep_within(options, kind, max(needed, math.floor(room))))
    price = 1 / count_slots(find_share(amounts, totals))
    return Step(Resources(*amounts), amounts[1], amounts[2], price)


def _find_room(kind: str, needed: int, padding: int, there_is: float, *, has_nearly_all: bool) -> float:
    """Find how much to give of what one of so many equal boxes may have."""
    extra = 1.0 if kind == "cores" else GENEROSITY if has_nearly_all else HEADROOM
    room = max(needed * extra, needed + padding)
    if kind == "disk_mb" and has_nearly_all:
        room = max(room, math.sqrt(needed * there_is))
    return min(room, there_is)


def _keep_within(options: CategoryOptions, kind: str, amount: int) -> int:
    least, most = getattr(options.minimum, kind), getattr(options.maximum, kind)
    capped = amount if most is None else min(amount, math.floor(most))
    return max(1, math.ceil(least or 0), capped)


def _add_exhausted(samples: Sequence[Sample], exhausted: Sequence[tuple[float, float]]) -> list[Sample]:
    """Spread the weight of each exhausted task over the samples (smallest first) that need more than it had."""
    shares = [share for share, _, _ in samples]
    later = [0.0]
    for _, _, weight in reversed(samples):
        later.append(later[-1] + weight)
    later.reverse()
    from_here = [0.0] * (len(samples) + 1)
    most = beyond = 0.0
    for share, counts in exhausted:
        place = bisect_right(shares, share)
        if place < len(samples):
            from_here[place] += counts / later[place]
        else:
            beyond += counts
        most = max(most, share)
    spread, weighed = 0.0, []
    for (share, seconds, weight), more in zip(samples, from_here, strict=False):
        spread += more
        weighed.append((share, seconds, weight * (1 + spread)))
    if beyond:
        weighed.append((most * 1.25, weighed[-1][1], beyond))
    return weighed

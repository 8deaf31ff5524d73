"""The steps that commit least of a worker, for tasks whose needs are known as samples (logic module).

Knows numbers only. What a box costs is the share of a worker that nobody else can use: of a worker that a box fits k times
into, one k-th, whichever resource is scarce. A task climbs the steps until one is large enough, and pays for each. So one
number per sample, the largest share of any resource that it needs, is enough to find the steps with the least expected
cost; a dynamic program finds them exactly.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Sample", "find_share", "plan_steps"]

MOST_CANDIDATES = 64
RETRY_COST = 1.05
"""What a vain try costs, compared with one that succeeds: its result, its way back and forth come on top."""
TAIL = ((1.1, 0.35), (1.25, 0.25), (1.5, 0.2), (2.0, 0.2))
"""Where a task that needs more than all before may lie: so many times the most, with this probability."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A task's largest share of a worker, how long it ran, and how much it still counts."""

    share: float
    seconds: float
    weight: float


def find_share(amounts: Sequence[float], totals: Sequence[float]) -> float:
    """Find the largest share of a worker that these amounts take."""
    return max(
        (amount / total for amount, total in zip(amounts, totals, strict=True) if total > 0), default=0.0
    )


def plan_steps(samples: Sequence[Sample]) -> tuple[float, ...]:
    """Find the shares to try one after the other, smallest first; whoever needs more than the last needs it all."""
    if not samples:
        return ()
    ordered = _add_unseen(sorted(samples, key=lambda sample: sample.share))
    shares = [sample.share for sample in ordered]
    later = _sum_later(ordered)
    candidates = _find_candidates(shares)
    return _find_cheapest(
        candidates, [later[bisect_right(shares, share + 1e-12)] for share in candidates], later[0]
    )


def _add_unseen(ordered: list[Sample]) -> list[Sample]:
    """Add what the next task may need beyond all that was seen: with n samples, that has a probability of 1 in n + 1."""
    most = ordered[-1].share
    seconds = sum(s.seconds * s.weight for s in ordered) / sum(s.weight for s in ordered)
    return ordered + [Sample(most * factor, seconds, weight) for factor, weight in TAIL]


def _sum_later(ordered: Sequence[Sample]) -> list[float]:
    """Sum up, for each place, the weighted seconds from there on."""
    sums = [0.0]
    for sample in reversed(ordered):
        sums.append(sums[-1] + sample.seconds * sample.weight)
    return sums[::-1]


def _find_candidates(shares: Sequence[float]) -> list[float]:
    """List the shares worth trying: those at which one box fewer fits into a worker, thinned out evenly."""
    slots = sorted({_count_slots(share) for share in shares}, reverse=True)
    found = [1.0 / count for count in slots if count > 1]
    if len(found) > MOST_CANDIDATES:
        found = [
            found[position * len(found) // MOST_CANDIDATES] for position in range(1, MOST_CANDIDATES + 1)
        ][:-1]
    return found


def _count_slots(share: float) -> int:
    return max(1, math.floor(1 / share + 1e-9)) if share > 0 else 10_000


def _find_cheapest(
    candidates: Sequence[float], later: Sequence[float], everything: float
) -> tuple[float, ...]:
    """Choose steps among the candidates: `later` has the seconds of those that need more than each."""
    left = [*later, everything]  # the last stands for having tried nothing yet
    cost = [0.0] * len(left)
    following = [-1] * len(left)
    for position in range(len(later) - 1, -2, -1):
        cost[position] = left[position]  # a whole worker for all of them
        for step in range(position + 1, len(later)):
            price = candidates[step] * (left[position] + (RETRY_COST - 1) * left[step]) + cost[step]
            if price < cost[position]:
                cost[position], following[position] = price, step
    return tuple(_follow(candidates, following))


def _follow(candidates: Sequence[float], following: Sequence[int]) -> Iterator[float]:
    step = following[-1]
    while step >= 0:
        yield candidates[step]
        step = following[step]

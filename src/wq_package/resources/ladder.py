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

__all__ = ["Sample", "count_slots", "find_share", "plan_steps"]

MOST_CANDIDATES = 96
TINY = 1e-9
RETRY_COST = 1.1
"""What a vain try costs, compared with one that succeeds: its way back and its place in the queue come on top."""
TAIL = ((1.1, 0.35), (1.25, 0.25), (1.5, 0.2), (2.0, 0.2))
"""Where a task that needs more than all before may lie: so many times the most, with this probability."""


Sample = tuple[float, float, float]
"""A task's largest share of a worker, how long it ran, and how much it still counts; a tuple because there are many."""


def find_share(amounts: Sequence[float], totals: Sequence[float]) -> float:
    """Find the largest share of a worker that these amounts take."""
    return max(
        (amount / total for amount, total in zip(amounts, totals, strict=True) if total > 0), default=0.0
    )


def plan_steps(samples: Sequence[Sample]) -> tuple[float, ...]:
    """Find the shares to try one after the other, smallest first; whoever needs more than the last needs it all."""
    if not samples:
        return ()
    ordered = _add_unseen(sorted(samples))
    shares = [share for share, _, _ in ordered]
    later = _sum_later(ordered)
    candidates = _find_candidates(shares)
    left = [later[bisect_right(shares, share + TINY)] for share in candidates]
    return _find_cheapest(candidates, [1 / count_slots(share) for share in candidates], [*left, later[0]])


def count_slots(share: float) -> int:
    """Count how many boxes of this share fit into a worker."""
    return max(1, math.floor(1 / share + TINY))


def _add_unseen(ordered: list[Sample]) -> list[Sample]:
    """Add what the next task may need beyond all that was seen: with n samples, that has a probability of 1 in n + 1."""
    total = sum(weight for _, _, weight in ordered)
    mean = sum(seconds * weight for _, seconds, weight in ordered) / total
    most = ordered[-1][0]
    return ordered + [(most * factor, mean, part) for factor, part in TAIL]


def _sum_later(ordered: Sequence[Sample]) -> list[float]:
    """Sum up, for each place, the weighted seconds from there on."""
    sums = [0.0]
    for _, seconds, weight in reversed(ordered):
        sums.append(sums[-1] + seconds * weight)
    return sums[::-1]


def _find_candidates(shares: Sequence[float]) -> list[float]:
    """List the shares worth trying, thinned out evenly: what some task needs, and less than a whole worker."""
    found = sorted({share for share in shares if 0 < share < 1})
    if len(found) <= MOST_CANDIDATES:
        return found
    return [found[place * len(found) // MOST_CANDIDATES] for place in range(MOST_CANDIDATES)] + found[-1:]


def _find_cheapest(
    candidates: Sequence[float], prices: Sequence[float], left: Sequence[float]
) -> tuple[float, ...]:
    """Choose steps among the candidates; `left` has the seconds that need more than each, and in the end all seconds."""
    cost = list(left)  # to begin with: a whole worker for whatever a step leaves over
    following = [-1] * len(left)
    for place in range(len(candidates) - 1, -2, -1):
        for step in range(place + 1, len(candidates)):
            price = prices[step] * (left[place] + (RETRY_COST - 1) * left[step]) + cost[step]
            if price < cost[place]:
                cost[place], following[place] = price, step
    return tuple(_follow(candidates, following))


def _follow(candidates: Sequence[float], following: Sequence[int]) -> Iterator[float]:
    step = following[-1]
    while step >= 0:
        yield candidates[step]
        step = following[step]

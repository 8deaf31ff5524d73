"""Our own labels: the ladder that commits least of a worker, from measurements that fade (logic module).

Knows one category's measurements; nothing of tasks, workers or clocks. Each task counts with its cores, memory and disk
together, so what is not scarce is given generously and what is scarce is not; see `wq_package.resources.ladder` for how the
steps are found. A task that was exhausted and has not ended yet counts like those that needed more than it had: else the
largest, which take longest to become known, would always be forgotten.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

from wq_package.resources.category import CategoryOptions, Usage
from wq_package.resources.ladder import Sample, count_slots, find_share, plan_steps
from wq_package.task import Resources

__all__ = ["AdaptiveLabels"]

KEPT = 1500
"""How many measurements are kept."""
FADING = 600.0
"""After how many further measurements one counts for 1/e."""
SHORTEST_PAUSE = 5
LONGEST_PAUSE = 100
"""After how many measurements at least and at most the ladder is made anew."""
GENEROSITY = 1.5
"""How much more than the most that was seen is given where there is room, if nearly all tasks fit into the step."""
HEADROOM = 1.02
"""The same, if many do not: then boxes of several sizes share the worker, and each is to be tight."""
NEARLY_ALL = 0.97
PADDING = {"cores": 0, "memory_mb": 8, "disk_mb": 64}
"""What is added at least, where there is room: small amounts vary most."""

_KINDS = ("cores", "memory_mb", "disk_mb")


class AdaptiveLabels:
    """The measurements of one category, and the ladder that follows."""

    def __init__(self, options: CategoryOptions) -> None:
        self._options = options
        self._usages: deque[Usage] = deque(maxlen=KEPT)
        self._exhausted: deque[Usage] = deque(maxlen=KEPT)
        """What was measured of tasks that were exhausted and have not ended yet."""
        self._observed = 0
        self._next_plan = options.tasks_measured
        self.ladder: tuple[Resources, ...] = () if options.guess is None else (options.guess,)

    @property
    def is_steady(self) -> bool:
        """Whether there are labels."""
        return bool(self.ladder)

    def observe(self, usage: Usage, largest: Resources, *, was_retried: bool = False) -> bool:
        """Take in a task that ended; tell whether the ladder may be another now."""
        self._usages.append(usage)
        self._observed += 1
        if was_retried and self._exhausted:
            self._exhausted.popleft()
        if self._observed < self._next_plan:
            return False
        pause = min(max(SHORTEST_PAUSE, self._observed // 4), LONGEST_PAUSE)
        self._next_plan = self._observed + pause
        self.ladder = self._plan((largest.cores or 0.0, largest.memory_mb or 0, largest.disk_mb or 0))
        return True

    def observe_exhaustion(self, usage: Usage, _largest: Resources) -> bool:
        """Take in a first try that used more than its label; tell whether the ladder may be another now."""
        self._exhausted.append(usage)
        return False

    def _plan(self, totals: Sequence[float]) -> tuple[Resources, ...]:
        shares = [_find_share(usage, totals) for usage in self._usages]
        steps = plan_steps(self._weigh(shares, totals))
        return tuple(self._make_box(step, shares, totals) for step in steps)

    def _weigh(self, shares: Sequence[float], totals: Sequence[float]) -> list[Sample]:
        newest = len(shares)
        samples = [
            Sample(share, usage.seconds, math.exp((place - newest) / FADING))
            for place, (share, usage) in enumerate(zip(shares, self._usages, strict=True), 1)
        ]
        samples.sort(key=lambda sample: sample.share)
        return _add_exhausted(samples, [_find_share(usage, totals) for usage in self._exhausted])

    def _make_box(self, step: float, shares: Sequence[float], totals: Sequence[float]) -> Resources:
        """Make the box of a step: what the tasks need that fit into it, and more where there is room."""
        within = [usage for share, usage in zip(shares, self._usages, strict=True) if share <= step]
        has_nearly_all = len(within) >= NEARLY_ALL * len(shares)
        amounts = []
        for kind, total in zip(_KINDS, totals, strict=True):
            most = max((getattr(usage, kind) for usage in within), default=0)
            extra = 1.0 if kind == "cores" else GENEROSITY if has_nearly_all else HEADROOM
            room = min(max(most * extra, most + PADDING[kind]), total / count_slots(step))
            if step > max(shares):  # a step beyond all that was seen has no tasks to go by
                room = total * step
            amounts.append(self._keep_within(kind, max(most, math.floor(room))))
        return Resources(*amounts)

    def _keep_within(self, kind: str, amount: int) -> int:
        least, most = getattr(self._options.minimum, kind), getattr(self._options.maximum, kind)
        capped = amount if most is None else min(amount, math.floor(most))
        return max(1, math.ceil(least or 0), capped)


def _find_share(usage: Usage, totals: Sequence[float]) -> float:
    return find_share((usage.cores, usage.memory_mb, usage.disk_mb), totals)


def _add_exhausted(samples: Sequence[Sample], exhausted: Sequence[float]) -> list[Sample]:
    """Spread the weight of each exhausted task over the samples (smallest first) that need more than it had."""
    shares = [sample.share for sample in samples]
    later = [0.0]
    for sample in reversed(samples):
        later.append(later[-1] + sample.weight)
    later.reverse()
    from_here = [0.0] * (len(samples) + 1)
    beyond = 0.0
    for share in exhausted:
        place = bisect_right(shares, share)
        if place < len(samples):
            from_here[place] += 1 / later[place]
        else:
            beyond += 1
    spread, weighed = 0.0, []
    for sample, more in zip(samples, from_here, strict=False):
        spread += more
        weighed.append(Sample(sample.share, sample.seconds, sample.weight * (1 + spread)))
    if beyond:
        weighed.append(Sample(max(exhausted) * 1.25, weighed[-1].seconds, beyond))
    return weighed

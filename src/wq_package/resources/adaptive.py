"""Our own labels: the ladder that commits least of a worker, from measurements that fade (logic module).

Knows one category's measurements; nothing of tasks, workers or clocks. Each task counts with its cores, memory and disk
together, so what is not scarce is given generously and what is scarce is not; see `wq_package.resources.ladder` for how the
steps are found. Old measurements fade, faster when more tasks are exhausted than they foretell.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from wq_package.resources.category import CategoryOptions, Usage
from wq_package.resources.ladder import Sample, find_share, plan_steps
from wq_package.task import Resources

__all__ = ["AdaptiveLabels"]

KEPT = 600
"""How many measurements are kept."""
FADING = 300.0
"""After how many further measurements one counts for 1/e."""
LONGEST_PAUSE = 100
"""After how many measurements at most the ladder is made anew."""
_KINDS = ("cores", "memory_mb", "disk_mb")
GENEROSITY = 1.5
"""How much more than the most that was seen is given of what is not scarce."""
SURPRISE = 3.0
RECENT = 20
"""How many measurements still count after a surprise."""


class AdaptiveLabels:
    """The measurements of one category, and the ladder that follows."""

    def __init__(self, options: CategoryOptions) -> None:
        self._options = options
        self._usages: deque[Usage] = deque(maxlen=KEPT)
        self._observed = 0
        self._next_plan = options.window
        self._tries = self._exhausted = 0
        self._foretold = 0.0
        self._pending: deque[float] = deque(maxlen=KEPT)
        self.ladder: tuple[Resources, ...] = () if options.guess is None else (options.guess,)

    @property
    def is_steady(self) -> bool:
        """Whether there are labels."""
        return bool(self.ladder)

    def observe(self, usage: Usage, largest: Resources, *, was_retried: bool = False) -> bool:
        """Take in a task that ended; tell whether the ladder may be another now."""
        self._usages.append(usage)
        self._observed += 1
        if was_retried and self._pending:
            self._pending.popleft()
        elif not was_retried:
            self._tries += 1
        if self._observed < self._next_plan:
            return False
        self._plan(largest)
        return True

    def observe_exhaustion(self, usage: Usage, largest: Resources) -> bool:
        """Take in a first try that used more than its label; tell whether the ladder may be another now."""
        totals = _list_amounts(largest)
        self._pending.append(find_share((usage.cores, usage.memory_mb, usage.disk_mb), totals))
        self._tries += 1
        self._exhausted += 1
        if not self._is_surprise():
            return False
        while len(self._usages) > RECENT:
            self._usages.popleft()
        self._plan(largest)
        return True

    def _is_surprise(self) -> bool:
        expected = self._foretold
        spread = math.sqrt(self._tries * expected * (1 - expected))
        return self._exhausted > self._tries * expected + SURPRISE * max(1.0, spread)

    def _plan(self, largest: Resources) -> None:
        self._next_plan = self._observed + min(max(5, self._observed // 4), LONGEST_PAUSE)
        totals = _list_amounts(largest)
        samples = self._weigh(totals)
        steps = plan_steps(samples)
        self.ladder = tuple(self._make_box(step, totals) for step in steps)
        self._tries = self._exhausted = 0
        first = steps[0] if steps else 1.0
        weight = sum(sample.weight for sample in samples)
        above = sum(sample.weight for sample in samples if sample.share > first)
        self._foretold = (above + 1) / (weight + 1)

    def _weigh(self, totals: Sequence[float]) -> list[Sample]:
        newest = len(self._usages)
        samples = [
            Sample(
                find_share((usage.cores, usage.memory_mb, usage.disk_mb), totals),
                usage.seconds,
                math.exp((position - newest) / FADING),
            )
            for position, usage in enumerate(self._usages, 1)
        ]
        return samples + self._weigh_pending(samples)

    def _weigh_pending(self, samples: Sequence[Sample]) -> list[Sample]:
        """Count tasks that were exhausted and have not ended yet like those that needed more than they had."""
        extra = []
        for share in self._pending:
            above = [sample for sample in samples if sample.share > share]
            if above:
                total = sum(sample.weight for sample in above)
                extra += [Sample(s.share, s.seconds, s.weight / total) for s in above]
            else:
                extra.append(Sample(min(1.0, share * 1.25), 1.0, 1.0))
        return extra

    def _make_box(self, step: float, totals: Sequence[float]) -> Resources:
        """Make the box of a step: of each resource what those that fit need, and generously what is not scarce."""
        within = [
            u for u in self._usages if find_share((u.cores, u.memory_mb, u.disk_mb), totals) <= step + 1e-9
        ]
        return Resources(
            *(
                self._choose_amount(
                    kind, max((getattr(usage, kind) for usage in within), default=0.0), total * step
                )
                for kind, total in zip(_KINDS, totals, strict=True)
            )
        )

    def _choose_amount(self, kind: str, most: float, room: float) -> int:
        wanted = math.ceil(most * (1.0 if kind == "cores" else GENEROSITY))
        least = getattr(self._options.minimum, kind) or 0
        return max(1, math.ceil(least), min(wanted, math.floor(room + 1e-6)))


def _list_amounts(resources: Resources) -> tuple[float, float, float]:
    return (resources.cores or 0.0, float(resources.memory_mb or 0), float(resources.disk_mb or 0))

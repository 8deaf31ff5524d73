"""Our own labels: the ladder that commits least of a worker, by the forecast that has been right lately (logic module).

Knows one category's measurements, and which of its tasks each was, in the order in which they began; nothing of tasks, workers
or clocks. There are two forecasts of what the next tasks need: what the last ones did, older ones counting less; and the same
carried on along its slope. Each makes its own ladder. Of both it is known what they would have cost for the tasks that ended
since, and the cheaper one is followed. See `wq_package.resources.boxes` for how a ladder is made.

A task that was exhausted and has not ended yet counts like those that needed more than it had, and fades as they do: else the
largest, which take longest to become known, would always be forgotten.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from statistics import median_low

from wq_package.resources.boxes import Step, make_steps
from wq_package.resources.category import CategoryOptions, Usage
from wq_package.resources.ladder import RETRY_COST
from wq_package.resources.trend import project
from wq_package.task import Resources

__all__ = ["AdaptiveLabels"]

KEPT = 1500
"""How many measurements are kept."""
STEADY_FADING = 600.0
TREND_FADING = 200.0
"""After how many further measurements one counts for 1/e: as the needs are, and along their slope."""
FORGOTTEN = 4
"""After how many times that it does not count any more."""
JUDGED = 100.0
"""The same for what a forecast has cost."""
BETTER = 0.98
"""By how much the other forecast must be cheaper to be followed."""
SHORTEST_PAUSE = 5
LONGEST_PAUSE = 100
"""After how many measurements at least and at most the ladder is made anew."""
PLANS_AHEAD = 20
"""Or at most so often while the tasks end that are running, if there are thousands."""
LAG_LEARNT = 0.05
"""How much of how many tasks are under way is learnt from one that ended."""
AHEAD = 25
"""For how many tasks from now needs are forecast along their slope."""
PLANS_KEPT = 200
"""Of how many ladders it is known what they gave first: tasks end that began long ago."""

Ladder = tuple[Step, ...]


class AdaptiveLabels:
    """The measurements of one category, and the ladder that follows."""

    def __init__(self, options: CategoryOptions) -> None:
        self._options = options
        self._usages: deque[Usage] = deque(maxlen=KEPT)
        self._serials: deque[int] = deque(maxlen=KEPT)
        self._bounded: deque[bool] = deque(maxlen=KEPT)
        """Whether a task kept all cores busy that it was given, and may have had use for more."""
        self._exhausted: dict[int, tuple[Usage, int]] = {}
        """What was measured of tasks that were exhausted and have not ended yet, and how many had ended then."""
        self._begun = self._ended = self._observed = 0
        self._under_way: float | None = None
        self._next_plan = options.tasks_measured
        self._forecasts: tuple[Ladder, ...] = ((), ())
        self._costs = [0.0, 0.0]
        self._followed = 0
        self._plan_serials: list[int] = []
        self._plans: list[tuple[Ladder, ...]] = []
        self.ladder: tuple[Resources, ...] = () if options.guess is None else (options.guess,)

    @property
    def is_steady(self) -> bool:
        """Whether there are labels."""
        return bool(self.ladder)

    @property
    def is_probing(self) -> bool:
        """Whether first tries are to be given shares of a worker of several sizes, for nothing is known."""
        return not self.ladder

    def begin(self) -> int:
        """Count a first try; give its number."""
        self._begun += 1
        return self._begun

    def observe(
        self,
        usage: Usage,
        largest: Resources,
        *,
        serial: int = 0,
        cores: float = 0,
        was_retried: bool = False,
    ) -> bool:
        """Take in a task that ended; tell whether the ladder may be another now."""
        self._ended += 1
        self._judge(usage, serial)
        self._usages.append(usage)
        self._serials.append(serial)
        self._bounded.append(usage.cores >= cores and cores < (largest.cores or 0))
        if was_retried:
            self._exhausted.pop(serial, None)
        else:
            self._note_lag(serial)
        return self._count(largest)

    def observe_exhaustion(self, usage: Usage, largest: Resources, *, serial: int = 0) -> bool:
        """Take in a first try that used more than its label; tell whether the ladder may be another now."""
        self._exhausted[serial] = usage, self._ended
        self._note_lag(serial)
        if len(self._exhausted) > KEPT:
            del self._exhausted[next(iter(self._exhausted))]
        return bool(self.ladder) and bool(self._usages) and self._count(largest)

    def _note_lag(self, serial: int) -> None:
        """Learn how many tasks are under way: as many as began since one that comes to its end now."""
        lag, before = self._begun - serial, self._under_way
        self._under_way = lag if before is None else before + LAG_LEARNT * (lag - before)

    # -- which forecast is right ----------------------------------------------------------------------------------------

    def _judge(self, usage: Usage, serial: int) -> None:
        """Count what this task would have cost by each forecast, as they were when it began."""
        place = bisect_right(self._plan_serials, serial) - 1
        if place < 0:
            return
        for number, ladder in enumerate(self._forecasts):
            spent = _find_cost(self._plans[place][number], ladder, usage)
            self._costs[number] += spent * usage.seconds - self._costs[number] / JUDGED

    def _choose_forecast(self) -> int:
        other = 1 - self._followed
        return other if self._costs[other] < BETTER * self._costs[self._followed] else self._followed

    # -- making ladders -------------------------------------------------------------------------------------------------

    def _count(self, largest: Resources) -> bool:
        self._observed += 1
        if self._observed < self._next_plan:
            return False
        longest = max(LONGEST_PAUSE, int(self._under_way or 0) // PLANS_AHEAD)
        pause = min(max(SHORTEST_PAUSE, self._observed // 4), longest)
        self._next_plan = self._observed + pause
        self._followed = self._choose_forecast()
        self._forecasts = self._forecast((largest.cores or 0.0, largest.memory_mb or 0, largest.disk_mb or 0))
        self._keep_plan()
        self.ladder = tuple(step.box for step in self._forecasts[self._followed])
        return True

    def _keep_plan(self) -> None:
        if len(self._plans) >= PLANS_KEPT:
            del self._plans[: PLANS_KEPT // 2], self._plan_serials[: PLANS_KEPT // 2]
        self._plans.append(tuple(ladder[:1] for ladder in self._forecasts))
        self._plan_serials.append(self._begun + 1)

    def _forecast(self, totals: tuple[float, ...]) -> tuple[Ladder, Ladder]:
        usages, serials = self._list_unbounded(), list(self._serials)
        weights = _fade(len(usages), STEADY_FADING)
        pending = self._list_pending(STEADY_FADING)
        exhausted = [(usage, weight) for _, usage, weight in pending]
        steady = make_steps(usages, weights, exhausted, totals, self._options)
        weights = _fade(min(len(usages), int(FORGOTTEN * TREND_FADING)), TREND_FADING)
        recent = slice(len(usages) - len(weights), None)
        pending = self._list_pending(TREND_FADING)
        ahead = list(
            project(
                [*usages[recent], *(usage for _, usage, _ in pending)],
                [*serials[recent], *(serial for serial, _, _ in pending)],
                [*weights, *[0.0] * len(pending)],  # of these only the least that they need is known
                self._begun + AHEAD,
            )
        )
        exhausted = [(usage, item[2]) for usage, item in zip(ahead[len(weights) :], pending, strict=True)]
        trend = make_steps(ahead[: len(weights)], weights, exhausted, totals, self._options)
        return steady, trend

    def _list_pending(self, fading: float) -> list[tuple[int, Usage, float]]:
        """List the tasks that were exhausted and have not ended yet, with how much each still counts."""
        return [
            (serial, usage, math.exp((ended - self._ended) / fading))
            for serial, (usage, ended) in self._exhausted.items()
            if self._ended - ended < FORGOTTEN * fading
        ]

    def _list_unbounded(self) -> list[Usage]:
        """List what was used, with as many cores for tasks that had too few as others were seen to use."""
        free = [
            usage.cores
            for usage, is_bounded in zip(self._usages, self._bounded, strict=True)
            if not is_bounded
        ]
        typical = median_low(free) if free else max(usage.cores for usage in self._usages)
        return [
            Usage(typical, usage.memory_mb, usage.disk_mb, usage.seconds)
            if is_bounded and usage.cores < typical
            else usage
            for usage, is_bounded in zip(self._usages, self._bounded, strict=True)
        ]


def _fade(count: int, fading: float) -> list[float]:
    return [math.exp((place - count) / fading) for place in range(1, count + 1)]


def _find_cost(first: Sequence[Step], ladder: Sequence[Step], usage: Usage) -> float:
    """Find what a task costs that is tried with one box first, and then up the ladder, as a share of a worker."""
    spent, memory, disk = 0.0, -1, -1
    for step in (*first, *ladder):
        if step.memory_mb <= memory and step.disk_mb <= disk:
            continue
        if step.holds(usage):
            return spent + step.price
        spent, memory, disk = spent + RETRY_COST * step.price, step.memory_mb, step.disk_mb
    return spent + 1.0

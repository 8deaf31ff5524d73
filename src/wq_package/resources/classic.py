"""Labels as Work Queue finds them: MAX, MIN_WASTE and MAX_THROUGHPUT over everything measured so far (logic module).

Knows one category's measurements; nothing of tasks, workers or clocks. Agrees with Work Queue's own library as long as the
measurements are whole numbers and nothing was exhausted. What is ours: when more first tries are exhausted than the
statistics foretell, these are out of date, and start again.
"""

from __future__ import annotations

import math

from wq_package.resources.category import CategoryOptions, LabelMode, Usage
from wq_package.resources.first_allocation import (
    Histogram,
    choose_max,
    choose_max_throughput,
    choose_min_waste,
)
from wq_package.task import Resources

__all__ = ["ClassicLabels"]

_KINDS = ("cores", "memory_mb", "disk_mb")
_WIDTHS = {"cores": 1.0, "memory_mb": 250.0, "disk_mb": 250.0}
_CHOICES = {LabelMode.MIN_WASTE: choose_min_waste, LabelMode.MAX_THROUGHPUT: choose_max_throughput}
SURPRISE = 3.0
"""How many standard deviations more exhaustions than foretold put the statistics out of date."""


class ClassicLabels:
    """The statistics of one category, and the label that follows."""

    def __init__(self, options: CategoryOptions) -> None:
        self._options = options
        self._histograms = {kind: Histogram(width) for kind, width in _WIDTHS.items()}
        self._most: dict[str, float] = {}
        self._completions = 0
        self._tries = self._exhausted = 0
        self.is_steady = options.guess is not None
        self.label: Resources | None = options.guess

    @property
    def ladder(self) -> tuple[Resources, ...]:
        """What is tried one after the other before a whole worker: the label, then the most that was seen."""
        if self.label is None:
            return ()
        most = Resources(*(self._find_most(kind) for kind in _KINDS))
        return (self.label, most) if self.is_steady and most != self.label else (self.label,)

    def _find_most(self, kind: str) -> int | None:
        most = self._most.get(kind)
        least = getattr(self._options.minimum, kind) or 0
        return None if most is None else max(1, math.ceil(most), math.ceil(least))

    def observe(self, usage: Usage, largest: Resources, *, was_retried: bool = False) -> bool:
        """Take in a task that ended; tell whether the ladder may be another now."""
        self._note_most(usage)
        for kind, histogram in self._histograms.items():
            histogram.add(getattr(usage, kind), usage.seconds)
        self._tries += not was_retried
        self._completions += 1
        self.is_steady = self.is_steady or self._completions > self._options.window
        if self._completions % self._options.window:
            return False
        self.label = self._find_label(largest)
        self._tries = self._exhausted = 0
        return True

    def observe_exhaustion(self, usage: Usage, _largest: Resources) -> bool:
        """Take in a first try that used more than its label; tell whether the ladder may be another now."""
        self._note_most(usage)
        self._tries += 1
        self._exhausted += 1
        if not self._is_out_of_date():
            return True  # the second step is the most that was seen
        for histogram in self._histograms.values():
            histogram.clear()
        self._completions = self._tries = self._exhausted = 0
        self.is_steady = False
        self.label = None
        return True

    def _note_most(self, usage: Usage) -> None:
        for kind in _KINDS:
            used = getattr(usage, kind)
            if used <= self._most.get(kind, -1.0):
                continue
            self._most[kind] = used
            if not self.is_steady and getattr(self._options.maximum, kind) is None:
                self._completions = 0
                self.label = None

    def _is_out_of_date(self) -> bool:
        if not self.is_steady or self.label is None or self._exhausted < 4:
            return False
        expected = max(self._foretell_exceeding(kind) for kind in _KINDS)
        spread = math.sqrt(self._tries * expected * (1 - expected))
        return self._exhausted > self._tries * expected + SURPRISE * max(1.0, spread)

    def _foretell_exceeding(self, kind: str) -> float:
        """Which share of the tasks will need more than the label, going by the histogram."""
        amount = getattr(self.label, kind)
        buckets = self._histograms[kind].list_buckets()
        total = sum(count for _, count, _ in buckets)
        return sum(count for key, count, _ in buckets if key - _WIDTHS[kind] >= amount) / total

    def _find_label(self, largest: Resources) -> Resources:
        amounts = {kind: self._choose(kind, getattr(largest, kind)) for kind in _KINDS}
        return Resources(**amounts)

    def _choose(self, kind: str, largest: float | None) -> int:
        limit, least = getattr(self._options.maximum, kind), getattr(self._options.minimum, kind)
        most, width = self._most.get(kind, -1.0), _WIDTHS[kind]
        if self._options.mode is LabelMode.MAX:
            chosen = choose_max(most, width, limit, largest)
        else:
            top = most if limit is None else limit
            chosen = _CHOICES[self._options.mode](self._histograms[kind].list_buckets(), top)
        floor = least or 0
        return math.ceil(floor if chosen is None else max(chosen, floor))

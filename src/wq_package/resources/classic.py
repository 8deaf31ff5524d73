"""Labels as Work Queue finds them: MAX, MIN_WASTE and MAX_THROUGHPUT over everything measured so far (logic module).

Knows one category's measurements; nothing of tasks, workers or clocks. Agrees with Work Queue's own library as long as the
measurements are whole numbers. What is ours: when many tasks use more than all that there were before, the statistics are
out of date, and start again.
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
FEWEST_SURPRISES = 8
SURPRISING = 0.5
"""Statistics are out of date when more than this part of the tasks used more than all before."""


class ClassicLabels:
    """The statistics of one category, and the label that follows."""

    def __init__(self, options: CategoryOptions) -> None:
        self._options = options
        self._histograms = {kind: Histogram(width) for kind, width in _WIDTHS.items()}
        self._most: dict[str, float] = {}
        self._completions = 0
        self._top: dict[str, float] = {}
        self._since = self._surprises = 0
        self.is_steady = options.guess is not None
        self.label: Resources | None = options.guess

    @property
    def ladder(self) -> tuple[Resources, ...]:
        """What is tried one after the other before a whole worker: the label, then the most that was seen."""
        if self.label is None:
            return ()
        most = Resources(*(self._find_most(kind) for kind in _KINDS))
        return (self.label, most) if self._most and most != self.label else (self.label,)

    def _find_most(self, kind: str) -> int | None:
        most = self._most.get(kind)
        least = getattr(self._options.minimum, kind) or 0
        return None if most is None else max(1, math.ceil(most), math.ceil(least))

    @property
    def is_probing(self) -> bool:
        """Whether first tries are to be given shares of a worker: never, as in Work Queue."""
        return False

    def begin(self) -> int:
        """Count a first try; here it does not matter which it is."""
        return 0

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
        if self._is_surprise(usage):
            self._start_again()
        self._note_most(usage)
        for kind, histogram in self._histograms.items():
            histogram.add(getattr(usage, kind), usage.seconds)
        self._completions += 1
        self.is_steady = self.is_steady or self._completions > self._options.tasks_measured
        if self._completions % self._options.tasks_measured:
            return True
        self.label = self._find_label(largest)
        self._top = dict(self._most)
        self._since = self._surprises = 0
        return True

    def observe_exhaustion(self, usage: Usage, largest: Resources, *, serial: int = 0) -> bool:
        """Take in a first try that used more than its label; tell whether the ladder may be another now."""
        self._note_most(usage)
        return True

    def _is_surprise(self, usage: Usage) -> bool:
        """Tell whether so many tasks used more than all before the label was made that it is out of date."""
        if not self._top:
            return False
        self._since += 1
        self._surprises += any(getattr(usage, kind) > self._top[kind] for kind in _KINDS)
        return self._surprises >= FEWEST_SURPRISES and self._surprises > SURPRISING * self._since

    def _start_again(self) -> None:
        for histogram in self._histograms.values():
            histogram.clear()
        self._top = {}
        self._completions = 0
        self.is_steady = False
        self.label = None

    def _note_most(self, usage: Usage) -> None:
        for kind in _KINDS:
            used = getattr(usage, kind)
            if used <= self._most.get(kind, -1.0):
                continue
            self._most[kind] = used
            if not self.is_steady and getattr(self._options.maximum, kind) is None:
                self._completions = 0
                self.label = None

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

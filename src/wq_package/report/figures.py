"""What the page shows, worked out from a run (logic module).

Knows tries, workers and labels; nothing of SVG or HTML. Everything is bounded, whatever the length of the run: many tries
become shares of time bins, many workers become groups.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from wq_package.report.run import Run, Try, TryEnd

__all__ = [
    "CategoryFigures",
    "count_running",
    "group_workers",
    "make_bins",
    "sum_up_categories",
    "sum_up_time",
]

MOST_ROWS = 48
TIME_BINS = 240
HISTOGRAM_BINS = 32


@dataclass(slots=True)
class CategoryFigures:
    """What is told of a category. Memory in MB; `given`, `used` and `lost` in MB times seconds."""

    name: str
    tries: list[Try] = field(default_factory=list)
    ends: dict[TryEnd, int] = field(default_factory=dict)
    memories: list[float] = field(default_factory=list)
    seconds: float = 0.0
    given: float = 0.0
    used: float = 0.0
    lost: float = 0.0

    @property
    def waste(self) -> float | None:
        """Which part of the memory that was given was not needed, or given in vain; `None` if nothing was measured."""
        total = self.given + self.lost
        return 1 - self.used / total if total > 0 else None

    @property
    def median(self) -> float | None:
        """The median of the memory that tasks used."""
        return statistics.median(self.memories) if self.memories else None

    def add(self, attempt: Try) -> None:
        """Count a try."""
        self.tries.append(attempt)
        self.ends[attempt.end] = self.ends.get(attempt.end, 0) + 1
        seconds = attempt.seconds if attempt.seconds is not None else attempt.ended - attempt.sent
        if attempt.end is TryEnd.DONE:
            self.seconds += seconds
            if attempt.used_memory is not None:
                self.memories.append(attempt.used_memory)
                self.used += attempt.used_memory * seconds
                self.given += attempt.box_memory * seconds
        elif attempt.end is TryEnd.EXHAUSTED:  # whoever is ended has not always said how long it ran
            self.lost += attempt.box_memory * max(seconds, attempt.ended - attempt.sent)


def sum_up_categories(run: Run) -> list[CategoryFigures]:
    """Sum up each category, the one with most tries first."""
    figures: dict[str, CategoryFigures] = {}
    for attempt in run.tries:
        figures.setdefault(attempt.category, CategoryFigures(attempt.category)).add(attempt)
    return sorted(figures.values(), key=lambda each: -len(each.tries))


def count_running(tries: Iterable[Try], start: float, end: float) -> list[tuple[float, float]]:
    """Count how many tasks ran at a time, on average over each of some hundred spans."""
    return [
        (at, busy) for at, busy in zip(_list_edges(start, end), sum_up_time(tries, start, end), strict=False)
    ]


def sum_up_time(tries: Iterable[Try], start: float, end: float) -> list[float]:
    """Sum up, for each time bin, how many tries ran in it on average."""
    width = (end - start) / TIME_BINS
    busy = [0.0] * TIME_BINS
    if width <= 0:
        return busy
    for attempt in tries:
        first = min(TIME_BINS - 1, max(0, int((attempt.sent - start) / width)))
        last = min(TIME_BINS - 1, max(first, int((attempt.ended - start) / width)))
        for place in range(first, last + 1):
            low = start + place * width
            busy[place] += max(0.0, min(attempt.ended, low + width) - max(attempt.sent, low)) / width
    return busy


def _list_edges(start: float, end: float) -> list[float]:
    width = (end - start) / TIME_BINS
    return [place * width for place in range(TIME_BINS)]


def make_bins(values: Sequence[float]) -> list[tuple[float, float, float]]:
    """Count values in equal bins: from, to, count."""
    if not values:
        return []
    low, high = min(values), max(values)
    if high <= low:
        return [(low * 0.95, low * 1.05 or 1.0, float(len(values)))]
    width = (high - low) / HISTOGRAM_BINS
    edges = [low + place * width for place in range(1, HISTOGRAM_BINS + 1)]
    counts = [0] * HISTOGRAM_BINS
    for value in values:
        counts[min(HISTOGRAM_BINS - 1, bisect_left(edges, value))] += 1
    return [
        (low + place * width, low + (place + 1) * width, float(count)) for place, count in enumerate(counts)
    ]


def group_workers(run: Run) -> list[tuple[str, frozenset[int]]]:
    """Name the rows of the timeline: one worker each, or several if there are too many."""
    numbers = sorted({*run.workers, *(attempt.worker for attempt in run.tries)})
    names = {number: span.name for number, span in run.workers.items()}
    if len(numbers) <= MOST_ROWS:
        return [(names.get(number, f"worker {number}"), frozenset((number,))) for number in numbers]
    size = -(-len(numbers) // MOST_ROWS)
    groups = [numbers[place : place + size] for place in range(0, len(numbers), size)]
    return [(f"workers {group[0]} to {group[-1]}", frozenset(group)) for group in groups]

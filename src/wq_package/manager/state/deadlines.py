"""When tasks must have ended (logic module)."""

from __future__ import annotations

import heapq
from collections.abc import Iterator


class Deadlines:
    """Moments at which a task has to be looked at; ended tasks are passed over by whoever asks."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []

    def add(self, moment: float, task_id: int) -> None:
        """Note that a task has to be looked at."""
        heapq.heappush(self._heap, (moment, task_id))

    def iter_due(self, now: float) -> Iterator[int]:
        """Go over the tasks whose moment has come, and forget their moments."""
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[1]

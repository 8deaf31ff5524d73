"""When tasks must have ended (logic module)."""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterator


class Deadlines:
    """Moments at which a task has to be looked at; ended tasks are passed over by whoever asks."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, moment: float, task_id: int) -> None:
        """Note that a task has to be looked at."""
        heapq.heappush(self._heap, (moment, task_id))

    def iter_due(self, now: float) -> Iterator[int]:
        """Go over the tasks whose moment has come, and forget their moments."""
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[1]

    def keep(self, task_ids: Container[int]) -> None:
        """Forget all tasks but these."""
        self._heap = [moment for moment in self._heap if moment[1] in task_ids]
        heapq.heapify(self._heap)

"""Which workers may have room for a box, found without looking at all of them (logic module).

Knows workers and how much of them is free. Workers stand in cells by the order of magnitude of their free cores and memory; whoever
needs more than a cell can have passes over all that are in it. With thousands of full workers that is nearly all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wq_package.manager.state.records import NO_BOX, Box, WorkerRecord, decode_box
from wq_package.task import Resources

Cell = tuple[int, int]
"""How many binary digits the free thousandths of a core and the free MB of memory have."""


class RoomIndex:
    """Workers by how much of them is free."""

    def __init__(self) -> None:
        self._cells: dict[Cell, dict[int, WorkerRecord]] = {}
        self._cell_of: dict[int, Cell] = {}

    def update(self, worker: WorkerRecord) -> None:
        """Note how much of a worker is free now."""
        total, used = worker.total, worker.used
        cell = max(0, total[0] - used[0]).bit_length(), max(0, total[1] - used[1]).bit_length()
        number = worker.number
        before = self._cell_of.get(number)
        if before == cell:
            return
        if before is not None:
            del self._cells[before][number]
        self._cell_of[number] = cell
        self._cells.setdefault(cell, {})[number] = worker

    def remove(self, worker: WorkerRecord) -> None:
        """Forget a worker."""
        cell = self._cell_of.pop(worker.number, None)
        if cell is not None:
            del self._cells[cell][worker.number]

    def iter_roomy(self, needed: Resources) -> Iterator[WorkerRecord]:
        """Go over all workers that have so many cores and so much memory free, and some that do not; the emptiest first."""
        cores = round((needed.cores or 0) * 1000).bit_length()
        memory = int(needed.memory_mb or 0).bit_length()
        for cell in sorted(self._cells, reverse=True):
            if cell[0] >= cores and cell[1] >= memory:
                yield from self._cells[cell].values()


class LargestTotal:
    """The most that any worker has of each resource, worked out anew only when that may be something else."""

    def __init__(self) -> None:
        self._found: Resources | None = None
        self._ever = NO_BOX

    def note(self, total: Box) -> None:
        """Note that some worker has this total now."""
        self._found = None
        self._ever = _find_most((self._ever, total))

    def forget(self) -> None:
        """Note that a worker is gone."""
        self._found = None

    def find(self, workers: Iterable[WorkerRecord]) -> Resources:
        """Find it; while all workers are gone or have nothing any more, the most that any ever had."""
        if self._found is None:
            totals = [worker.total for worker in workers if any(worker.total)]
            self._found = decode_box(_find_most(totals or (self._ever,)))
        return self._found


def _find_most(totals: Iterable[Box]) -> Box:
    cores, memory, disk, gpus = map(max, zip(*totals, strict=True))
    return cores, memory, disk, gpus

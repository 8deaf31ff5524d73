"""How much the tasks of a category used of what they were given (logic module). Knows amounts and seconds, nothing of tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

KINDS = ("cores", "memory_mb", "disk_mb")
"""What is measured and labelled."""
CELLS_PER_DOUBLING = 4


@dataclass(slots=True)
class UseOfKind:
    """How much of one resource the tasks of a category used and were given.

    Attributes:
        cells: how many tasks used how much, in cells four to a doubling; see `find_cell_end`.
        most: the most that one used.
        used: amount times seconds, as if each had held its most all the time.
        given: amount times seconds of the boxes of the tasks that ended.
        lost: amount times seconds of the boxes of tries that were in vain.
    """

    cells: dict[int, int] = field(default_factory=dict)
    most: float = 0.0
    used: float = 0.0
    given: float = 0.0
    lost: float = 0.0

    def note(self, used: float, given: float, seconds: float) -> None:
        """Count a task that ended."""
        cell = _find_cell(used)
        self.cells[cell] = self.cells.get(cell, 0) + 1
        if used > self.most:
            self.most = used
        self.used += used * seconds
        self.given += given * seconds


def _find_cell(amount: float) -> int:
    return math.ceil(CELLS_PER_DOUBLING * math.log2(amount)) if amount > 1 else 0


def find_cell_end(cell: int) -> float:
    """Find the largest amount that is counted in a cell."""
    return float(2 ** (cell / CELLS_PER_DOUBLING))

"""How much of a worker is taken (logic module).

Knows sums. Knows nothing of who takes what.
"""

from __future__ import annotations

from dataclasses import replace

from wq_package.worker.actions import Box

__all__ = ["Ledger"]

_CRUMB = 0.001
"""Forgiven in cores, for sums of fractions."""


class Ledger:
    """What a worker has and what of it is free.

    Args:
        capacity: what it has.
    """

    def __init__(self, capacity: Box) -> None:
        self.capacity = capacity
        self._cores = capacity.cores
        self._memory = capacity.memory_mb
        self._disk = capacity.disk_mb
        self._gpus = capacity.gpus

    def fits(self, box: Box) -> bool:
        """Whether so much is free."""
        return (
            box.cores <= self._cores + _CRUMB
            and box.memory_mb <= self._memory
            and box.disk_mb <= self._disk
            and box.gpus <= self._gpus
        )

    def can_ever_fit(self, box: Box) -> bool:
        """Whether there is so much at all."""
        capacity = self.capacity
        return (
            box.cores <= capacity.cores + _CRUMB
            and box.memory_mb <= capacity.memory_mb
            and box.disk_mb <= capacity.disk_mb
            and box.gpus <= capacity.gpus
        )

    def take(self, box: Box) -> None:
        """Count something as taken."""
        self._cores -= box.cores
        self._memory -= box.memory_mb
        self._disk -= box.disk_mb
        self._gpus -= box.gpus

    def give_back(self, box: Box) -> None:
        """Count something as free again."""
        self._cores += box.cores
        self._memory += box.memory_mb
        self._disk += box.disk_mb
        self._gpus += box.gpus

    def resize_disk(self, disk_mb: float) -> None:
        """Count the disk as larger or smaller than before; what is taken of it stays taken."""
        self._disk += disk_mb - self.capacity.disk_mb
        self.capacity = replace(self.capacity, disk_mb=disk_mb)

    def close(self) -> None:
        """Let nothing fit from now on."""
        self.capacity = Box()

    @property
    def is_full(self) -> bool:
        """Whether no core is free."""
        return self._cores <= _CRUMB

    @property
    def used(self) -> Box:
        """What is taken."""
        capacity = self.capacity
        return Box(
            capacity.cores - self._cores,
            capacity.memory_mb - self._memory,
            capacity.disk_mb - self._disk,
            capacity.gpus - self._gpus,
        )

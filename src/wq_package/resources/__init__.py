"""How much of a worker a task is given (pure room).

Knows resources as numbers and nothing of tasks, workers, wires or clocks.
"""

from __future__ import annotations

from wq_package.resources.contract import SharingRule, compute_box, fits

__all__ = ["SharingRule", "compute_box", "fits"]

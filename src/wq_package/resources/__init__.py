"""How much of a worker a task is given (pure room).

Knows resources as numbers and nothing of tasks, workers, wires or clocks.
"""

from __future__ import annotations

from wq_package.resources.category import CategoryOptions, LabelMode, Usage, find_usage
from wq_package.resources.contract import SharingRule, compute_box
from wq_package.resources.labels import Labels, make_labels
from wq_package.resources.probing import count_parts, divide, enlarge

__all__ = [
    "CategoryOptions",
    "LabelMode",
    "Labels",
    "SharingRule",
    "Usage",
    "compute_box",
    "count_parts",
    "divide",
    "enlarge",
    "find_usage",
    "make_labels",
]

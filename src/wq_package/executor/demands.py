"""What `parsl_resource_specification` asks for, checked and in our units (logic module).

Knows Parsl's key names and its error for wrong ones; knows nothing of workers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parsl.executors.errors import InvalidResourceSpecification

from wq_package.task import Resources

__all__ = ["KEYS", "Demand", "parse_demand"]

KEYS = ("cores", "memory", "disk", "gpus", "priority", "running_time_min")
"""The keys that may be given; the same as those of Parsl's `WorkQueueExecutor`. Memory and disk in MB."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What one task asks for."""

    resources: Resources
    priority: float = 0.0
    running_time_min: float | None = None

    @property
    def cores(self) -> float:
        """Cores for the purpose of scaling: one if nothing is declared."""
        return self.resources.cores or 1.0


NO_DEMAND = Demand(Resources())


def parse_demand(specification: Mapping[str, Any] | None) -> Demand:
    """Check a resource specification.

    Raises:
        InvalidResourceSpecification: a key is unknown or its value is not a number that makes sense; all are named.
    """
    if not specification:
        return NO_DEMAND
    unknown = set(specification) - set(KEYS)
    if unknown:
        raise InvalidResourceSpecification(unknown, f"Known keys are: {', '.join(KEYS)}")
    wrong = {key for key, value in specification.items() if not _is_valid(key, value)}
    if wrong:
        values = ", ".join(f"{key}={specification[key]!r}" for key in sorted(wrong))
        raise InvalidResourceSpecification(wrong, f"Not a number that can be used: {values}")
    return Demand(
        Resources(
            cores=_read(specification, "cores"),
            memory_mb=_read_whole(specification, "memory"),
            disk_mb=_read_whole(specification, "disk"),
            gpus=_read_whole(specification, "gpus"),
        ),
        priority=_read(specification, "priority") or 0.0,
        running_time_min=_read(specification, "running_time_min"),
    )


def _is_valid(key: str, value: object) -> bool:
    if value is None:
        return True
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return key == "priority" or value >= 0


def _read(specification: Mapping[str, Any], key: str) -> float | None:
    value = specification.get(key)
    return None if value is None else float(value)


def _read_whole(specification: Mapping[str, Any], key: str) -> int | None:
    value = specification.get(key)
    return None if value is None else math.ceil(value)

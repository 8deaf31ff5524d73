"""The contract between what a task declares and the box it gets on a worker (logic module).

Knows the rules of Work Queue for incomplete declarations and nothing of tasks, workers or time. A *box* is a complete
`Resources`: every field has a number. Zero counts as "not declared" where it is asked whether anything was declared.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from wq_package.task import Resources

__all__ = ["SharingRule", "compute_box"]


class SharingRule(enum.Enum):
    """What an incomplete declaration is worth."""

    WHOLE_WORKER = "whole-worker"
    """Cores, memory and disk all declared: that. Anything missing: a whole worker for what is missing."""
    PROPORTIONAL = "proportional"
    """What is missing is the same share of the worker as the largest declared share (Work Queue 8 and 9)."""
    PROPORTIONAL_RAISED = "proportional-raised"
    """The share is rounded so that a whole number of boxes fits, and what was declared is raised to it (newest)."""


@dataclass(frozen=True, slots=True)
class _Amounts:
    cores: float
    memory_mb: int
    disk_mb: int
    gpus: int


def compute_box(
    declared: Resources,
    worker: Resources,
    *,
    rule: SharingRule = SharingRule.WHOLE_WORKER,
    minimum: Resources | None = None,
) -> Resources:
    """Compute the box that a task with this declaration gets on this worker; it may be larger than the worker.

    Args:
        declared: what the task, its category or its automatic label says.
        worker: the worker's totals.
        rule: what an incomplete declaration is worth.
        minimum: what a task of its category gets at least.
    """
    total = _complete(worker)
    share = _find_share(declared, total)
    if share <= 0 or share >= 1 or (rule is SharingRule.WHOLE_WORKER and not _is_complete(declared)):
        box = _fill(declared, total, 1.0)
    elif rule is SharingRule.WHOLE_WORKER:
        box = _fill(declared, total, 0.0)
    elif rule is SharingRule.PROPORTIONAL:
        box = _fill(declared, total, share)
    else:
        box = _raise_to(declared, total, 1 / math.floor(1 / share + 1e-9))
    return _at_least(box, minimum or Resources())


def _complete(resources: Resources) -> _Amounts:
    return _Amounts(
        resources.cores or 0.0, resources.memory_mb or 0, resources.disk_mb or 0, resources.gpus or 0
    )


def _is_complete(declared: Resources) -> bool:
    has_processor = declared.cores is not None or bool(declared.gpus)
    return has_processor and declared.memory_mb is not None and declared.disk_mb is not None


def _find_share(declared: Resources, total: _Amounts) -> float:
    wanted = _complete(declared)
    return max(
        _divide(wanted.cores, total.cores),
        _divide(wanted.memory_mb, total.memory_mb),
        _divide(wanted.disk_mb, total.disk_mb),
        _divide(wanted.gpus, total.gpus),
    )


def _divide(part: float, whole: float) -> float:
    if part <= 0:
        return 0.0
    return part / whole if whole > 0 else math.inf


def _fill(declared: Resources, total: _Amounts, share: float) -> Resources:
    """Give what was declared, and this share of the worker for what was not."""
    is_whole = share >= 1
    if not any((declared.cores, declared.memory_mb, declared.disk_mb, declared.gpus)):
        return Resources(total.cores, total.memory_mb, total.disk_mb, 0)
    cores = declared.cores
    if cores is None:
        cores = 0.0 if declared.gpus else _share_of(total.cores, share, is_whole)
    return Resources(
        cores,
        _or_share(declared.memory_mb, total.memory_mb, share, is_whole),
        _or_share(declared.disk_mb, total.disk_mb, share, is_whole),
        declared.gpus or 0,
    )


def _or_share(declared: int | None, total: int, share: float, is_whole: bool) -> int:  # noqa: FBT001 - private
    return declared if declared is not None else int(_share_of(total, share, is_whole))


def _share_of(total: float, share: float, is_whole: bool) -> float:  # noqa: FBT001 - private
    return total if is_whole else max(1, math.floor(total * share + 1e-9))


def _raise_to(declared: Resources, total: _Amounts, share: float) -> Resources:
    box = _fill(declared, total, share)
    if box.cores:
        box = Resources(max(box.cores, total.cores * share), box.memory_mb, box.disk_mb, box.gpus)
    return Resources(
        box.cores,
        max(box.memory_mb or 0, math.floor(total.memory_mb * share)),
        max(box.disk_mb or 0, math.floor(total.disk_mb * share)),
        box.gpus,
    )


def _at_least(box: Resources, minimum: Resources) -> Resources:
    have, floor = _complete(box), _complete(minimum)
    return Resources(
        max(have.cores, floor.cores),
        max(have.memory_mb, floor.memory_mb),
        max(have.disk_mb, floor.disk_mb),
        max(have.gpus, floor.gpus),
    )

"""What is kept of each category: what its tasks used, what they were given, and the labels that follow (logic module).

Knows categories, boxes and results; nothing of queues, messages or clocks. The mathematics of labels is in
`wq_package.resources`; here is what a task is given because of them, and what becomes of one that needs more.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

from wq_package.manager.state.options import StateOptions
from wq_package.manager.state.records import Box, CategoryRecord, Lane, TaskRecord, decode_box
from wq_package.manager.state.uses import KINDS
from wq_package.resources import Usage, divide, enlarge, find_usage, make_labels
from wq_package.task import Measurement, Resources

CATEGORIES_KEPT = 10_000
_NOTHING = Resources()

_Amount = TypeVar("_Amount", bound=float)


class Categories:
    """Every category that has been seen."""

    def __init__(self, options: StateOptions) -> None:
        self._options = options
        self.records: dict[str, CategoryRecord] = {}
        self.relabelled: dict[str, CategoryRecord] = {}
        """Those whose label has changed because of the events that were handled last."""

    def find(self, name: str) -> CategoryRecord:
        """Find a category's record, or begin it."""
        record = self.records.get(name)
        if record is None:
            if len(self.records) >= CATEGORIES_KEPT:
                self._forget_some()
            options = self._options.categories.get(name, self._options.default_category)
            record = self.records[name] = CategoryRecord(name, options, make_labels(options))
        return record

    def _forget_some(self) -> None:
        """Forget the older half."""
        for name in list(self.records)[: CATEGORIES_KEPT // 2]:
            del self.records[name]

    # -- what tasks are given -----------------------------------------------------------------------------------------

    def enlist(self, lane: Lane) -> None:
        """Let a new lane have what its tasks are given."""
        category = lane.category_record
        if category.labels is not None and lane.allotment is None:
            category.lanes[lane.key] = lane
            lane.is_probing = category.labels.is_probing
        self._declare(lane, lane.allotment or category.label)

    @staticmethod
    def dismiss(lane: Lane) -> None:
        """Forget a lane."""
        lane.category_record.lanes.pop(lane.key, None)

    @staticmethod
    def _declare(lane: Lane, allotment: Resources | None) -> None:
        """Give a lane what its tasks declare themselves, then what is allotted to them, then the category's maximum."""
        lane.declared = _fill(lane, allotment or _NOTHING)
        lane.boxes.clear()
        lane.parts.clear()

    @staticmethod
    def find_part(lane: Lane, total: Box, parts: int) -> Resources:
        """Find what a task of a lane is given that has one of so many parts of a worker, for want of a label."""
        most = lane.category_record.options.maximum
        return _fill(lane, divide(decode_box(total), parts, most))

    def release(self, lane: Lane) -> None:
        """Let the tasks of a lane whose label is larger than every worker have a whole one."""
        lane.is_probing = False
        self._declare(lane, None)

    # -- what is learnt -----------------------------------------------------------------------------------------------

    def note_end(self, record: TaskRecord, measured: Measurement, largest: Resources) -> bool:
        """Take in what a task used that ended by itself; tell whether other tasks are given something else now."""
        usage = _find_usage(record, measured, largest)
        if usage is None:
            return False
        category = record.lane.category_record
        category.measured += 1
        cores, memory, disk = category.uses
        box, seconds = record.box, usage.seconds
        cores.note(usage.cores, box[0] / 1000, seconds)
        memory.note(usage.memory_mb, box[1], seconds)
        disk.note(usage.disk_mb, box[2], seconds)
        if category.labels is None:
            return False
        was_retried = record.lane.allotment is not None
        is_new = category.labels.observe(
            usage, largest, serial=record.serial, cores=box[0] / 1000, was_retried=was_retried
        )
        return is_new and self._relabel(category)

    def note_exhaustion(self, record: TaskRecord, measured: Measurement, largest: Resources) -> bool:
        """Take in a try that needed more than it had; tell whether other tasks are given something else now."""
        category = record.lane.category_record
        category.exhausted += 1
        seconds = measured.wall_time or 0.0
        for use, amount in zip(category.uses, (record.box[0] / 1000, *record.box[1:3]), strict=True):
            use.lost += amount * seconds
        if category.labels is None or record.lane.allotment is not None:
            return False
        usage = _find_usage(record, measured, largest) or Usage(0, 0, 0, seconds)
        is_new = category.labels.observe_exhaustion(usage, largest, serial=record.serial)
        return is_new and self._relabel(category)

    def _relabel(self, category: CategoryRecord) -> bool:
        label = category.label
        changed = False
        for lane in category.lanes.values():
            before = lane.declared
            lane.is_probing = label is None and lane.is_probing
            self._declare(lane, label)
            changed = changed or lane.declared != before
        if changed:
            category.relabelled += 1
            self.relabelled[category.name] = category
        return changed

    # -- what becomes of a task that needs more -------------------------------------------------------------------------

    @staticmethod
    def find_next(
        record: TaskRecord, measured: Measurement, largest: Resources, *, is_last: bool = False
    ) -> Resources | None:
        """Find what a task that was exhausted is given next; `None` if it had all that there is, or that it may use.

        Where no other task waits (`is_last`), nobody else has use for the room that smaller steps would save.
        """
        lane, category = record.lane, record.lane.category_record
        if category.labels is None:
            return None
        exceeded = _find_exceeded(record.box, measured)
        most = {kind: _find_most(lane, kind, largest) for kind in exceeded}
        if any(had >= most[kind] for kind, had in exceeded.items()):
            return None
        needs = {kind: max(had, getattr(measured, kind, None) or 0) for kind, had in exceeded.items()}
        ladder = category.labels.ladder
        for step in ladder[::-1] if is_last else ladder:
            if all((getattr(step, kind) or 0) > need for kind, need in needs.items()):
                return step
        if category.labels.is_probing:
            limits = Resources(*(_find_most(lane, kind, largest) for kind in KINDS))  # type: ignore[arg-type]
            return enlarge((record.box[0] / 1000, *record.box[1:3]), limits)
        category.at_full += 1
        return Resources(**most)  # type: ignore[arg-type]  # by the names of its fields


def _find_usage(record: TaskRecord, measured: Measurement, largest: Resources) -> Usage | None:
    usage = find_usage(measured)
    if usage is None:
        return None
    # No task keeps more cores busy than any worker has: what is measured beyond is the grain of the clocks. Its own
    # worker may be gone by now, or say that it has nothing any more.
    most = max(largest.cores or 0, record.box[0] / 1000)
    return replace(usage, cores=min(usage.cores, math.ceil(most)))


def _fill(lane: Lane, given: Resources) -> Resources:
    own, most = lane.resources, lane.category_record.options.maximum
    return Resources(
        _first(own.cores, given.cores, most.cores),
        _first(own.memory_mb, given.memory_mb, most.memory_mb),
        _first(own.disk_mb, given.disk_mb, most.disk_mb),
        _first(own.gpus, given.gpus, most.gpus),
    )


def _first(*amounts: _Amount | None) -> _Amount | None:
    return next((amount for amount in amounts if amount is not None), None)


def _find_exceeded(box: Box, measured: Measurement) -> dict[str, float]:
    """Find what a task had too little of, and how much it had; everything, if it was not measured."""
    had = dict(zip(KINDS, (box[0] / 1000, *box[1:3]), strict=True))
    sizes = {kind: had[kind] for kind in KINDS[1:] if (getattr(measured, kind) or 0) > had[kind]}
    return sizes or had


def _find_most(lane: Lane, kind: str, largest: Resources) -> float:
    """Find the most that a task may have: what it declares itself, else its category's maximum, else a whole worker."""
    limits = (lane.resources, lane.category_record.options.maximum, largest)
    return _first(*(getattr(limit, kind) for limit in limits)) or 0

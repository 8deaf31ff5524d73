"""What the tasks of a category used and are given, as plain JSON values for status tools (logic module)."""

from __future__ import annotations

from typing import Any

from wq_package.manager.state.records import CategoryRecord
from wq_package.manager.state.uses import KINDS, UseOfKind, find_cell_end
from wq_package.task import Resources


def render_category_use(record: CategoryRecord) -> dict[str, Any]:
    """Render a category's label, what its tasks used, and what they were given."""
    ladder = record.labels.ladder if record.labels is not None else ()
    return {
        "mode": record.options.mode.value,
        "steps": [_render_step(step) for step in ladder],
        "tasks_measured": record.measured,
        "tries_exhausted": record.exhausted,
        "tries_at_full_size": record.at_full,
        "labels_made": record.relabelled,
        "use": {kind: _render_use(use) for kind, use in zip(KINDS, record.uses, strict=True)},
    }


def _render_step(step: Resources) -> dict[str, float | None]:
    return {kind: getattr(step, kind) for kind in KINDS}


def _render_use(use: UseOfKind) -> dict[str, Any]:
    given = use.given + use.lost
    return {
        "most": use.most,
        "waste": 1 - use.used / given if given > 0 else None,
        "histogram": [[round(find_cell_end(cell), 3), count] for cell, count in sorted(use.cells.items())],
    }

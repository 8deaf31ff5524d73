"""The categories of a queue as tables and bars for a terminal (logic module)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

__all__ = ["make_category_report"]

BAR = 40
KINDS = {"cores": "cores", "memory_mb": "MB of memory", "disk_mb": "MB of disk"}
Row = Mapping[str, Any]


def make_category_report(categories: Sequence[Row], show: Callable[[object], Text]) -> Group:
    """Describe each category that was measured: label, retries, waste, and how many tasks used how much memory."""
    measured = [row for row in categories if isinstance(row.get("use"), Mapping)]
    if not measured:
        return Group(Text("no category has been measured: only workers of wq-package measure\n"))
    return Group(*(part for row in measured for part in _describe(row, show)))


def _describe(row: Row, show: Callable[[object], Text]) -> list[Any]:
    steps = row.get("steps") or ()
    name, mode = show(row.get("category")).plain, show(row.get("mode")).plain
    lines = [
        f"\ncategory {name}: labels {mode}, {_count(row, 'tasks_measured')} tasks measured",
        "label: " + (_describe_step(steps[0]) if steps else "none, whole workers for what is not declared"),
    ]
    if len(steps) > 1:
        lines.append("then:  " + "; ".join(map(_describe_step, steps[1:])))
    lines.append(
        f"tries that needed more: {_count(row, 'tries_exhausted')}, "
        f"of these tried with all there is: {_count(row, 'tries_at_full_size')}"
    )
    return [Text("\n".join(lines)), _make_use_table(row["use"]), *_draw_histogram(row["use"])]


def _count(row: Row, key: str) -> str:
    return f"{_number(row.get(key)):,.0f}"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _describe_step(step: object) -> str:
    amounts = step if isinstance(step, Mapping) else {}
    parts = [f"{_number(amounts.get(kind)):g} {words}" for kind, words in KINDS.items()]
    return ", ".join("1 core" if part == "1 cores" else part for part in parts)


def _make_use_table(use: Row) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("resource")
    for name in ("most used", "waste"):
        table.add_column(name, justify="right")
    for kind, words in KINDS.items():
        amounts = use.get(kind)
        if isinstance(amounts, Mapping):
            waste = amounts.get("waste")
            share = "unknown" if waste is None else f"{_number(waste):.0%}"
            table.add_row(words, f"{_number(amounts.get('most')):g}", share)
    return table


def _draw_histogram(use: Row) -> list[Text]:
    memory = use.get("memory_mb")
    cells = memory.get("histogram") if isinstance(memory, Mapping) else None
    if not isinstance(cells, list) or not cells:
        return []
    rows = [
        (_number(cell[0]), _number(cell[1])) for cell in cells if isinstance(cell, list) and len(cell) == 2
    ]
    most = max((count for _, count in rows), default=1.0) or 1.0
    lines = [
        f"{'up to ' if place else 'tasks up to '}{upper:,.3g} MB".rjust(22)
        + f"  {'█' * max(1, round(count / most * BAR))} {count:g}"
        for place, (upper, count) in enumerate(rows)
    ]
    return [Text("\n".join(lines))]

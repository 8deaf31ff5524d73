"""The report of a run: one HTML page that needs nothing else (logic module).

Knows what to show and how it looks. Everything that a log says is escaped; no script, no font, no picture comes from anywhere.
"""

from __future__ import annotations

import datetime
import html
import math
import statistics
from collections.abc import Iterable, Sequence

from wq_package.report.charts import (
    COLOURS,
    Axis,
    Band,
    Line,
    Rectangle,
    draw_bars,
    draw_lines,
    draw_rows,
    show_number,
)
from wq_package.report.figures import (
    TIME_BINS,
    CategoryFigures,
    count_running,
    group_workers,
    make_bins,
    sum_up_categories,
    sum_up_time,
)
from wq_package.report.run import EnvironmentUse, LabelChange, Run, Try, TryEnd
from wq_package.report.style import STYLE

__all__ = ["render_page"]

MOST_RECTANGLES = 4000
"""Up to so many tries are drawn one by one."""
MOST_CATEGORIES = 12
ABOVE = (
    " A label may lie above the most that a task used which ended: where memory is not scarce there is some to spare,"
    " and tries that needed more count as well, also those whose tasks were cancelled or never ended."
)
MOST_POINTS = 300
"""Of a line. Up to then, a point stands for as many tasks as there are points: fewer would hide how much they differ."""
_BAD = "#c0392b"


def render_page(run: Run) -> str:
    """Render the report."""
    categories = sum_up_categories(run)
    colours = {each.name: COLOURS[place % len(COLOURS)] for place, each in enumerate(categories)}
    title = f"Run of {run.project}" if run.project else "Run report"
    sections = [
        _render_head(run, categories, title),
        _render_timeline(run, colours),
        _render_running(run, categories, colours),
        _render_table(categories, run, colours),
        *(_render_category(run, each) for each in categories[:MOST_CATEGORIES]),
        _render_transfers(run),
        _render_notes(run, len(categories)),
    ]
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_escape(title)}</title><style>{STYLE}</style></head>\n<body><main>"
        f"{''.join(sections)}</main></body></html>\n"
    )
    return page.encode(errors="replace").decode()  # a name may be no text at all


def _escape(text: object) -> str:
    return html.escape(str(text), quote=True)


# -- head -----------------------------------------------------------------------------------------------------------------


def _render_head(run: Run, categories: Sequence[CategoryFigures], title: str) -> str:
    started = datetime.datetime.fromtimestamp(run.started, datetime.UTC)
    failed = sum(run.ends.values()) - run.done - run.ends.get("cancelled", 0)
    retried = sum(each.ends.get(TryEnd.EXHAUSTED, 0) for each in categories)
    cards = [
        ("duration", _show_seconds(run.seconds)),
        ("tasks ended well", f"{run.done:,}"),
        ("tasks failed", f"{failed:,}"),
        ("workers", f"{len(run.workers):,}"),
        ("tries that needed more", f"{retried:,}"),
        ("memory in use of what was given", _show_share(_find_efficiency(categories))),
    ]
    tiles = "".join(
        f"<div class=card><b>{_escape(value)}</b><span>{_escape(name)}</span></div>" for name, value in cards
    )
    return (
        f"<header><h1>{_escape(title)}</h1><p>started {started:%Y-%m-%d %H:%M:%S} UTC</p></header>"
        f"<div class=cards>{tiles}</div>"
    )


def _find_efficiency(categories: Iterable[CategoryFigures]) -> float | None:
    given = used = 0.0
    for each in categories:
        given += each.given + each.lost
        used += each.used
    return used / given if given else None


# -- timeline -------------------------------------------------------------------------------------------------------------


def _render_timeline(run: Run, colours: dict[str, str]) -> str:
    rows = group_workers(run)
    x, unit = _make_time_axis(run)
    row_of = {number: row for row, (_, numbers) in enumerate(rows) for number in numbers}
    if len(run.tries) <= MOST_RECTANGLES:
        rectangles = _place_tries(run, row_of, colours, unit)
        words = "Each bar is one try of one task. Red ends: it failed, or needed more than it was given."
    else:
        rectangles = _shade_rows(run, row_of, len(rows), unit)
        words = "The darker, the more tasks ran at a time (hover for the number)."
    chart = draw_rows([name for name, _ in rows], x, rectangles, title="tasks by worker over time")
    keys = _render_keys(colours) if len(run.tries) <= MOST_RECTANGLES else ""
    return f"<section><h2>Tasks by worker</h2><p>{words}</p>{keys}{chart}</section>"


def _make_time_axis(run: Run) -> tuple[Axis, float]:
    """Choose the unit in which time is shown: the axis, and how many seconds the unit has."""
    seconds = max(run.seconds, 0.001)
    unit, name = next(
        ((size, name) for size, name in ((3600, "h"), (60, "min")) if seconds >= 3 * size), (1, "s")
    )
    return Axis(0, seconds / unit, name), float(unit)


def _place_tries(run: Run, row_of: dict[int, int], colours: dict[str, str], unit: float) -> list[Rectangle]:
    lanes = _find_lanes(run.tries)
    depth: dict[int, int] = {}
    for attempt, lane in zip(run.tries, lanes, strict=True):
        depth[attempt.worker] = max(depth.get(attempt.worker, 1), lane + 1)
    rectangles = []
    for attempt, lane in zip(run.tries, lanes, strict=True):
        row, count = row_of[attempt.worker], depth[attempt.worker]
        start, end = ((at - run.started) / unit for at in (attempt.sent, attempt.ended))
        top, bottom = lane / count, (lane + 0.9) / count
        title = f"task {attempt.task} ({attempt.category}), {_show_seconds(attempt.ended - attempt.sent)}: {attempt.end.value}"
        rectangles.append(Rectangle(row, start, end, top, bottom, colours[attempt.category], 1, title))
        if attempt.end in (TryEnd.FAILED, TryEnd.EXHAUSTED):
            rectangles.append(
                Rectangle(row, max(start, end - run.seconds / unit / 250), end, top, bottom, _BAD)
            )
    return rectangles


def _find_lanes(tries: Sequence[Try]) -> list[int]:
    """Give each try the lowest lane of its worker that is free."""
    busy: dict[int, list[float]] = {}
    lanes = []
    for attempt in tries:
        ends = busy.setdefault(attempt.worker, [])
        lane = next((place for place, end in enumerate(ends) if end <= attempt.sent), len(ends))
        ends[lane : lane + 1] = [attempt.ended]
        lanes.append(lane)
    return lanes


def _shade_rows(run: Run, row_of: dict[int, int], count: int, unit: float) -> list[Rectangle]:
    by_row: list[list[Try]] = [[] for _ in range(count)]
    for attempt in run.tries:
        by_row[row_of[attempt.worker]].append(attempt)
    busy = [sum_up_time(tries, run.started, run.ended) for tries in by_row]
    most = max((value for row in busy for value in row), default=0.0) or 1.0
    width = run.seconds / TIME_BINS / unit
    return [
        Rectangle(
            row,
            place * width,
            (place + 1) * width,
            0,
            1,
            COLOURS[0],
            0.12 + 0.88 * value / most,
            show_number(value),
        )
        for row, values in enumerate(busy)
        for place, value in enumerate(values)
        if value > 0
    ]


def _render_running(run: Run, categories: Sequence[CategoryFigures], colours: dict[str, str]) -> str:
    x, unit = _make_time_axis(run)
    lines = [
        Line(
            [(at / unit, value) for at, value in count_running(each.tries, run.started, run.ended)],
            colours[each.name],
            each.name,
            is_filled=True,
        )
        for each in categories[:MOST_CATEGORIES]
    ]
    y = Axis(0, 1.08 * max((value for line in lines for _, value in line.points), default=1.0) or 1.0)
    chart = draw_lines(x, y, lines, title="tasks running at a time")
    return f"<section><h2>Tasks running at a time</h2>{_render_keys(colours)}{chart}</section>"


def _render_keys(colours: dict[str, str]) -> str:
    keys = [
        f'<span><i style="background:{colour}"></i>{_escape(name)}</span>' for name, colour in colours.items()
    ]
    more = f"<span>and {len(keys) - MOST_CATEGORIES} more</span>" if len(keys) > MOST_CATEGORIES else ""
    return f"<p class=keys>{''.join(keys[:MOST_CATEGORIES])}{more}</p>"


# -- categories -------------------------------------------------------------------------------------------------------------


def _render_table(categories: Sequence[CategoryFigures], run: Run, colours: dict[str, str]) -> str:
    heads = ("category", "tries", "done", "failed", "needed more", "memory, median", "most", "label", "waste")
    labels = {change.category: change for change in run.labels}
    rows = []
    for each in categories[:100]:
        cells = (
            f"{len(each.tries):,}",
            f"{each.ends.get(TryEnd.DONE, 0):,}",
            f"{each.ends.get(TryEnd.FAILED, 0):,}",
            f"{each.ends.get(TryEnd.EXHAUSTED, 0):,}",
            _show_megabytes(each.median),
            _show_megabytes(max(each.memories, default=None)),
            _show_label(labels.get(each.name)),
            _show_share(each.waste),
        )
        name = f'<td><i style="background:{colours[each.name]}"></i>{_escape(each.name)}</td>'
        rows.append(f"<tr>{name}{''.join(f'<td>{_escape(cell)}</td>' for cell in cells)}</tr>")
    return f"<section><h2>Categories</h2>{_make_table(heads, rows)}</section>"


def _make_table(heads: Iterable[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th>{_escape(each)}</th>" for each in heads)
    return (
        f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _show_label(change: LabelChange | None) -> str:
    if change is None or not change.steps:
        return "none"
    cores, memory = change.steps[0]
    return f"{show_number(cores)} core{'' if cores == 1 else 's'}, {_show_megabytes(memory)}"


def _render_category(run: Run, figures: CategoryFigures) -> str:
    measured = [each for each in figures.tries if each.end is TryEnd.DONE and each.used_memory is not None]
    if not measured:
        return ""
    x, unit = _make_time_axis(run)
    band, median, given = _follow_memory(measured, run, unit)
    label = Line(
        _follow_label(run, figures.name, unit), "var(--ink)", "label", is_stepped=True, is_dashed=True
    )
    most = max(max(high for _, _, high in band), *(value for _, value in (*given, *label.points)))
    lines = [Line(given, COLOURS[1], "given"), Line(median, COLOURS[0], "used, median"), label]
    over_time = draw_lines(
        x,
        Axis(0, most * 1.08),
        lines,
        [Band(band, COLOURS[0], "used, least to most")],
        title="memory over time",
    )
    bars = make_bins(figures.memories)
    histogram = draw_bars(bars, Axis(bars[0][0], bars[-1][1], "MB"), title="tasks by memory used")
    keys = (
        f'<p class=keys><span><i style="background:{COLOURS[1]}"></i>given, mean</span>'
        f'<span><i style="background:{COLOURS[0]}"></i>used, median; the area from least to most</span>'
        "<span><i class=dash></i>label</span></p>"
    )
    is_above = any(value > math.ceil(max(figures.memories)) for _, value in label.points)
    return (
        f"<section><h2>Memory of {_escape(figures.name)}</h2><p>MB used and given, by when tasks ended."
        f"{ABOVE if is_above else ''}</p>{keys}{over_time}"
        f"<h3>How many tasks used how much</h3>{histogram}</section>"
    )


def _follow_memory(
    measured: list[Try], run: Run, unit: float
) -> tuple[list[tuple[float, float, float]], list[tuple[float, float]], list[tuple[float, float]]]:
    """Follow what tasks used and were given, in groups of tasks that ended one after the other."""
    measured.sort(key=lambda each: each.ended)
    size = max(math.isqrt(len(measured)), -(-len(measured) // MOST_POINTS))
    band, median, given = [], [], []
    for place in range(0, len(measured), size):
        group = measured[place : place + size]
        at = (group[-1].ended - run.started) / unit
        used = [each.used_memory or 0.0 for each in group]
        band.append((at, min(used), max(used)))
        median.append((at, statistics.median(used)))
        given.append((at, statistics.fmean(each.box_memory for each in group)))
    return band, median, given


def _follow_label(run: Run, category: str, unit: float) -> list[tuple[float, float]]:
    points = [
        ((change.time - run.started) / unit, change.steps[0][1])
        for change in run.labels
        if change.category == category and change.steps
    ]
    thin = points[:: max(1, len(points) // MOST_POINTS)]
    return [*thin, (run.seconds / unit, points[-1][1])] if points else []


# -- transfers ----------------------------------------------------------------------------------------------------------------


def _render_transfers(run: Run) -> str:
    hits = f" ({1 - run.files_sent / run.files:.0%})" if run.files else ""
    facts = [
        ("input files that tasks needed", f"{run.files:,}"),
        ("of these already at the worker", f"{run.files - run.files_sent:,}{hits}"),
        ("sent with tasks", _show_bytes(run.bytes_sent)),
        ("sent as layers of environments", _show_bytes(run.layer_bytes)),
        ("outputs fetched", f"{run.outputs:,}"),
    ]
    rows = [f"<tr><td>{_escape(name)}</td><td>{_escape(value)}</td></tr>" for name, value in facts]
    parts = [f"<section><h2>Transfers</h2>{_make_table(('what', 'how much'), rows)}"]
    if run.environments:
        heads = ("environment", "archive", "workers", "failed on", "ready after, median", "slowest")
        parts.append(
            f"<h3>Environments</h3>{_make_table(heads, map(_render_environment, run.environments.values()))}"
        )
    return f"{''.join(parts)}</section>"


def _render_environment(environment: EnvironmentUse) -> str:
    size = environment.archive_bytes
    cells = (
        environment.digest[:12],
        "unknown" if size is None else _show_bytes(size),
        f"{environment.workers:,}",
        f"{environment.failures:,}",
        _show_seconds(statistics.median(environment.seconds)) if environment.seconds else "never",
        _show_seconds(max(environment.seconds)) if environment.seconds else "never",
    )
    return f"<tr>{''.join(f'<td>{_escape(cell)}</td>' for cell in cells)}</tr>"


def _render_notes(run: Run, categories: int) -> str:
    notes = []
    if categories > MOST_CATEGORIES:
        notes.append(
            f"Memory is drawn for {MOST_CATEGORIES} of {categories} categories, those with most tries."
        )
    if run.records_lost:
        notes.append(f"{run.records_lost:,} records could not be written to the log: figures are too low.")
    if run.lines_torn:
        notes.append(f"{run.lines_torn:,} lines of the log could not be read.")
    return f"<footer>{''.join(f'<p>{_escape(note)}</p>' for note in notes)}</footer>" if notes else ""


def _show_seconds(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 90:
        return f"{seconds / 60:.1f} min"
    return f"{show_number(seconds)} s"


def _show_share(share: float | None) -> str:
    return "not measured" if share is None else f"{share:.0%}"


def _show_megabytes(amount: float | None) -> str:
    return "not measured" if amount is None else f"{show_number(amount)} MB"


def _show_bytes(count: float) -> str:
    size, unit = next(
        ((size, unit) for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")) if count >= size),
        (1, "bytes"),
    )
    return f"{show_number(count / size)} {unit}"

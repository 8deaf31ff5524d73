"""Charts as inline SVG (logic module).

Knows numbers, colours and SVG; nothing of tasks. What is drawn is bounded: series of any length are thinned out before.
Colours are CSS variables of the page, so that charts follow its light and dark faces.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

__all__ = [
    "COLOURS",
    "Axis",
    "Band",
    "Line",
    "Rectangle",
    "draw_bars",
    "draw_lines",
    "draw_rows",
    "show_number",
]

COLOURS = ("#3b6fb6", "#d9822b", "#3f9c6b", "#b0528c", "#7a68c4", "#b8a02c", "#4aa5b5", "#a65a47")
WIDTH = 960
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 12, 34


@dataclass(frozen=True, slots=True)
class Axis:
    """What runs along an edge: from where to where, and in what unit."""

    low: float
    high: float
    unit: str = ""

    def place(self, value: float, start: float, end: float) -> float:
        """Find where a value stands between two edges."""
        span = self.high - self.low
        return start + (end - start) * ((value - self.low) / span if span > 0 else 0.0)

    def list_ticks(self, count: int = 6) -> list[float]:
        """List round values along the axis."""
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        raw = span / count
        power = 10 ** math.floor(math.log10(raw))
        step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [place * step for place in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points, smallest x first."""

    points: Sequence[tuple[float, float]]
    colour: str
    name: str = ""
    is_stepped: bool = False
    is_dashed: bool = False
    is_filled: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """The area between two heights, for each x."""

    points: Sequence[tuple[float, float, float]]
    colour: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A part of a row: from x to x, between two heights of the row (0 to 1)."""

    row: int
    start: float
    end: float
    top: float
    bottom: float
    colour: str
    opacity: float = 1.0
    title: str = ""


def show_number(value: float) -> str:
    """Show a number with three digits that count."""
    if value == 0 or not math.isfinite(value):
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def draw_lines(
    x: Axis, y: Axis, lines: Sequence[Line], bands: Sequence[Band] = (), *, height: int = 240, title: str = ""
) -> str:
    """Draw lines and bands over axes."""
    parts = [_draw_frame(x, y, height)]
    parts += [_draw_band(band, x, y, height) for band in bands if band.points]
    parts += [_draw_line(line, x, y, height) for line in lines if line.points]
    return _wrap(parts, height, title)


def draw_bars(
    bars: Sequence[tuple[float, float, float]], x: Axis, *, title: str = "", height: int = 180
) -> str:
    """Draw a histogram: from, to, count."""
    y = Axis(0, max((count for _, _, count in bars), default=1) * 1.08)
    parts = [_draw_frame(x, y, height)]
    for low, high, count in bars:
        left, right = _place_x(x, low), _place_x(x, high)
        top = _place_y(y, count, height)
        label = html.escape(f"{show_number(low)} to {show_number(high)} {x.unit}: {show_number(count)}")
        parts.append(
            f'<rect x="{left + 0.5:.1f}" y="{top:.1f}" width="{max(right - left - 1, 0.8):.1f}" '
            f'height="{height - BOTTOM - top:.1f}" fill="{COLOURS[0]}" rx="1"><title>{label}</title></rect>'
        )
    return _wrap(parts, height, title)


def draw_rows(names: Sequence[str], x: Axis, rectangles: Iterable[Rectangle], *, title: str = "") -> str:
    """Draw rows of rectangles, each row with a name."""
    row_height = min(72, max(12, 880 // max(len(names), 1) // 2 * 2)) if len(names) > 6 else 72
    height = TOP + BOTTOM + row_height * max(len(names), 1)
    left = 150
    parts = []
    for tick in x.list_ticks(8):
        place = x.place(tick, left, WIDTH - RIGHT)
        parts.append(
            f'<line class="grid" x1="{place:.1f}" x2="{place:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>'
        )
        parts.append(_draw_text(place, height - BOTTOM + 16, f"{show_number(tick)} {x.unit}", "middle"))
    for row, name in enumerate(names):
        y = TOP + row * row_height
        parts.append(
            f'<rect class="row" x="{left}" y="{y + 1}" width="{WIDTH - RIGHT - left}" height="{row_height - 2}"/>'
        )
        if row_height >= 14 or row % 2 == 0:
            shown = name if len(name) <= 20 else f"{name[:13]}…{name[-6:]}"
            parts.append(_draw_text(left - 8, y + row_height / 2 + 4, shown, "end", name))
    parts += _draw_rectangles(rectangles, x, left, row_height)
    return _wrap(parts, height, title)


def _draw_rectangles(rectangles: Iterable[Rectangle], x: Axis, left: int, row_height: int) -> Iterator[str]:
    inner = row_height - 4
    for each in rectangles:
        start, end = (x.place(value, left, WIDTH - RIGHT) for value in (each.start, each.end))
        y = TOP + each.row * row_height + 2 + each.top * inner
        title = f"<title>{html.escape(each.title)}</title>" if each.title else ""
        opacity = f' opacity="{each.opacity:.2f}"' if each.opacity < 1 else ""
        yield (
            f'<rect x="{start:.1f}" y="{y:.1f}" width="{max(end - start, 0.5):.1f}" '
            f'height="{max((each.bottom - each.top) * inner, 0.5):.1f}" fill="{each.colour}"{opacity}>{title}</rect>'
        )


def _draw_frame(x: Axis, y: Axis, height: int) -> str:
    parts = []
    for tick in y.list_ticks(5):
        place = _place_y(y, tick, height)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{place:.1f}" y2="{place:.1f}"/>'
        )
        parts.append(_draw_text(LEFT - 8, place + 4, show_number(tick), "end"))
    for tick in x.list_ticks(8):
        parts.append(
            _draw_text(_place_x(x, tick), height - BOTTOM + 18, f"{show_number(tick)} {x.unit}", "middle")
        )
    parts.append(
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height - BOTTOM}" y2="{height - BOTTOM}"/>'
    )
    return "".join(parts)


def _draw_line(line: Line, x: Axis, y: Axis, height: int) -> str:
    points = [(_place_x(x, at), _place_y(y, value, height)) for at, value in line.points]
    path = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for at, value in points[1:]:
        path.append(f"H{at:.1f}V{value:.1f}" if line.is_stepped else f"L{at:.1f} {value:.1f}")
    dash = ' stroke-dasharray="6 4"' if line.is_dashed else ""
    title = f"<title>{html.escape(line.name)}</title>" if line.name else ""
    drawn = f'<path d="{"".join(path)}" fill="none" stroke="{line.colour}" stroke-width="1.8"{dash}>{title}</path>'
    if not line.is_filled:
        return drawn
    floor = height - BOTTOM
    area = f"{''.join(path)}V{floor}H{points[0][0]:.1f}Z"
    return f'<path d="{area}" fill="{line.colour}" opacity="0.18"/>{drawn}'


def _draw_band(band: Band, x: Axis, y: Axis, height: int) -> str:
    upper = [(_place_x(x, at), _place_y(y, high, height)) for at, _, high in band.points]
    lower = [(_place_x(x, at), _place_y(y, low, height)) for at, low, _ in reversed(band.points)]
    path = "L".join(f"{at:.1f} {value:.1f}" for at, value in (*upper, *lower))
    return f'<path d="M{path}Z" fill="{band.colour}" opacity="0.3"><title>{html.escape(band.name)}</title></path>'


def _place_x(x: Axis, value: float) -> float:
    return x.place(value, LEFT, WIDTH - RIGHT)


def _place_y(y: Axis, value: float, height: int) -> float:
    return y.place(value, height - BOTTOM, TOP)


def _draw_text(x: float, y: float, text: str, anchor: str, title: str = "") -> str:
    hover = f"<title>{html.escape(title)}</title>" if title else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text.strip())}{hover}</text>'


def _wrap(parts: Iterable[str], height: int, title: str) -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{html.escape(title, quote=True)}">{body}</svg>'

"""Loads for the simulator: what the tasks of a run need, drawn from distributions or read from a log or a trace.

Memory is what varies, as in the papers; each task keeps one core busy and takes a little disk. A task's time goes with what
it does, not with its memory, unless the shape says so.
"""

from __future__ import annotations

import csv
import math
import random
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wq_package.report import read_run
from wq_package.report.run import TryEnd

__all__ = ["HEP", "SHAPES", "Load", "Need", "find_most", "make_load", "read_log", "read_trace"]

DEFAULT = "default"
COLUMNS = ("category", "cores", "memory", "disk", "wall_time")
"""What a trace must have: numbers but for the first, in MB and seconds."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one task needs to come to its end."""

    seconds: float
    cores: int
    memory_mb: int
    disk_mb: int
    category: str = DEFAULT


@dataclass(frozen=True, slots=True)
class Load:
    """The tasks of a run, in the order in which they are submitted, and what a careful user would declare for each category."""

    name: str
    needs: tuple[Need, ...]
    guesses: Mapping[str, Need]


Draw = Callable[[random.Random, float], float]
"""MB of memory, from a source of randomness and how much of the run is over (0 to 1)."""


def _draw_modes(*modes: tuple[float, float]) -> Draw:
    centres = [centre for centre, _ in modes]
    weights = [weight for _, weight in modes]
    return lambda rng, _: rng.gauss(rng.choices(centres, weights)[0], 250)


SHAPES: dict[str, Draw] = {
    "normal": lambda rng, _: rng.gauss(6000, 1500),
    "uniform": lambda rng, _: rng.uniform(500, 12000),
    "bimodal": _draw_modes((2500, 0.7), (11000, 0.3)),
    "trimodal": _draw_modes((2000, 0.5), (6000, 0.3), (14000, 0.2)),
    "exponential": lambda rng, _: 300 + rng.expovariate(1 / 3000),
    "drifting": lambda rng, over: rng.gauss(2000 + 10000 * over, 600),
}
HEP = "HEP"


def make_load(shape: str, count: int, seed: int) -> Load:
    """Draw a load of this shape."""
    rng = random.Random(f"{shape} {seed}")
    if shape == HEP:
        needs = tuple(_draw_hep(rng) for _ in range(count))
        return Load(shape, needs, {DEFAULT: Need(0, 1, 1500, 2000)})
    draw = SHAPES[shape]
    needs = tuple(_make_need(rng, draw(rng, place / count)) for place in range(count))
    # Who has no idea of the rest declares half as much again as the largest task that was ever seen, in round figures.
    most = max(need.memory_mb for need in needs)
    return Load(shape, needs, {DEFAULT: Need(0, 1, math.ceil(1.5 * most / 1000) * 1000, 1000)})


def _make_need(rng: random.Random, memory: float) -> Need:
    return Need(rng.uniform(30, 90), 1, round(min(max(memory, 50.0), 30000.0)), rng.randint(50, 200))


def _draw_hep(rng: random.Random) -> Need:
    """One task of the high-energy physics run in the LFM paper: 40 to 70 s, 84 MB mostly and 110 MB at most."""
    memory = min(110.0, max(60.0, rng.gauss(78, 4)))
    if rng.random() < 0.005:
        memory = rng.uniform(90, 110)
    return Need(rng.uniform(40, 70), 1, round(memory), rng.randint(600, 880))


def read_log(path: Path) -> Load:
    """Read what the tasks of a real run needed from its transaction log."""
    with path.open(encoding="utf-8") as lines:
        tries = read_run(lines).tries
    needs = tuple(
        Need(
            each.seconds or 0.0,
            max(1, round(each.used_cores or 0)),
            math.ceil(each.used_memory),
            math.ceil(each.used_disk or 0),
            each.category,
        )
        for each in tries
        if each.end is TryEnd.DONE and each.used_memory is not None
    )
    if not needs:
        raise SystemExit(f"{path}: no task of its last run ended and was measured")
    return _make_measured_load(path, needs)


def read_trace(path: Path) -> Load:
    """Read what tasks needed from a table with a heading and the columns of `COLUMNS`, one task a line.

    A task whose `wall_time` is 0 was not timed; it takes what the tasks of its category that were timed took in the median.
    """
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise SystemExit(f"{path}: its first line names no column {missing[0]!r}")
        needs = [_read_row(row, f"{path}, line {rows.line_num}") for row in rows]
    if not needs:
        raise SystemExit(f"{path}: there are no tasks below its first line")
    return _make_measured_load(path, _time_untimed(path, needs))


def _read_row(row: Mapping[str, str | None], place: str) -> Need:
    cores, memory, disk, seconds = (_read_amount(row, name, place) for name in COLUMNS[1:])
    whole = (max(1, math.ceil(cores)), max(1, math.ceil(memory)), math.ceil(disk))
    return Need(seconds, *whole, row["category"] or DEFAULT)


def _read_amount(row: Mapping[str, str | None], name: str, place: str) -> float:
    text = row[name] or ""
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not 0 <= amount < math.inf:
        raise SystemExit(f"{place}: {name} is {text!r}, not a number from 0 on")
    return amount


def _time_untimed(path: Path, needs: Sequence[Need]) -> Iterable[Need]:
    timed: dict[str, list[float]] = {need.category: [] for need in needs}
    for need in needs:
        if need.seconds:
            timed[need.category].append(need.seconds)
    unknown = [category for category, seconds in timed.items() if not seconds]
    if unknown:
        raise SystemExit(f"{path}: no task of category {unknown[0]!r} has a wall_time above 0")
    typical = {category: statistics.median(seconds) for category, seconds in timed.items()}
    return (replace(need, seconds=need.seconds or typical[need.category]) for need in needs)


def _make_measured_load(path: Path, needs: Iterable[Need]) -> Load:
    """Make a load of measured tasks; its user declares half as much again as the largest of each category."""
    needs = tuple(needs)
    guesses = {
        category: Need(
            0, most.cores, math.ceil(1.5 * most.memory_mb), math.ceil(1.5 * most.disk_mb), category
        )
        for category, most in find_most(needs).items()
    }
    return Load(path.name, needs, guesses)


def find_most(needs: Iterable[Need]) -> dict[str, Need]:
    """Find for each category the most of each kind that any of its tasks needs."""
    most: dict[str, Need] = {}
    for need in needs:
        other = most.get(need.category, need)
        most[need.category] = Need(
            max(need.seconds, other.seconds),
            max(need.cores, other.cores),
            max(need.memory_mb, other.memory_mb),
            max(need.disk_mb, other.disk_mb),
            need.category,
        )
    return most

"""Loads for the simulator: what the tasks of a run need, drawn from distributions or read from a transaction log.

Memory is what varies, as in the papers; each task keeps one core busy and takes a little disk. A task's time goes with what
it does, not with its memory, unless the shape says so.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wq_package.report import read_run
from wq_package.report.run import TryEnd

__all__ = ["HEP", "SHAPES", "Load", "Need", "make_load", "read_load"]


@dataclass(frozen=True, slots=True)
class Need:
    """What one task needs to come to its end."""

    seconds: float
    cores: int
    memory_mb: int
    disk_mb: int


@dataclass(frozen=True, slots=True)
class Load:
    """The tasks of a run, in the order in which they are submitted, and what a careful user would declare for them."""

    name: str
    needs: tuple[Need, ...]
    guess: Need


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
        return Load(shape, needs, Need(0, 1, 1500, 2000))
    draw = SHAPES[shape]
    needs = tuple(_make_need(rng, draw(rng, place / count)) for place in range(count))
    # Who has no idea of the rest declares half as much again as the largest task that was ever seen, in round figures.
    most = max(need.memory_mb for need in needs)
    return Load(shape, needs, Need(0, 1, math.ceil(1.5 * most / 1000) * 1000, 1000))


def _make_need(rng: random.Random, memory: float) -> Need:
    return Need(rng.uniform(30, 90), 1, round(min(max(memory, 50.0), 30000.0)), rng.randint(50, 200))


def _draw_hep(rng: random.Random) -> Need:
    """One task of the high-energy physics run in the LFM paper: 40 to 70 s, 84 MB mostly and 110 MB at most."""
    memory = min(110.0, max(60.0, rng.gauss(78, 4)))
    if rng.random() < 0.005:
        memory = rng.uniform(90, 110)
    return Need(rng.uniform(40, 70), 1, round(memory), rng.randint(600, 880))


def read_load(path: Path) -> Load:
    """Read what the tasks of a real run needed from its transaction log."""
    with path.open(encoding="utf-8") as lines:
        tries = read_run(lines).tries
    needs = tuple(
        Need(
            each.seconds or 0.0,
            max(1, round(each.used_cores or 0)),
            math.ceil(each.used_memory),
            math.ceil(each.used_disk or 0),
        )
        for each in tries
        if each.end is TryEnd.DONE and each.used_memory is not None
    )
    if not needs:
        raise SystemExit(f"{path}: no task of its last run ended and was measured")
    memory, disk = max(need.memory_mb for need in needs), max(need.disk_mb for need in needs)
    return Load(path.name, needs, Need(0, 1, math.ceil(1.5 * memory), math.ceil(1.5 * disk)))

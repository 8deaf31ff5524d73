"""A map-reduce of the shape that particle physics has: events in chunks, histograms of each, one histogram of all, one fit.

    python examples/dimuon.py [--chunks 16] [--events 50000]

Each chunk of simulated collisions is a task: it makes muon pairs, computes their invariant mass and fills a histogram.
Histograms are added in a tree, a few at a time, as soon as they are there: no task waits for all others, and none has to
hold everything. The last task fits the peak. numpy fills, scipy fits: the environment of the chunks has no scipy.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import numpy as np
import parsl
from parsl import Config, python_app
from parsl.dataflow.futures import AppFuture
from scipy.optimize import curve_fit

from wq_package.executor import WQPackageExecutor

MASS, WIDTH = 91.19, 2.5
EDGES = np.linspace(60.0, 120.0, 121)
FAN_IN = 4


def simulate_pairs(count: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Make the momenta and angles of muon pairs: two thirds from a resonance, one third background."""
    is_signal = rng.random(count) < 2 / 3
    mass = np.where(is_signal, rng.normal(MASS, WIDTH, count), 60.0 + rng.exponential(30.0, count))
    eta = rng.normal(0.0, 1.0, (2, count))
    phi = rng.uniform(-np.pi, np.pi, (2, count))
    angle = np.cosh(eta[0] - eta[1]) - np.cos(phi[0] - phi[1])
    pt1 = rng.uniform(20.0, 60.0, count)
    pt2 = mass**2 / (2 * pt1 * angle)
    return pt1, pt2, eta[0], eta[1], phi[0], phi[1]


def compute_mass(pairs: tuple[np.ndarray, ...]) -> np.ndarray:
    """Compute the invariant masses of pairs of light particles."""
    pt1, pt2, eta1, eta2, phi1, phi2 = pairs
    return np.sqrt(2 * pt1 * pt2 * (np.cosh(eta1 - eta2) - np.cos(phi1 - phi2)))


@python_app
def fill(chunk: int, events: int) -> np.ndarray:
    """Map: fill the histogram of one chunk of events."""
    pairs = simulate_pairs(events, np.random.default_rng(chunk))
    return np.histogram(compute_mass(pairs), bins=EDGES)[0]


@python_app
def add(*histograms: np.ndarray) -> np.ndarray:
    """Reduce: add a few histograms."""
    return np.sum(histograms, axis=0)


def shape(x: np.ndarray, peak: float, mass: float, width: float, level: float, slope: float) -> np.ndarray:
    """The peak on its background."""
    return peak * np.exp(-0.5 * ((x - mass) / width) ** 2) + level * np.exp(-(x - EDGES[0]) / slope)


@python_app
def fit(histogram: np.ndarray) -> tuple[float, float]:
    """Fit the peak; return mass and width."""
    centres = (EDGES[:-1] + EDGES[1:]) / 2
    start = (histogram.max(), 90.0, 3.0, histogram[0], 30.0)
    found, _ = curve_fit(shape, centres, histogram, p0=start)
    return float(found[1]), abs(float(found[2]))


def reduce_in_a_tree(histograms: list[AppFuture]) -> AppFuture:
    """Add all histograms, a few at a time."""
    while len(histograms) > 1:
        groups = [histograms[start : start + FAN_IN] for start in range(0, len(histograms), FAN_IN)]
        histograms = [add(*group) for group in groups]
    return histograms[0]


def main() -> None:
    options = parse_arguments()
    executor = WQPackageExecutor(pack=True)
    with (
        tempfile.TemporaryDirectory(prefix="dimuon-") as run_dir,
        parsl.load(Config(executors=[executor], run_dir=run_dir, initialize_logging=False)),
    ):
        chunks: list[Any] = [fill(chunk, options.events) for chunk in range(options.chunks)]
        total = reduce_in_a_tree(chunks)
        mass, width = fit(total).result()
        pairs = int(total.result().sum())
        layers = {
            packed.name: {each.name for each in packed.built.layers} for packed in executor.list_packed()
        }
    print(f"{pairs} muon pairs from {options.chunks} chunks")
    print(f"mass {mass:.2f} GeV, width {width:.2f} GeV")
    for app in ("fill", "fit"):
        print(f"{app} brought scipy along: {'scipy' in layers[app]}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Find a resonance in simulated collisions.")
    parser.add_argument("--chunks", type=int, default=16)
    parser.add_argument("--events", type=int, default=50_000, help="in each chunk")
    return parser.parse_args()


if __name__ == "__main__":
    main()

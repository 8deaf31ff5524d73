"""The model of `quickstart.py`: the user's own module, which lies beside the script and is installed nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np

TRUE = {"amplitude": 4.0, "lifetime": 2.2, "background": 0.5}


def predict(time: Any, amplitude: float, lifetime: float, background: float) -> Any:
    """Predict what a detector counts at some times after a pulse."""
    return amplitude * np.exp(-time / lifetime) + background


def measure(points: int, seed: int) -> tuple[Any, Any]:
    """Make up a measurement: times and noisy counts."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 10, points)
    return time, predict(time, **TRUE) + rng.normal(0, 0.15, points)

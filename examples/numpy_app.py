"""The numpy app of the documentation's kind, as it stands, and as one would like to write it.

    python examples/numpy_app.py

Parsl's documentation has apps import what they need inside their own body, because nothing else of the module reaches the
worker. That works here without a change, on workers that have no numpy. So does the other form: what stands at the top of
the module, imports, constants and helpers, travels with the app.
"""

from __future__ import annotations

import tempfile

import numpy as np
import parsl
from parsl import Config, python_app

from wq_package.executor import WQPackageExecutor

SIZE = 200


@python_app
def find_largest(seed: int) -> float:
    """Find the largest eigenvalue of a random matrix; everything that is used is imported inside."""
    import numpy as np

    matrix = np.random.default_rng(seed).normal(size=(200, 200))
    return float(np.linalg.eigvalsh(matrix + matrix.T).max())


def make_matrix(seed: int) -> np.ndarray:
    """Make a random symmetric matrix."""
    matrix = np.random.default_rng(seed).normal(size=(SIZE, SIZE))
    return matrix + matrix.T


@python_app
def find_largest_again(seed: int) -> float:
    """The same, with what the module has."""
    return float(np.linalg.eigvalsh(make_matrix(seed)).max())


def main() -> None:
    executor = WQPackageExecutor(pack=True)
    with (
        tempfile.TemporaryDirectory(prefix="numpy-app-") as run_dir,
        parsl.load(Config(executors=[executor], run_dir=run_dir, initialize_logging=False)),
    ):
        first = [find_largest(seed) for seed in range(8)]
        second = [find_largest_again(seed) for seed in range(8)]
        one, other = ([future.result() for future in futures] for futures in (first, second))
    print(f"mean of the largest eigenvalues: {np.mean(one):.3f}")
    print(f"the same both ways: {one == other}")


if __name__ == "__main__":
    main()

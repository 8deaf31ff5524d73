"""Bootstrap a fitted model with Parsl, on workers that have nothing installed.

    python examples/quickstart.py [--tasks 300] [--workers 2]

Two apps with different imports: `fit` needs numpy, scipy and the module `decay` beside this file; `summarize` needs pandas. Each
runs in an environment of its own that is made while the program runs. The workers start with an empty
environment (`env -i`) and no Python on their path.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import Any

import decay
import parsl
from parsl import Config, python_app
from parsl.providers import LocalProvider
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from wq_package.executor import WQPackageExecutor, default_worker_command


@python_app
def fit(time: Any, counts: Any, seed: int) -> dict[str, float]:
    """Fit the model to one resample of the measurement."""
    import numpy as np
    from scipy.optimize import curve_fit

    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(time), len(time))
    best, _ = curve_fit(decay.predict, time[chosen], counts[chosen], p0=[1.0, 1.0, 0.0], maxfev=5000)
    return dict(zip(["amplitude", "lifetime", "background"], map(float, best), strict=True))


@python_app
def summarize(fits: list[dict[str, float]]) -> Any:
    """Turn many fits into estimates and intervals."""
    import pandas as pd

    table = pd.DataFrame(fits)
    return pd.DataFrame(
        {"estimate": table.median(), "low": table.quantile(0.025), "high": table.quantile(0.975)}
    )


@dataclass
class Clock:
    """When things happened, in seconds since the first task was submitted."""

    start: float
    first: float = 0.0
    fits: float = 0.0
    end: float = 0.0

    def read(self) -> float:
        return time.perf_counter() - self.start


def main() -> None:
    options = parse_arguments()
    console = Console()
    # A worker's own environment is emptied: what a task needs can only come from its packaged environment.
    bare = f"env -i PATH=/nowhere {default_worker_command()}"
    executor = WQPackageExecutor(
        pack=True,
        worker_executable=bare,
        worker_options="--cores 1",
        provider=LocalProvider(init_blocks=options.workers, max_blocks=options.workers),
    )
    with (
        tempfile.TemporaryDirectory(prefix="quickstart-") as run_dir,
        parsl.load(Config(executors=[executor], run_dir=run_dir, strategy="none", initialize_logging=False)),
    ):
        executor.prepare(fit, summarize)  # else `summarize` would be looked at when the fits are done
        console.print(f"{options.tasks} fits on {options.workers} workers that were started with `env -i`\n")
        estimates, clock = bootstrap(options.tasks, console)
        print_estimates(console, estimates)
        print_environments(console, executor)
        print_times(console, executor, clock, options.tasks)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Bootstrap a fitted model on workers that have nothing installed."
    )
    parser.add_argument("--tasks", type=int, default=300, help="resamples to fit (default 300)")
    parser.add_argument("--workers", type=int, default=2, help="workers to start (default 2)")
    return parser.parse_args()


def bootstrap(tasks: int, console: Console) -> tuple[Any, Clock]:
    when, counts = decay.measure(points=80, seed=1)
    clock = Clock(time.perf_counter())
    futures = [fit(when, counts, seed) for seed in range(tasks)]
    for future in follow(futures, console):
        future.result()  # one failure ends the program
        clock.first = clock.first or clock.read()
    clock.fits = clock.read()
    estimates = summarize([future.result() for future in futures]).result()
    clock.end = clock.read()
    return estimates, clock


def follow(futures: list[Any], console: Console) -> Any:
    """Yield futures as they end, and draw how far they are."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("preparing the environment", total=len(futures))
        for future in as_completed(futures):
            progress.update(bar, advance=1, description="fitting")
            yield future


def print_estimates(console: Console, estimates: Any) -> None:
    table = Table("parameter", "true", "estimate", "95 % interval", title="Result")
    for name, row in estimates.iterrows():
        interval = f"{row['low']:.3f} … {row['high']:.3f}"
        table.add_row(str(name), f"{decay.TRUE[str(name)]:.3f}", f"{row['estimate']:.3f}", interval)
    console.print(table)


def print_environments(console: Console, executor: WQPackageExecutor) -> None:
    table = Table("app", "environment", "size", "layers", title="Environments")
    for packed in executor.list_packed():
        layers = ", ".join(f"{layer.name} {layer.version}".strip() for layer in packed.built.layers)
        table.add_row(
            packed.name, packed.environment.digest[:12], f"{packed.built.size / 1e6:.0f} MB", layers
        )
    console.print(table)


def print_times(console: Console, executor: WQPackageExecutor, clock: Clock, tasks: int) -> None:
    table = Table("what", "seconds", title="Times")
    for packed in executor.list_packed():
        table.add_row(f"analyse `{packed.name}`", f"{packed.seconds_analyze:.3f}")
        made = f"{packed.built.layers_built} layers made, {packed.built.layers_reused} reused"
        table.add_row(f"build for `{packed.name}` ({made})", f"{packed.seconds_build:.3f}")
    table.add_row("first fit, from submitting it to its result", f"{clock.first:.3f}")
    rest = clock.fits - clock.first
    rate = f", {(tasks - 1) / rest:.0f} a second" if rest > 0 else ""
    table.add_row(f"the other {tasks - 1} fits{rate}", f"{rest:.3f}")
    table.add_row("summary", f"{clock.end - clock.fits:.3f}")
    console.print(table)


if __name__ == "__main__":
    main()

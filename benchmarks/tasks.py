"""What a Parsl task costs: no-op apps through our executor and through Parsl's own, side by side.

    python benchmarks/tasks.py [--rounds 5] [--tasks 2000] [--latency 300] [--only "ours, pack;htex"] [--with work_queue]

Each measurement is a process of its own; executors take turns, round after round, so that a busy machine is busy for all of
them. Printed are medians, and ratios to Parsl's HighThroughputExecutor. Two workers with one core each, everywhere.
Parsl's `WorkQueueExecutor` (see `work_queue_peer.py`) takes 0.3 s for a task and 3 s with `pack=True`: it gets few of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import parsl
import work_queue_peer
from parsl import Config, python_app
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.executors.base import ParslExecutor
from parsl.providers import LocalProvider

from wq_package.executor import WQPackageExecutor

WORKERS = 2
WARM_UP = 200


@python_app
def noop(x: int) -> int:
    """Return the argument."""
    return x


def make_ours(**options: Any) -> ParslExecutor:
    """Make our executor with two workers."""
    provider = LocalProvider(init_blocks=WORKERS, min_blocks=WORKERS, max_blocks=WORKERS)
    return WQPackageExecutor(provider=provider, worker_options="--cores 1", **options)


def make_htex() -> ParslExecutor:
    """Make Parsl's fastest executor that has workers."""
    provider = LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1)
    return HighThroughputExecutor(
        address="127.0.0.1", max_workers_per_node=WORKERS, encrypted=False, provider=provider
    )


EXECUTORS: dict[str, Callable[[], ParslExecutor]] = {
    "ours, pack": lambda: make_ours(pack=True),
    "ours, pack, fork": lambda: make_ours(pack=True, call_mode="fork"),
    "ours, no pack": lambda: make_ours(pack=False),
    "htex": make_htex,
    "threads": lambda: ThreadPoolExecutor(max_threads=WORKERS),
    "work queue": lambda: work_queue_peer.make_executor(WORKERS, pack=False),
    "work queue, pack": lambda: work_queue_peer.make_executor(WORKERS, pack=True),
}
FEW_TASKS = {"work queue": 20, "work queue, pack": 4}
FEW_SINGLES = {"work queue": 5, "work queue, pack": 2}


def measure(name: str, tasks: int, singles: int) -> dict[str, float]:
    """Measure one executor: first task, tasks a second, one at a time."""
    tasks, singles = min(tasks, FEW_TASKS.get(name, tasks)), min(singles, FEW_SINGLES.get(name, singles))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as run_dir:
        # Parsl's own default logging, as users have it.
        config = Config(executors=[EXECUTORS[name]()], run_dir=run_dir, strategy="none")
        with parsl.load(config):
            noop(0).result()
            first = time.perf_counter() - began
            for future in [noop(x) for x in range(min(WARM_UP, tasks // 3))]:
                future.result()
            rate = measure_rate(tasks)
            latency = measure_latency(singles)
    return {"first": first, "rate": rate, "latency": latency}


def measure_rate(tasks: int) -> float:
    """Submit all, then wait for all."""
    start = time.perf_counter()
    futures = [noop(x) for x in range(tasks)]
    for x, future in enumerate(futures):
        assert future.result() == x
    return tasks / (time.perf_counter() - start)


def measure_latency(singles: int) -> float:
    """Submit one, wait for it, and so on; the median in seconds."""
    times = []
    for x in range(singles):
        start = time.perf_counter()
        noop(x).result()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def run_child(name: str, options: argparse.Namespace, variables: Mapping[str, str]) -> dict[str, float]:
    """Measure in a fresh process."""
    command = [sys.executable, __file__, "--measure", name]
    command += ["--tasks", str(options.tasks), "--latency", str(options.latency)]
    # Parsl's HighThroughputExecutor finds its own programs by the path.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, **(variables if name in FEW_TASKS else {})}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environ)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Take the measurements and print the table."""
    options = parse_arguments()
    if options.measure:
        print(json.dumps(measure(options.measure, options.tasks, options.latency)))
        return
    names = [name for name in EXECUTORS if not options.only or name in options.only.split(";")]
    if "work_queue" not in options.peers:
        names = [name for name in names if name not in FEW_TASKS]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        variables = work_queue_peer.prepare(Path(folder)) if set(FEW_TASKS) & set(names) else {}
        for number in range(options.rounds):
            for name in names if number % 2 == 0 else reversed(names):
                found[name].append(run_child(name, options, variables))
    print_table(found)


def print_table(found: dict[str, list[dict[str, float]]]) -> None:
    """Print medians and ratios."""
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for name, runs in found.items()
    }
    base = medians.get("htex")
    print(f"{'executor':18} {'first task':>11} {'tasks/s':>9} {'to HTEX':>8} {'latency':>10} {'to HTEX':>8}")
    for name, row in medians.items():
        rate = f"{row['rate'] / base['rate']:.2f}" if base else ""
        latency = f"{row['latency'] / base['latency']:.2f}" if base else ""
        print(
            f"{name:18} {row['first']:9.2f} s {row['rate']:9.{0 if row['rate'] >= 10 else 2}f} {rate:>8} {row['latency'] * 1e3:7.2f} ms {latency:>8}"
        )


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Compare what a no-op task costs through several Parsl executors."
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--latency", type=int, default=300, help="tasks sent one at a time")
    parser.add_argument("--only", default="", help="names of executors, separated by `;`")
    parser.add_argument(
        "--with",
        dest="peers",
        action="append",
        default=[],
        choices=["work_queue"],
        help="add Parsl's Work Queue",
    )
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()

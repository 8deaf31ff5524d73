"""Tasks whose memory varies, with real processes: labels of our own against a guess and against whole workers.

    python benchmarks/labels.py [--tasks 2000] [--rounds 1] [--only adaptive,max-throughput] [--logs FOLDER]

Two workers of this machine, of 16 cores and 400 MB each as far as the manager knows. A task is a call that holds some memory
for a moment: 10 MB for seven in ten, 60 MB for the rest, give or take; so little, because otherwise it is the machine's processors,
which have to provide every page, that bound the run, and not the memory. The guess is what a careful user declares, having seen
the largest: 1 core and half as much memory again as that needs, 110 MB. Strategies take turns, so that a busy machine is busy for all
of them; printed are medians, and how much processor time a run took of all that there was: near 100 %, it tells nothing about
labels. With `--logs`, the transaction log of each run is kept there, for `wq-package report` and `simulate.py --log`. Without
labels two tasks run at a time: 2,000 tasks of 0.2 s then take four minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cloudpickle

from wq_package.manager import BlockingManager, ManagerOptions
from wq_package.resources import CategoryOptions, LabelMode
from wq_package.task import Call, CallMode, Function, Resources, Task, TaskResult

WORKERS = 2
MEMORY_MB = 400
SIZES = ((10, 2), (60, 5))
"""MB, in the mean and the standard deviation: of seven in ten, and of the rest."""
GUESS = Resources(1, 110, 100)
MODES = {
    "adaptive": LabelMode.ADAPTIVE,
    "max-throughput": LabelMode.MAX_THROUGHPUT,
    "min-waste": LabelMode.MIN_WASTE,
    "guess": LabelMode.FIXED,
    "unmanaged": LabelMode.FIXED,
}


def hold(megabytes: int, seconds: float) -> int:
    """Hold some memory for a moment."""
    import time

    held = bytearray(megabytes << 20)
    held[::4096] = b"x" * len(held[::4096])
    time.sleep(seconds)
    return len(held)


def make_tasks(count: int, seconds: float, declared: Resources) -> list[Task]:
    """Make the tasks: the same in every run."""
    rng = random.Random(8)
    body = cloudpickle.dumps(hold)
    function = Function(hashlib.sha256(body).hexdigest(), body)
    sizes = (max(3, round(rng.gauss(*SIZES[rng.random() >= 0.7]))) for _ in range(count))
    return [
        Task(
            call=Call(function, pickle.dumps(((size, seconds), {})), CallMode.FORK),
            resources=declared,
            category="hold",
        )
        for size in sizes
    ]


def start_worker(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start a worker that says that it has 16 cores and little memory."""
    command = [sys.executable, "-m", "wq_package_cli", "worker", "127.0.0.1", str(port), "--cores", "16"]
    command += [
        "--memory",
        str(MEMORY_MB),
        "--disk",
        "2000",
        "--workdir",
        str(folder),
        "-P",
        str(folder.parent / "password"),
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run."""

    seconds: float
    retries: int
    failed: int
    busy: float
    """Which part of the machine's processor time somebody used meanwhile."""


def read_processor_time() -> tuple[float, float]:
    """Read how much processor time was used, and how much there was, since the machine was started."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def measure(strategy: str, count: int, seconds: float, logs: Path | None) -> Outcome:
    """Run all tasks with one strategy."""
    options = ManagerOptions(
        default_category=CategoryOptions(MODES[strategy]),
        transaction_log=logs / f"{strategy}.log" if logs else None,
    )
    declared = GUESS if strategy == "guess" else Resources()
    with tempfile.TemporaryDirectory() as name, BlockingManager(options) as manager:
        folder = Path(name)
        manager.save_password(folder / "password")
        for place in range(WORKERS):
            (folder / f"worker{place}").mkdir()
        workers = [start_worker(manager.port, folder / f"worker{place}") for place in range(WORKERS)]
        try:
            while manager.statistics().workers_connected < WORKERS:
                time.sleep(0.05)
            started, (used, there_was) = time.monotonic(), read_processor_time()
            manager.submit_many(make_tasks(count, seconds, declared))
            results = [manager.wait() for _ in range(count)]
            took, (used_in_the_end, there_was_in_the_end) = time.monotonic() - started, read_processor_time()
            retries = manager.statistics().retries
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait()
    failed = sum(not isinstance(each, TaskResult) or not each.is_success for each in results)
    busy = (used_in_the_end - used) / max(1, there_was_in_the_end - there_was)
    return Outcome(took, retries, failed, busy)


def main() -> None:
    """Measure every strategy, round after round."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=0.2, help="how long each task holds its memory")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default="adaptive,guess,unmanaged", help=f"of {', '.join(MODES)}")
    parser.add_argument("--logs", type=Path)
    args = parser.parse_args()
    names = args.only.split(",")
    unknown = [name for name in names if name not in MODES]
    if unknown:
        parser.error(f"there is no {unknown[0]!r}; there are {', '.join(MODES)}")
    if args.logs:
        args.logs.mkdir(parents=True, exist_ok=True)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
    for number in range(args.rounds):
        for name in names:
            print(f"round {number + 1}: {name}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
            outcomes[name].append(measure(name, args.tasks, args.seconds, args.logs))
    print(f"{args.tasks} tasks of {args.seconds:g} s, {WORKERS} workers, medians of {args.rounds}")
    print(f"{'':16}{'time':>10}{'retries':>9}{'failed':>8}{'processors busy':>17}  beside {names[0]}")
    best = statistics.median(each.seconds for each in outcomes[names[0]])
    for name in names:
        print(f"{name:16}{describe(outcomes[name], best)}")


def describe(outcomes: list[Outcome], best: float) -> str:
    """Describe the median of some runs."""
    seconds = statistics.median(each.seconds for each in outcomes)
    retries = statistics.median(each.retries for each in outcomes)
    busy = statistics.median(each.busy for each in outcomes)
    failed = sum(each.failed for each in outcomes)
    return f"{seconds:8.1f} s{retries:9.0f}{failed:8}{busy:17.0%}  {seconds / best:.2f} times"


if __name__ == "__main__":
    main()

"""Tasks whose memory varies, with real processes: labels of our own against a guess and against whole workers.

    python benchmarks/labels.py [--tasks 2000] [--rounds 1] [--only adaptive,guess,unmanaged] [--logs FOLDER]

Two workers of this machine, of 16 cores and 1000 MB each as far as the manager knows. A task is a call that holds some memory
for a moment: 20 MB for seven in ten, 150 MB for the rest, give or take. The guess is what a careful user declares, having seen
the largest: 1 core and 250 MB. Strategies take turns, so that a busy machine is busy for all of them; printed are medians. With
`--logs`, the transaction log of each run is kept there, for `wq-package report` and `simulate.py --log`. Without labels two
tasks run at a time: 2,000 tasks of 0.2 s then take four minutes at least.
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
from pathlib import Path

import cloudpickle

from wq_package.manager import BlockingManager, ManagerOptions
from wq_package.resources import CategoryOptions, LabelMode
from wq_package.task import Call, CallMode, Function, Resources, Task, TaskResult

WORKERS = 2
GUESS = Resources(1, 250, 100)
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
    sizes = (max(5, round(rng.gauss(*((20, 3) if rng.random() < 0.7 else (150, 10))))) for _ in range(count))
    return [
        Task(
            call=Call(function, pickle.dumps(((size, seconds), {})), CallMode.FORK),
            resources=declared,
            category="hold",
        )
        for size in sizes
    ]


def start_worker(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start a worker that says that it has 16 cores and 1000 MB."""
    command = [sys.executable, "-m", "wq_package_cli", "worker", "127.0.0.1", str(port), "--cores", "16"]
    command += [
        "--memory",
        "1000",
        "--disk",
        "2000",
        "--workdir",
        str(folder),
        "-P",
        str(folder.parent / "password"),
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure(strategy: str, count: int, seconds: float, logs: Path | None) -> tuple[float, int, int]:
    """Run all tasks; give seconds, tries that were exhausted, and tasks that failed."""
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
            started = time.monotonic()
            manager.submit_many(make_tasks(count, seconds, declared))
            results = [manager.wait() for _ in range(count)]
            took = time.monotonic() - started
            retries = manager.statistics().retries
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait()
    return took, retries, sum(not isinstance(each, TaskResult) or not each.is_success for each in results)


def main() -> None:
    """Measure every strategy, round after round."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=0.2, help="how long each task holds its memory")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default=",".join(MODES))
    parser.add_argument("--logs", type=Path)
    args = parser.parse_args()
    if args.logs:
        args.logs.mkdir(parents=True, exist_ok=True)
    names = args.only.split(",")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    print(f"{args.tasks} tasks of {args.seconds:g} s, {WORKERS} workers, load {os.getloadavg()[0]:.1f}")
    for _ in range(args.rounds):
        for name in names:
            took, retries, failed = measure(name, args.tasks, args.seconds, args.logs)
            seconds[name].append(took)
            print(f"{name:16}{took:8.1f} s  {retries:5} retries  {failed} failed", flush=True)
    best = statistics.median(seconds[names[0]])
    for name in names:
        median = statistics.median(seconds[name])
        print(f"{name:16}{median:8.1f} s  {median / best:.2f} times {names[0]}")


if __name__ == "__main__":
    main()

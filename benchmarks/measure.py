"""What does measuring cost? Prints the processor time of a worker with many running tasks, ours and the original.

Starts a Debian Work Queue manager, a worker with as many cores as there are tasks, and tasks that sleep (each a shell
with a child process). While all of them run, the processor time of the worker and its helpers is taken over some seconds:

    ours            our worker, which measures every task
    enforcing       our worker, which also holds every task to its limits
    original        `work_queue_worker`, which measures none
    monitored       `work_queue_worker`, with `resource_monitor` around each task (its manager's monitoring)

One line for each: percent of one core, median of the rounds.

    python benchmarks/measure.py --tasks 64 --seconds 10
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

MANAGER = """
import os, sys
import work_queue as wq
count, seconds, monitor, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "1", sys.argv[4]
queue = wq.WorkQueue(port=0)
if monitor:
    queue.enable_monitoring(folder + "/measured", False)
for _ in range(count):
    task = wq.Task("sleep %s; true" % seconds)
    task.specify_cores(1); task.specify_memory(10); task.specify_disk(10); task.specify_gpus(0)
    queue.submit(task)
print(queue.port, flush=True)
while True:
    queue.wait(1)
    if queue.stats.tasks_on_workers >= count:
        print("running", flush=True)
        break
while True:
    queue.wait(1)
"""


_KINDS = ("ours", "enforcing", "original", "monitored")


def main() -> int:
    """Measure each worker in turn; print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", choices=_KINDS)
    args = parser.parse_args()
    found: dict[str, list[float]] = {}
    for _ in range(args.rounds):
        for kind in [args.only] if args.only else _KINDS:
            found.setdefault(kind, []).append(_measure(kind, args.tasks, args.seconds))
    for kind, shares in found.items():
        print(f"{kind:<10} {statistics.median(shares):6.2f} % of a core with {args.tasks} running tasks")
    return 0


def _measure(kind: str, tasks: int, seconds: float) -> float:
    """Percent of a core that a worker takes, with its helpers and monitors, while all tasks run."""
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-measure-") as folder,
        _run_pair(kind, tasks, folder) as worker,
    ):
        time.sleep(5)  # tasks that have just begun are looked at more often
        helpers = [pid for pid in _list_tree(worker) if _find_name(pid) not in ("sleep", "sh")]
        before = {pid: _read_cpu(pid) for pid in helpers}
        began = time.monotonic()
        time.sleep(seconds)
        spent = sum(_read_cpu(pid) - before[pid] for pid in helpers)
        return 100 * spent / (time.monotonic() - began)


@contextlib.contextmanager
def _run_pair(kind: str, tasks: int, folder: str) -> Iterator[int]:
    environ = {**os.environ, "CATALOG_HOST": "127.0.0.1", "CATALOG_PORT": str(_find_port())}
    with contextlib.ExitStack() as processes:
        arguments = [str(tasks), "600", str(int(kind == "monitored")), folder]
        manager = _start(processes, ["/usr/bin/python3", "-c", MANAGER, *arguments], folder, environ)
        assert manager.stdout is not None
        port = manager.stdout.readline().strip()
        options = [
            "--cores",
            str(tasks),
            "--memory",
            str(10 * tasks),
            "--disk",
            str(10 * tasks),
            "--single-shot",
        ]
        place = ["-s", str(Path(folder, "work"))]
        Path(folder, "work").mkdir()
        program = ["work_queue_worker"]
        if kind in ("ours", "enforcing"):
            program = [sys.executable, "-m", "wq_package_cli", "worker"]
            options += ["--enforce-limits"] * (kind == "enforcing")
        worker = _start(processes, [*program, "127.0.0.1", port, *options, *place], folder, environ)
        assert manager.stdout.readline().strip() == "running"
        yield worker.pid


def _start(
    processes: contextlib.ExitStack, command: list[str], folder: str, environ: dict[str, str]
) -> subprocess.Popen[str]:
    output = subprocess.PIPE if command[1] == "-c" else subprocess.DEVNULL
    process = subprocess.Popen(
        command, cwd=folder, env=environ, stdout=output, stderr=subprocess.DEVNULL, text=True
    )
    processes.callback(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    tree = _list_tree(process.pid)
    for _ in range(2):  # the first one lets ours finish what runs
        process.terminate()
        time.sleep(0.5)
    for pid in reversed(tree):  # the original waits for its tasks' children
        with contextlib.suppress(OSError):
            os.kill(pid, 9)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _find_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _list_tree(root: int) -> list[int]:
    """List a process and all below it, parents first."""
    parents: dict[int, list[int]] = {}
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if place.name.isdigit():
                parent = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
                parents.setdefault(parent, []).append(int(place.name))
    found = [root]
    for pid in found:
        found.extend(parents.get(pid, ()))
    return found


def _find_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _read_cpu(pid: int) -> float:
    """Seconds of processor time, from the scheduler: the clock of 10 ms would miss most of them."""
    total = 0
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


if __name__ == "__main__":
    sys.exit(main())

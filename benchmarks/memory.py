"""How much memory a worker takes before any environment, and whether anything grows over many calls.

    python benchmarks/memory.py [--calls 200000] [--samples 10]

One worker of two cores runs no-op calls in its own Python, in place and, one in twenty, in fork mode. Printed is the resident memory (MB) of the worker, its helper, its interpreters and this manager: before the first call, and after each
tenth. The first tenth warms up; growth is told from its end to the last sample.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import cloudpickle

from wq_package.manager import BlockingManager, ManagerOptions
from wq_package.task import Call, CallMode, Function, Resources, Task

_BATCH = 2000
_FORKED_OF = 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--samples", type=int, default=10)
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="wq-package-memory-") as folder,
        BlockingManager(ManagerOptions(password=None)) as manager,
    ):
        worker = _start_worker(manager.port, Path(folder))
        try:
            while not manager.statistics().workers_connected:
                time.sleep(0.05)
            time.sleep(1.0)
            _measure(manager, worker.pid, args.calls, args.samples)
        finally:
            worker.terminate()
            worker.wait(60)


def _start_worker(port: int, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "wq_package_cli", "worker", "127.0.0.1", str(port), "--single-shot"]
    command += ["--cores", "2", "--store", str(folder / "store"), "--workdir", str(folder / "work")]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def _measure(manager: BlockingManager, worker: int, calls: int, samples: int) -> None:
    print(f"{'calls':>8}  {'worker':>7} {'helper':>7} {'hosts':>7} {'manager':>8}")
    first = _sample(0, worker)
    before = _sample(_run(manager, calls // samples), worker)
    after = before
    for number in range(2, samples + 1):
        _run(manager, calls // samples)
        after = _sample(number * (calls // samples), worker)
    print(
        f"worker before any environment: {first[0]:.1f} MB, target 60: {'met' if first[0] <= 60 else 'MISSED'}"
    )
    names = ("worker", "helper", "hosts", "manager")
    grown = ", ".join(f"{name} {b - a:+.1f}" for name, a, b in zip(names, before, after, strict=True))
    print(f"grown since the first tenth (MB): {grown}")


def _run(manager: BlockingManager, count: int) -> int:
    body = cloudpickle.dumps(_nothing)
    function = Function(sha256(body).hexdigest(), body)
    arguments = pickle.dumps(((), {}))
    for start in range(0, count, _BATCH):
        batch = min(_BATCH, count - start)
        for number in range(batch):
            mode = CallMode.FORK if number % _FORKED_OF == 0 else CallMode.IN_PLACE
            manager.submit(Task(call=Call(function, arguments, mode), resources=Resources(1, 1, 1)))
        for _ in range(batch):
            result = manager.wait(600)
            assert result is not None, "no result came"
            assert result.is_success, result
    return count


def _nothing() -> None:
    return None


_nothing.__module__ = "__main__"


def _sample(calls: int, worker: int) -> tuple[float, float, float, float]:
    children = _list_children(worker)
    hosts = [host for child in children for host in _list_children(child)]
    found = (_read(worker), sum(map(_read, children)), sum(map(_read, hosts)), _read(os.getpid()))
    print(f"{calls:8}  {found[0]:7.1f} {found[1]:7.1f} {found[2]:7.1f} {found[3]:8.1f}", flush=True)
    return found


def _list_children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _read(pid: int) -> float:
    """Read what a process has resident, in MB; a fork that has ended meanwhile has nothing."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()

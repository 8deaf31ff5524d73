"""How long may a task be over its memory limit? Prints the time from passing the limit to the end, ours and the original's.

Each round starts a program that waits for a while, then takes twice its limit as fast as it can, and writes down what it has and
when, every millisecond in the end, until it is killed; beside other programs that are looked at, too:

    ours        the worker's own spawner, with its looks alone
    cgroups     the same with a cgroup for each program, where this machine lets us have some
    monitored   `resource_monitor` with the same limit, as the original wraps its tasks (it looks every 5 s, or as told)

    python benchmarks/overshoot.py --rounds 10 --beside 63
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from wq_package.worker.process import Program, ProgramEnd, Spawner

LIMIT_MB = 100
JUMP = """
import mmap, sys, time
time.sleep(float(sys.argv[1]))
area, size = mmap.mmap(-1, 200 << 20), 1 << 18
with open(sys.argv[2], "w") as file:
    for start in range(0, len(area), size):
        area[start : start + size : 1 << 12] = b"x" * (size >> 12)
        print(start >> 20, time.monotonic(), file=file, flush=True)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        print(200, time.monotonic(), file=file, flush=True)
        time.sleep(0.001)
"""


def main() -> int:
    """Measure each way in turn; print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=int, default=63, help="programs that run all the time")
    args = parser.parse_args()
    found: dict[str, list[float]] = {"ours": [], "cgroups": [], "monitored": []}
    waits = random.Random(1)
    for _ in range(args.rounds):
        wait = 1 + waits.random()
        for uses_cgroups, name in ((False, "ours"), (True, "cgroups")):
            found[name].append(asyncio.run(_run_ours(wait, args.beside, uses_cgroups=uses_cgroups)))
        if shutil.which("resource_monitor"):
            found["monitored"].append(_run_monitored(wait))
    for name, seconds in found.items():
        if seconds:
            print(f"{name:<10} median {statistics.median(seconds):6.3f} s   longest {max(seconds):6.3f} s")
    return 0


async def _run_ours(wait: float, beside: int, *, uses_cgroups: bool) -> float:
    with tempfile.TemporaryDirectory(prefix="benchmark-overshoot-") as folder:
        spawner = Spawner(Path(folder), uses_cgroups=uses_cgroups)
        try:
            for _ in range(beside):
                spawner.start(_limit(folder, "sleep 600; true"), lambda _end: None)
            ended: asyncio.Future[ProgramEnd] = asyncio.get_running_loop().create_future()
            spawner.start(_limit(folder, _make_jump(folder, wait)), ended.set_result)
            await ended
        finally:
            spawner.close()
        return _read_over(folder)


def _limit(folder: str, command: str) -> Program:
    return Program(("/bin/sh", "-c", command), folder, is_watched=True, memory_limit_mb=LIMIT_MB)


def _run_monitored(wait: float) -> float:
    with tempfile.TemporaryDirectory(prefix="benchmark-overshoot-") as folder:
        command = ["resource_monitor", "-L", f"memory: {LIMIT_MB}", "-O", f"{folder}/measured"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [*command, "--sh", _make_jump(folder, wait)],
                cwd=folder,
                timeout=90,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        return _read_over(folder)


def _make_jump(folder: str, wait: float) -> str:
    return shlex.join([sys.executable, "-I", "-S", "-c", JUMP, str(wait), f"{folder}/times"])


def _read_over(folder: str) -> float:
    """Read for how long a program was over its limit."""
    lines = [line.split() for line in Path(folder, "times").read_text().splitlines()]
    times = [float(words[1]) for words in lines if len(words) == 2 and int(words[0]) >= LIMIT_MB]
    return times[-1] - times[0] if times else 0.0


if __name__ == "__main__":
    sys.exit(main())

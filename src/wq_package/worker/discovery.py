"""What this machine offers a worker (shell module).

Knows the system's own accounts of processors, memory, disk and graphics cards, and the limits that a batch system or a
container puts on this process by affinity and control groups (version 1 and 2). Knows nothing of tasks.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from wq_package.programs import run_program
from wq_package.worker.actions import Box
from wq_package.worker.options import WorkerOptions

__all__ = ["discover_capacity", "find_cores", "find_disk_mb", "find_gpu_names", "find_memory_mb"]

_ROOT = Path("/")
_MB = 2**20


def discover_capacity(options: WorkerOptions, workdir: Path) -> Box:
    """Find what this worker has, or take what it was told; of disk, the smaller of the two."""
    return Box(
        cores=options.cores or find_cores(),
        memory_mb=options.memory_mb or find_memory_mb(),
        disk_mb=find_disk_mb(options, workdir),
        gpus=find_gpus() if options.gpus is None else options.gpus,
    )


def find_disk_mb(options: WorkerOptions, workdir: Path, held_mb: float = 0) -> int:
    """Find the disk that tasks can have, in MB: what is free and what they hold already, or less if told so."""
    free = int(shutil.disk_usage(workdir).free // _MB + held_mb)
    return min(options.disk_mb, free) if options.disk_mb else free


def find_cores(root: Path = _ROOT) -> int:
    """Count the processors that this process may use, by affinity and by control group."""
    count = len(os.sched_getaffinity(0))
    for folder in _iter_groups(root, "cpu"):
        quota = _read_quota(folder)
        if quota is not None:
            count = min(count, max(1, math.floor(quota + 0.01)))
    return count


def find_memory_mb(root: Path = _ROOT) -> int:
    """Find the memory that this process may use, in MB, by machine and by control group."""
    total = _read_total_memory(root)
    for folder in _iter_groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _read_number(folder / name)
            if limit is not None:
                total = min(total, limit)
    return total // _MB


def find_gpus() -> int:
    """Count the graphics cards that `nvidia-smi` lists; 0 without it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        answer = run_program([program, "-L"], seconds=10)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in answer.stdout.splitlines())


def find_gpu_names(count: int) -> tuple[str, ...]:
    """Find the names by which graphics cards are handed out: what a batch system gave us, or their numbers."""
    given = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return tuple(given[:count]) if len(given) >= count else tuple(map(str, range(count)))


def _iter_groups(root: Path, controller: str) -> Iterator[Path]:
    """Go through the control groups of this process for a controller, innermost first."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / controllers
        if not top.is_dir():
            top = root / "sys/fs/cgroup" / controller
        inner = place.strip("/")
        folder = top / inner if (top / inner).is_dir() else top  # inside a container the path may lie
        while True:
            yield folder
            if folder == top:
                break
            folder = folder.parent


def _read_quota(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        limit, span = _read_number(folder / "cpu.cfs_quota_us"), _read_number(folder / "cpu.cfs_period_us")
        return limit / span if limit and span and limit > 0 else None
    return None if quota == "max" else int(quota) / int(period)


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _read_total_memory(root: Path) -> int:
    for line in (root / "proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("every Linux tells its memory")

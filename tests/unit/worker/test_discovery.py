from __future__ import annotations

import os
from pathlib import Path

import pytest

from wq_package.worker.discovery import discover_capacity, find_cores, find_gpus, find_memory_mb
from wq_package.worker.options import WorkerOptions

AFFINITY = len(os.sched_getaffinity(0))


def make_machine(root: Path, files: dict[str, str], group: str = "0::/job\n") -> Path:
    files = {"proc/meminfo": "MemFree: 5 kB\nMemTotal:  2048000 kB\n", "proc/self/cgroup": group, **files}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_find__no_groups__is_what_the_machine_has(tmp_path: Path) -> None:
    root = make_machine(tmp_path, {})

    assert find_cores(root) == AFFINITY
    assert find_memory_mb(root) == 2000


@pytest.mark.parametrize(
    ("files", "group"),
    [
        ({"cpu.max": "100000 100000\n", "memory.max": "104857600\n"}, "0::/job\n"),
        ({"job/cpu.max": "100000 100000\n", "job/memory.max": "104857600\n"}, "0::/job\n"),
        ({"job/cpu.max": "100000 100000\n", "job/memory.max": "104857600\n"}, "0::/job/step/0\n"),
    ],
    ids=["at the top", "own group", "group above"],
)
def test_find__groups_of_version_2__the_least_on_the_way_up(
    tmp_path: Path, files: dict[str, str], group: str
) -> None:
    unlimited = {
        "sys/fs/cgroup/job/step/0/cpu.max": "max 100000\n",
        "sys/fs/cgroup/job/step/0/memory.max": "max\n",
    }
    root = make_machine(
        tmp_path, {**unlimited, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()}}, group
    )

    assert find_cores(root) == 1
    assert find_memory_mb(root) == 100


def test_find__groups_of_version_1(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "50000\n",
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "209715200\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    root = make_machine(tmp_path, files, "4:memory:/job\n3:cpu,cpuacct:/job\n")

    assert find_memory_mb(root) == 200
    assert find_cores(root) == 1


def test_find_gpus__nvidia_smi__is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_gpus() == 0
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'GPU 0: NVIDIA A100 (UUID: x)'\necho 'GPU 1: NVIDIA A100 (UUID: y)'\n"
    )
    program.chmod(0o755)
    assert find_gpus() == 2


def test_discover_capacity__told__is_what_was_told(tmp_path: Path) -> None:
    options = WorkerOptions("h", 1, cores=3, memory_mb=50, disk_mb=7, gpus=2)

    box = discover_capacity(options, tmp_path)

    assert (box.cores, box.memory_mb, box.disk_mb, box.gpus) == (3, 50, 7, 2)


def test_discover_capacity__more_disk_than_there_is__is_what_there_is(tmp_path: Path) -> None:
    assert discover_capacity(WorkerOptions("h", 1, disk_mb=10**12, gpus=0), tmp_path).disk_mb < 10**12

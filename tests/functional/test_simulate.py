"""The simulator runs a transaction log again, with every strategy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from manager_programs import SECONDS

SIMULATE = Path(__file__).parents[2] / "benchmarks" / "simulate.py"
BOX = {"cores": 4, "memory_mb": 1000, "disk_mb": 1000, "gpus": 0}


def write_log(path: Path, memories: list[int]) -> None:
    """Write the log of a run in which each task used one core and so much memory for ten seconds."""
    records: list[dict[str, object]] = [
        {"event": "log-started", "version": 1, "host": "h", "port": 1, "project": ""}
    ]
    for task, memory in enumerate(memories, 1):
        used = {"wall_time": 10.0, "cpu_time": 10.0, "cores": 1.0, "memory_mb": memory, "disk_mb": 1}
        records.append({"event": "task-submitted", "task": task, "category": "c"})
        records.append({"event": "task-sent", "task": task, "worker": 1, "try": 1, "box": BOX})
        records.append({"event": "task-ended", "task": task, "code": "success", "exit_code": 0, "used": used})
    path.write_text(
        "".join(json.dumps({**record, "time": 1.0 + at}) + "\n" for at, record in enumerate(records))
    )


def simulate(log: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(SIMULATE),
        "--log",
        str(log),
        "--workers",
        "1",
        "--cores",
        "4",
        "--memory",
        "1000",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_simulate__transaction_log__runs_its_tasks_with_every_strategy(tmp_path: Path) -> None:
    write_log(tmp_path / "run.log", [100] * 40)

    done = simulate(tmp_path / "run.log")

    assert done.returncode == 0, done.stderr
    seconds = {line.split()[1]: float(line.split()[2]) for line in done.stdout.splitlines()[2:]}
    assert seconds["oracle"] == seconds["maximum"] == 100
    assert seconds["unmanaged"] == 400
    assert 100 <= seconds["adaptive"] < 200


def test_simulate__nothing_measured__says_so(tmp_path: Path) -> None:
    write_log(tmp_path / "run.log", [])

    done = simulate(tmp_path / "run.log")

    assert done.returncode == 1
    assert done.stderr.endswith("no task of its last run ended and was measured\n")

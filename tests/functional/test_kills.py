"""A short run of the program that kills workers and interpreters at random moments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "kills.py"


def test_workers_and_interpreters__killed_at_random_moments__no_task_is_lost_or_sees_half_an_environment() -> (
    None
):
    command = [sys.executable, str(_PROGRAM), "--what", "workers", "--kills", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 faults" in done.stdout

"""Many tasks of all kinds, with failures and retries: every future ends as it should. The long form is a benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.parsl

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "long_run.py"


def test_mixed_tasks__every_one_of_2000_ends_as_it_should(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--tasks", "2000", "--json"],
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["left"] == 0
    assert sum(told["outcomes"].values()) == 2000
    assert told["outcomes"]["crash"] == 2

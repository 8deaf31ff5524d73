"""The programs that users are shown, as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.parsl

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_quickstart__prints_result_environments_and_times(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "COLUMNS": "200",
        "WQ_PACKAGE_CACHE": str(tmp_path / "cache"),
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "quickstart.py"), "--tasks", "40"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for expected in (
        "Result",
        "lifetime",
        "Environments",
        "scipy",
        "decay",
        "pandas",
        "analyse",
        "first fit",
    ):
        assert expected in done.stdout
    rows = {line.split()[1]: line for line in done.stdout.splitlines() if "python 3." in line}
    assert "scipy" in rows["fit"]
    assert "pandas" not in rows["fit"]
    assert "pandas" in rows["summarize"]
    assert "decay" not in rows["summarize"]

"""The programs that users are shown, as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.parsl

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run_example(name: str, folder: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "COLUMNS": "200",
        "WQ_PACKAGE_CACHE": str(folder / "cache"),
        "TMPDIR": str(folder),
    }
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=folder,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_quickstart__prints_result_environments_and_times(tmp_path: Path) -> None:
    output = run_example("quickstart.py", tmp_path, "--tasks", "40")
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
        assert expected in output
    rows = {line.split()[1]: line for line in output.splitlines() if "python 3." in line}
    assert "scipy" in rows["fit"]
    assert "pandas" not in rows["fit"]
    assert "pandas" in rows["summarize"]
    assert "decay" not in rows["summarize"]


def test_two_versions__each_app_has_its_own(tmp_path: Path) -> None:
    output = run_example("two_versions.py", tmp_path)
    assert output == "packaging 21.3: LegacyVersion\npackaging 24.2: Invalid version: '1.0-custom-build'\n"

"""Checkpoints of earlier runs count as long as the environment of their app is the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.parsl

PROGRAM = """
import sys
import parsl
from parsl import Config, python_app
import helper
from wq_package.executor import EnvironmentMemoizer, WQPackageExecutor

@python_app(cache=True)
def work(x, path):
    import helper
    with open(path, "a") as file:
        file.write("ran\\n")
    return helper.scale(x)

if __name__ == "__main__":
    executor = WQPackageExecutor(pack=True, cache_dir=sys.argv[1], worker_options="--cores 1 --store " + sys.argv[2])
    memoizer = EnvironmentMemoizer(checkpoint_mode="task_exit")
    config = Config(executors=[executor], memoizer=memoizer, strategy="none", initialize_logging=False)
    with parsl.load(config):
        print(work(2, sys.argv[3]).result(), work(2, sys.argv[3]).result())
"""


def test_checkpoint__counts_until_the_environment_changes(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    ran = tmp_path / "ran"
    places = [str(tmp_path / "cache"), str(tmp_path / "store"), str(ran)]
    for factor, expected, runs in ((10, "20 20\n", 1), (10, "20 20\n", 1), (100, "200 200\n", 2)):
        (tmp_path / "helper.py").write_text(f"def scale(x):\n    return {factor} * x\n")
        done = subprocess.run(
            [sys.executable, "program.py", *places],
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == expected
        assert ran.read_text().count("ran") == runs

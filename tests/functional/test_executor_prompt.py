"""Apps that are typed at Python's prompt, where nothing has a source file and every name may be bound anew."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.parsl

SESSION = """
import numpy as np
import parsl
from parsl import Config, python_app
from parsl.providers import LocalProvider
from wq_package.executor import WQPackageExecutor
import beside
provider = LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1)
options = "--cores 1 --store store"
executor = WQPackageExecutor(pack=True, cache_dir="cache", worker_options=options, provider=provider)
dfk = parsl.load(Config(executors=[executor], strategy="none", initialize_logging=False))
FACTOR = 3
def helper(x):
    return FACTOR * x

@python_app
def mean(n):
    import sys
    return beside.half(float(helper(np.arange(n).mean()))), "/envs/" in sys.prefix

print("one", mean(5).result())
FACTOR = 10
print("two", mean(5).result())
def helper(x):
    import packaging.version
    return 100 * x if packaging.version.parse("1.10") > packaging.version.parse("1.9") else x

print("three", mean(5).result())
print("four", python_app(lambda x: float(np.sqrt(x)))(16.0).result())
@python_app
def mean(n):
    return "another"

print("five", mean(5).result())
dfk.cleanup()
exit()
"""


def test_prompt__names_are_bound_anew__apps_see_what_they_mean_now(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("def half(x):\n    return x / 2\n")
    done = subprocess.run(
        [sys.executable, "-i"],
        input=SESSION,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    printed = re.findall(r"^(?:>>> |\.\.\. )*((?:one|two|three|four|five) .*)$", done.stdout, re.MULTILINE)
    assert printed == [
        "one (3.0, True)",
        "two (10.0, True)",
        "three (100.0, True)",
        "four 4.0",
        "five another",
    ], done.stdout + done.stderr

"""Run Parsl's own generic test suite with several executors, and print what passed and how long it took.

    python benchmarks/parsl_suite.py [--rounds 1] [--only "ours;ours, pack"] [--folder DIR]

Ends with exit code 1 if a test fails. Makes a virtual environment of its own in DIR, because the suite wants an older pytest. Left
out, as Parsl itself leaves them out: tests that need the internet, one that names Parsl's own executors (marked
`issue_3620`), and for root two that need a folder which cannot be written.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

CONFIG = """
from parsl import Config
from wq_package.executor import WQPackageExecutor

def fresh_config():
    # `pytest` is no requirement of Parsl, but of one of its test modules, which an app imports.
    return Config(executors=[WQPackageExecutor(pack={pack}, extra_pkgs=["pytest"])])
"""

CONFIGS = {
    "ours, pack": CONFIG.format(pack=True),
    "ours": CONFIG.format(pack=False),
    "htex": "from parsl.tests.configs.htex_local import fresh_config\n",
    "threads": "from parsl.tests.configs.local_threads import fresh_config\n",
}


@dataclass(frozen=True)
class Outcome:
    """What one run of the suite came to."""

    passed: int
    failed: int
    seconds: float
    output: str


def main() -> int:
    """Run the suite and print a table."""
    options = parse_arguments()
    names = [name for name in CONFIGS if not options.only or name in options.only.split(";")]
    with tempfile.TemporaryDirectory(prefix="parsl-suite-") as scratch:
        folder = Path(options.folder or scratch).resolve()
        python = make_environment(folder)
        found: dict[str, list[Outcome]] = {name: [] for name in names}
        for _ in range(options.rounds):
            for name in names:
                found[name].append(run_suite(python, CONFIGS[name], folder))
    print(f"{'executor':12} {'passed':>7} {'failed':>7} {'median':>9}")
    for name, runs in found.items():
        median = statistics.median(run.seconds for run in runs)
        print(f"{name:12} {runs[-1].passed:7} {max(run.failed for run in runs):7} {median:7.1f} s")
    bad = [run for runs in found.values() for run in runs if run.failed or not run.passed]
    for run in bad:
        print(run.output)
    return 1 if bad else 0


def make_environment(folder: Path) -> Path:
    """Make the virtual environment, or take the one that is there; return its Python."""
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        version = importlib.metadata.version("parsl")
        wanted = [
            f"parsl=={version}",
            "pytest>=7.4,<8",
            "pytest-random-order",
            "pytest-timeout",
            "pandas",
            "sqlalchemy>=2,<2.1",
        ]
        subprocess.run(
            ["uv", "venv", "-q", "-p", sys.executable, str(folder / "venv")], check=True, env=find_tools()
        )
        install = ["uv", "pip", "install", "-q", "-p", str(python), *wanted, "-e", str(ROOT)]
        subprocess.run(install, check=True, env=find_tools())
    return python


def find_tools() -> dict[str, str]:
    """Put uv on the path, which is installed beside this Python."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run_suite(python: Path, config: str, folder: Path) -> Outcome:
    """Run the suite once."""
    (folder / "config.py").write_text(config)
    (folder / "pytest.ini").write_text("[pytest]\n")
    tests = next((folder / "venv" / "lib").glob("python3*/site-packages/parsl/tests"))
    marks = "not issue_3620" + (" and not unix_filesystem_permissions_required" if os.geteuid() == 0 else "")
    command = [
        str(python),
        "-m",
        "pytest",
        str(tests),
        "-c",
        str(folder / "pytest.ini"),
        "-q",
        "-rfE",
        "--timeout=120",
    ]
    command += [
        "-k",
        "not cleannet",
        "-m",
        marks,
        "--config",
        str(folder / "config.py"),
        "-p",
        "no:cacheprovider",
    ]
    command += ["--show-capture=no", "-W", "ignore"]
    environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
    environment.pop("PYTEST_ADDOPTS", None)  # meant for other tests; the counts are read from the last line
    start = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=environment)
    seconds = time.perf_counter() - start
    counts = {
        word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", done.stdout[-500:])
    }
    failed = counts.get("failed", 0) + counts.get("error", 0) or int(done.returncode != 0)
    return Outcome(counts.get("passed", 0), failed, seconds, done.stdout[-20000:] + done.stderr[-2000:])


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Run Parsl's own generic test suite with several executors.")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default="", help="names of executors, separated by `;`")
    parser.add_argument("--folder", default="", help="keep the virtual environment there for the next time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""What does packaging cost a program that ran before? Whole processes with `pack=True` on a warm store beside `pack=False`.

    python benchmarks/second_run.py [--rounds 7] [--only plain,numpy]

Each program is run in turn with and without packaging, round after round; its first run with `pack=True`, which builds, does not
count. Printed are medians of the whole process, from its start to its exit: seconds on the clock, and processor time of it and of
everything that it started.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FRAME = """
import sys
import parsl
from parsl import Config, python_app
from parsl.providers import LocalProvider
from wq_package.executor import WQPackageExecutor
{body}

if __name__ == "__main__":
    provider = LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1)
    executor = WQPackageExecutor(pack=sys.argv[1] == "pack", worker_options="--cores 1", provider=provider)
    with parsl.load(Config(executors=[executor], strategy="none", initialize_logging=False)):
        assert [future.result() for future in {calls}] == {expected}
"""

PROGRAMS = {
    "plain": FRAME.format(
        body="@python_app\ndef double(x):\n    return 2 * x\n",
        calls="[double(x) for x in range(3)]",
        expected=[0, 2, 4],
    ),
    "numpy": FRAME.format(
        body="def half(x):\n    return x // 2\n@python_app\ndef total(n):\n    import numpy as np\n    return half(int(np.arange(n).sum()))\n",
        calls="[total(n) for n in (4, 5)]",
        expected=[3, 5],
    ),
    "three apps": FRAME.format(
        body=(
            "def half(x):\n    return x // 2\n"
            "@python_app\ndef total(n):\n    import numpy as np\n    return half(int(np.arange(n).sum()))\n"
            "@python_app\ndef root(n):\n    from scipy import optimize\n"
            "    return round(optimize.brentq(lambda x: x * x - n, 0, n))\n"
            "@python_app\ndef mean(n):\n    import pandas as pd\n    return float(pd.Series(range(n)).mean())\n"
        ),
        calls="[total(4), root(9), mean(5)]",
        expected=[3, 3, 2.0],
    ),
}


@dataclass(frozen=True)
class Cost:
    """What one run of a program took, in seconds."""

    wall: float
    cpu: float


def main() -> None:
    """Measure and print a table."""
    options = parse_arguments()
    names = [name for name in PROGRAMS if not options.only or name in options.only.split(",")]
    print(
        f"{'program':<12}{'pack=False':>18}{'pack=True again':>18}{'more':>16}   (wall/cpu seconds)",
        flush=True,
    )
    for name in names:
        with tempfile.TemporaryDirectory(prefix="second-run-") as folder:
            Path(folder, "program.py").write_text(PROGRAMS[name])
            without, with_it = compare(Path(folder), options.rounds)
        more = Cost(with_it.wall - without.wall, with_it.cpu - without.cpu)
        print(
            f"{name:<12}"
            + "".join(f"{cost.wall:>10.2f}/{cost.cpu:.2f}   " for cost in (without, with_it, more))
        )


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", help="programs, separated by commas")
    return parser.parse_args()


def compare(folder: Path, rounds: int) -> tuple[Cost, Cost]:
    """Run a program in turn without and with packaging; return the medians."""
    run(folder, "pack")  # builds
    found: dict[str, list[Cost]] = {"no": [], "pack": []}
    for _ in range(rounds):
        for way, costs in found.items():
            costs.append(run(folder, way))
    return find_median(found["no"]), find_median(found["pack"])


def run(folder: Path, way: str) -> Cost:
    """Run a program once."""
    places = {"WQ_PACKAGE_CACHE": str(folder / "cache"), "WQ_PACKAGE_STORE": str(folder / "store")}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, began = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, "program.py", way],
        cwd=folder,
        env=environment | places,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    wall, after = time.perf_counter() - began, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(wall, spent)


def find_median(costs: Sequence[Cost]) -> Cost:
    """Take the median of each figure."""
    return Cost(statistics.median(cost.wall for cost in costs), statistics.median(cost.cpu for cost in costs))


if __name__ == "__main__":
    main()

"""How long it takes from a conda spec to an archive, beside conda-pack.

    python benchmarks/conda.py [--rounds 3] [--roots numpy,scipy,pandas]

A channel is made from this machine first. The peers install the environment with py-rattler, the fastest installer there is,
and pack the prefix with conda-pack; its own packing time is shown, too. We solve and build: with no layer there and with all
layers there. Packages are downloaded and extracted before. Runs alternate; medians are printed; every run is a whole process.
Needs `pip install conda-pack`.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "channel" / "make_channel.py"
_INSTALL = """
import asyncio, os, sys
from rattler import Channel, Gateway, VirtualPackage, install, solve

async def main(url, prefix, cache, *specs):
    records = await solve(
        sources=[Channel(url)], specs=list(specs), platforms=["linux-64", "noarch"],
        gateway=Gateway(cache_dir=cache + "/channels"), virtual_packages=VirtualPackage.detect())
    await install(records=records, target_prefix=prefix, cache_dir=cache + "/packages", show_progress=False)

asyncio.run(main(*sys.argv[1:]))
os._exit(0)
"""


@dataclass(frozen=True)
class _Contestant:
    """One way to get an archive: what is done before the clock runs, and what is measured."""

    name: str
    prepare: Callable[[], None]
    commands: list[list[str]]
    output: Path


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--roots", default="numpy,scipy,pandas")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-conda-") as folder:
        contestants = _prepare(Path(folder), args.roots.split(","))
        times: dict[str, list[float]] = {each.name: [] for each in contestants}
        for _ in range(args.rounds):
            for each in contestants:
                times[each.name].append(_measure(each))
        _print(contestants, times)


def _prepare(folder: Path, roots: list[str]) -> list[_Contestant]:
    channel, cache, spec = folder / "channel", folder / "cache", folder / "environment.yml"
    _run([sys.executable, str(_RECIPE), str(channel), *(word for root in roots for word in ("--with", root))])
    lines = "".join(f"  - {root}\n" for root in ["python", *roots])
    spec.write_text(f"channels:\n  - {channel.as_uri()}\ndependencies:\n{lines}")
    build = [sys.executable, "-m", "wq_package_cli", "build", str(spec), "--cache", str(cache)]
    _run([*build, "-o", str(folder / "warm.tar.zst")])
    prefix = folder / "prefix"
    installing = [
        sys.executable,
        "-c",
        _INSTALL,
        channel.as_uri(),
        str(prefix),
        str(folder),
        "python",
        *roots,
    ]
    _run(installing)
    _try(prefix)

    def forget_layers() -> None:
        for name in ("layers", "keys"):
            shutil.rmtree(cache / name)

    def forget_prefix() -> None:
        shutil.rmtree(prefix)

    def install_anew() -> None:
        forget_prefix()
        _run(installing)

    cold, plain = folder / "cold.tar.zst", folder / "plain.tar.zst"
    contestants = [
        _Contestant("ours, cold", forget_layers, [[*build, "-o", str(cold)]], cold),
        _Contestant("ours, warm", _nothing, [[*build, "-o", str(cold)]], cold),
        _Contestant(
            "ours, cold, no bytecode", forget_layers, [[*build, "--no-bytecode", "-o", str(plain)]], plain
        ),
    ]
    for ending in ("tar.zst", "tar.gz"):
        output = folder / f"conda-pack.{ending}"
        packing = [sys.executable, "-m", "conda_pack.cli", "-q", "-f", "-p", str(prefix), "-o", str(output)]
        contestants += [
            _Contestant(f"install + conda-pack {ending}", forget_prefix, [installing, packing], output),
            _Contestant(f"conda-pack {ending} alone", install_anew, [packing], output),
        ]
    return contestants


def _nothing() -> None:
    """Leave everything as it is."""


def _try(prefix: Path) -> None:
    """Fail early if the environment does not run."""
    _run([str(prefix / "bin" / "python"), "-c", "import numpy"])


def _measure(contestant: _Contestant) -> float:
    contestant.prepare()
    started = time.perf_counter()
    for command in contestant.commands:
        _run(command)
    return time.perf_counter() - started


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stderr}")


def _print(contestants: list[_Contestant], times: dict[str, list[float]]) -> None:
    slowest = max(statistics.median(each) for each in times.values())
    print(f"{'':34}{'median s':>9}{'min s':>8}{'MB':>8}{'times as fast as the slowest':>30}")
    for each in contestants:
        median = statistics.median(times[each.name])
        size = each.output.stat().st_size / 1e6
        print(f"{each.name:34}{median:9.2f}{min(times[each.name]):8.2f}{size:8.1f}{slowest / median:30.1f}")


if __name__ == "__main__":
    main()

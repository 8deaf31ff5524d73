"""How long a build takes, and how big it gets, beside what people use today.

    python benchmarks/build.py [--rounds 3] [--roots numpy,scipy,pandas,matplotlib]

The same environment (those distributions, all that they require, and this Python) is packed by us (no layer there, all
layers there, one line of a local module changed), by conda-pack, by `pex --venv` and by GNU tar with gzip. conda-pack and tar are
given the tree that our archive unpacks to, so they have nothing to install or to solve; pex, which takes wheels, is given the
pins, and has made the same file once before. Its file has no Python in it. Runs alternate; medians are printed. Every run is a whole
process. What was downloaded once stays in the caches of uv and pex: networks are not measured here. conda-pack and pex are
looked for beside this Python, then on `PATH`, and left out where they are not installed. Python keeps its own bytecode, whatever
PYTHONDONTWRITEBYTECODE says.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

_BIN = Path(sys.executable).parent
_OURS = str(_BIN / "wq-package")


@dataclass(frozen=True)
class _Contestant:
    """One way to get an archive."""

    name: str
    prepare: Callable[[], None]
    command: list[str]
    output: Path


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--roots", default="numpy,scipy,pandas,matplotlib")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-build-") as folder:
        contestants = _prepare(Path(folder), args.roots.split(","))
        times: dict[str, list[float]] = {each.name: [] for each in contestants}
        for _ in range(args.rounds):
            for each in contestants:
                times[each.name].append(_measure(each))
        _print(contestants, times)


def _prepare(folder: Path, roots: list[str]) -> list[_Contestant]:
    spec = _write_spec(folder, roots)
    warm, helpers = folder / "warm", folder / "helpers.py"
    first = folder / "first.tar.zst"
    _run(_build(spec, first, warm))
    prefix = folder / "prefix"
    prefix.mkdir()
    _run(["tar", "-xf", str(first), "-C", str(prefix)])
    (prefix / "conda-meta").mkdir()
    (prefix / "conda-meta" / "history").touch()  # all that conda-pack wants of a prefix
    ours = []
    for ending in ("tar.zst", "tar.gz"):
        _run(_build(spec, folder / f"warm.{ending}", warm))
        cold, plain = folder / f"cold-{ending}", folder / f"plain-{ending}"
        ours += [
            _contest("ours, cold", spec, folder / f"cold.{ending}", cold, partial(_remove, cold)),
            _contest("ours, cold, no bytecode", spec, folder / f"plain.{ending}", plain,
                     partial(_remove, plain), "--no-bytecode"),
            _contest("ours, warm", spec, folder / f"warm.{ending}", warm, lambda: None),
            _contest("ours, one local line changed", spec, folder / f"local.{ending}", warm,
                     partial(_change, helpers)),
        ]  # fmt: skip
    return [*ours, *_make_peers(folder, prefix)]


def _write_spec(folder: Path, roots: list[str]) -> Path:
    (folder / "helpers.py").write_text("x = 1\n")
    rough = folder / "rough.txt"
    rough.write_text("\n".join(roots) + "\n")
    pins = folder / "pins.txt"
    _run(
        [
            str(_BIN / "uv"),
            "pip",
            "compile",
            "-q",
            "--no-header",
            "--no-annotate",
            "--python",
            sys.executable,
            "-o",
            str(pins),
            str(rough),
        ]
    )
    lines = [f"      - {line}" for line in pins.read_text().split()]
    spec = folder / "env.yml"
    local = "wq-package:\n  local:\n    - {import: helpers, path: ./helpers.py}\n"
    spec.write_text("dependencies:\n  - pip\n  - pip:\n" + "\n".join(lines) + "\n" + local)
    return spec


def _build(spec: Path, output: Path, cache: Path, *more: str) -> list[str]:
    return [_OURS, "build", str(spec), "-o", str(output), "--cache", str(cache), "--quiet", *more]


def _contest(
    name: str, spec: Path, output: Path, cache: Path, prepare: Callable[[], None], *more: str
) -> _Contestant:
    ending = ".".join(output.name.split(".")[-2:])
    return _Contestant(f"{name} (.{ending})", prepare, _build(spec, output, cache, *more), output)


def _make_peers(folder: Path, prefix: Path) -> list[_Contestant]:
    peers = []
    places = f"{_BIN}:{os.environ.get('PATH', '')}"
    conda_pack = shutil.which("conda-pack", path=places)
    for ending in ("tar.gz", "tar.zst"):
        output = folder / f"conda-pack.{ending}"
        if conda_pack:
            command = [conda_pack, "-q", "-f", "-p", str(prefix), "-o", str(output)]
            peers.append(_Contestant(f"conda-pack (.{ending})", lambda: None, command, output))
    if pex := shutil.which("pex", path=places):
        output = folder / "pex.pex"
        named = [
            "-r",
            str(folder / "pins.txt"),
            "--python",
            sys.executable,
            "--pex-root",
            str(folder / "pex"),
        ]
        command = [pex, *named, "--venv", "-o", str(output)]
        _run(command)
        peers.append(_Contestant("pex --venv", lambda: None, command, output))
    output = folder / "tar.tar.gz"
    return [
        *peers,
        _Contestant(
            "GNU tar + gzip", lambda: None, ["tar", "-czf", str(output), "-C", str(prefix), "."], output
        ),
    ]


def _measure(each: _Contestant) -> float:
    each.prepare()
    os.sync()  # what an earlier run wrote is not paid for by this one
    started = time.perf_counter()
    _run(each.command)
    return time.perf_counter() - started


def _run(command: list[str]) -> None:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def _change(module: Path) -> None:
    module.write_text(f"x = {time.time_ns()}\n")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _print(contestants: list[_Contestant], times: dict[str, list[float]]) -> None:
    reference = next(
        (each.name for each in contestants if each.name == "conda-pack (.tar.gz)"), "GNU tar + gzip"
    )
    base = statistics.median(times[reference])
    print(f"{'':<42} {'median s':>9} {'min s':>8} {'size MB':>8}   times faster than {reference}")
    for each in contestants:
        median, size = statistics.median(times[each.name]), each.output.stat().st_size / 1e6
        print(f"{each.name:<42} {median:9.2f} {min(times[each.name]):8.2f} {size:8.1f}   {base / median:.1f}")


if __name__ == "__main__":
    main()

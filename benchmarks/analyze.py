"""How fast `wq-package analyze` is, and where it and its peers disagree.

    python benchmarks/analyze.py [--rounds 5] [--keep FOLDER] [--trees parsl dask sqlalchemy pandas]

Installs pipreqs, pigar, deptry and FawltyDeps, with the subjects parsl, dask, SQLAlchemy and pandas, into a temporary
environment of about a hundred distributions. Measures (alternating, medians): the whole process for one app in that
environment, one app in a warm process, Parsl's whole tree, and each peer on each tree. Then compares what was found and
explains each disagreement from our own record of the import: kind, place, whose it is. Needs a package index for the
installation and queries none after it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PEERS = ("pigar==2.2.0", "pipreqs==0.5.0", "deptry==0.25.1", "fawltydeps==0.20.0")
SUBJECTS = ("parsl", "dask", "sqlalchemy", "pandas")
APP = """\
import numpy as np
import pandas as pd
from parsl import python_app

def clean(table):
    return table.dropna()

@python_app
def mean(path):
    return np.mean(clean(pd.read_csv(path)))
"""


@dataclass(frozen=True)
class Bench:
    """Where everything is."""

    folder: Path
    rounds: int

    @property
    def bin(self) -> Path:
        """Programs of the peers' environment."""
        return self.folder / "environment" / "bin"

    @property
    def site(self) -> Path:
        """What is installed in the peers' environment."""
        return next((self.folder / "environment").glob("lib/python3.*/site-packages"))

    def find_tree(self, name: str) -> Path:
        """Tell the folder of a subject's own copy."""
        return self.folder / "trees" / name


def main() -> None:
    """Prepare, measure, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="prepare here, and keep it for the next run")
    parser.add_argument("--trees", nargs="*", default=list(SUBJECTS), choices=SUBJECTS)
    args = parser.parse_args()
    folder = args.keep or Path(tempfile.mkdtemp(prefix="wq-package-benchmark-"))
    try:
        bench = Bench(folder.absolute(), args.rounds)
        prepare(bench)
        measure_start(bench)
        for name in args.trees:
            compare(bench, name)
    finally:
        if not args.keep:
            shutil.rmtree(folder)


def prepare(bench: Bench) -> None:
    """Install peers and subjects, and copy the subjects' sources to projects of their own."""
    if not bench.bin.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        environment = str(bench.folder / "environment")
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, environment], check=True)
        install = [uv, "pip", "install", "-q", "--python", str(bench.bin / "python"), *PEERS, *SUBJECTS]
        subprocess.run(install, check=True)
    for name in SUBJECTS:
        if not bench.find_tree(name).exists():
            shutil.copytree(
                bench.site / name,
                bench.find_tree(name) / name,
                ignore=shutil.ignore_patterns("__pycache__", "*.so"),
            )
            project = f'[project]\nname = "{name}"\nversion = "0"\ndependencies = []\n'
            (bench.find_tree(name) / "pyproject.toml").write_text(project)


def measure_start(bench: Bench) -> None:
    """Measure one app, cold and warm, and Parsl's tree; print what a start imports."""
    app = bench.folder / "app.py"
    app.write_text(APP)
    count = len(list(bench.site.glob("*.dist-info")))
    print(
        f"environment: {count} distributions, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}\n"
    )
    ours = [sys.executable, "-m", "wq_package_cli", "analyze"]
    path = ["--path", str(bench.site), "-o", os.devnull]
    programs: dict[str, list[str]] = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "one app, whole process": [*ours, str(app), "--app", "mean", *path],
        "Parsl's tree": [*ours, str(bench.find_tree("parsl")), "--keep-going", *path],
    }
    times: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    for _ in range(bench.rounds):
        for label, command in programs.items():
            wall, used = run_timed(command)
            times[label].append(wall)
            cpu[label].append(used)
    for label in programs:
        print(
            f"{label:28} {statistics.median(times[label]):7.3f} s wall  {statistics.median(cpu[label]):7.3f} s processor"
        )
    print(f"{'one app, warm process':28} {measure_warm(bench, app):7.4f} s wall")
    print_imports([*ours, str(app), "--app", "mean", *path])


def run_timed(command: list[str]) -> tuple[float, float]:
    """Run a program; return its wall time and the processor time that it used."""
    before = os.times()
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    wall = time.perf_counter() - start
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, used


def measure_warm(bench: Bench, app: Path) -> float:
    """Measure what the executor pays for another app."""
    from wq_package.analyze import AnalyzeOptions, analyze_app

    options = AnalyzeOptions(search_path=(str(bench.site),))
    times = []
    for _ in range(bench.rounds + 1):
        start = time.perf_counter()
        analyze_app(app, 8, "mean", options)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def print_imports(command: list[str]) -> None:
    """Print how many modules a start imports, and the slowest of them."""
    done = subprocess.run(
        [command[0], "-X", "importtime", *command[1:]], capture_output=True, text=True, check=True
    )
    lines = [
        line.partition(":")[2].split("|")
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    ]
    rows = [(int(line[0]), line[2].strip()) for line in lines if line[0].strip().isdigit()]
    slowest = ", ".join(f"{name} {own / 1000:.1f} ms" for own, name in sorted(rows, reverse=True)[:6])
    print(f"\nmodules imported: {len(rows)}; slowest: {slowest}\n")


@dataclass(frozen=True)
class Finding:
    """What a program found: import names or distributions."""

    names: frozenset[str]
    seconds: float


def compare(bench: Bench, name: str) -> None:
    """Run everybody on one tree, and print agreement and the reasons for disagreement."""
    tree = bench.find_tree(name)
    ours, record = run_ours(bench, tree)
    imports = frozenset(
        use["module"].partition(".")[0]
        for use in record["imports"]
        if use["origin"] in ("third party", "unknown") and use["kind"] in ("required", "optional")
    )
    distributions = frozenset(canonicalize(d["name"]) for d in record["distributions"] if d["imported_at"])
    print(
        f"== {name}: {len(list(tree.rglob('*.py')))} files; wq-package {ours:.2f} s, {len(imports)} third-party imports, "
        f"{len(distributions)} distributions"
    )
    peers: dict[str, tuple[Callable[[Bench, Path], Finding], frozenset[str]]] = {
        "FawltyDeps": (run_fawltydeps, imports),
        "deptry": (run_deptry, imports),
        "pipreqs": (run_pipreqs, distributions),
        "pigar": (run_pigar, distributions),
    }
    tables: dict[frozenset[str], dict[str, frozenset[str]]] = {}
    for peer, (run, mine) in peers.items():
        theirs = run(bench, tree)
        names = theirs.names - {canonicalize(name), name}
        own = mine - {canonicalize(name), name}
        print(
            f"  {peer:10} {theirs.seconds:7.2f} s ({theirs.seconds / ours:.1f} times ours); "
            f"both {len(own & names)}, only {peer} {len(names - own)}, only wq-package {len(own - names)}"
        )
        tables.setdefault(own, {"wq-package": own})[peer] = names
    for table in tables.values():
        print_disagreements(table, record)


def print_disagreements(table: dict[str, frozenset[str]], record: dict[str, list[dict[str, object]]]) -> None:
    """Print each name that not everybody found: who did, what our record says of it, and where it is."""
    everything = frozenset[str]().union(*table.values())
    rows = [name for name in sorted(everything) if not all(name in names for names in table.values())]
    print(f"\n  | {', '.join(table)} disagree on | found by | here | first at |\n  |---|---|---|---|")
    for name in rows:
        finders = ", ".join(who for who, names in table.items() if name in names)
        print(f"  | {name} | {finders} | {explain(name, record)} | {find_first(name, record)} |")
    print()


def select_uses(name: str, record: dict[str, list[dict[str, object]]]) -> list[dict[str, object]]:
    """Select the imports of a name or distribution; those that count first."""
    uses = [
        use
        for use in record["imports"]
        if canonicalize(str(use["module"]).partition(".")[0]) == canonicalize(name)
        or canonicalize(name) in map(canonicalize, map(str, use["distributions"]))  # type: ignore[call-overload]  # a list of texts
    ]
    return sorted(uses, key=lambda use: not use["used"])


def find_first(name: str, record: dict[str, list[dict[str, object]]]) -> str:
    """Tell the first place of a name, below the tree."""
    uses = select_uses(name, record)
    return f"{str(uses[0]['file']).partition('/trees/')[2]}:{uses[0]['line']}" if uses else ""


def explain(name: str, record: dict[str, list[dict[str, object]]]) -> str:
    """Say what our record knows about an import name or distribution."""
    uses = select_uses(name, record)
    if not uses:
        return "no import of that name in the sources"
    kinds = Counter(
        str(use["origin"] if use["origin"] in ("local", "standard library") else use["kind"]) for use in uses
    )
    kind = kinds.most_common(1)[0][0]
    note = next((f" ({use['note']})" for use in uses if use["note"] and use["note"] != use["kind"]), "")
    if all(use["used"] for use in uses):
        versions = {canonicalize(str(entry["name"])): entry["version"] for entry in record["distributions"]}
        names = {canonicalize(str(owner)) for use in uses for owner in use["distributions"]}  # type: ignore[attr-defined]  # a list of texts
        note = (
            " (installed)" if any(versions.get(owner) for owner in names) else " (named by the shipped table)"
        )
    return f"{kind} here{note}"


def canonicalize(name: str) -> str:
    """Write a name as the index does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def run_ours(bench: Bench, tree: Path) -> tuple[float, dict[str, list[dict[str, object]]]]:
    """Run `wq-package analyze --json` on a tree."""
    command = [sys.executable, "-m", "wq_package_cli", "analyze", str(tree), "--json", "--keep-going"]
    start = time.perf_counter()
    done = subprocess.run([*command, "--path", str(bench.site)], capture_output=True, text=True, check=False)
    return time.perf_counter() - start, json.loads(done.stdout)


def run_peer(command: list[str], tree: Path) -> tuple[str, float]:
    """Run a peer in a tree; return what it printed and how long it took."""
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=tree, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    return done.stdout, time.perf_counter() - start


def run_fawltydeps(bench: Bench, tree: Path) -> Finding:
    """Run FawltyDeps; it lists import names."""
    text, seconds = run_peer([str(bench.bin / "fawltydeps"), "--list-imports", "--json", "--code", "."], tree)
    return Finding(
        frozenset(entry["name"].partition(".")[0] for entry in json.loads(text)["imports"]), seconds
    )


def run_deptry(bench: Bench, tree: Path) -> Finding:
    """Run deptry; with nothing declared, it reports every third-party import as missing or transitive."""
    output = tree / "deptry.json"
    _, seconds = run_peer([str(bench.bin / "deptry"), ".", "--json-output", str(output)], tree)
    found = [
        entry["module"] for entry in json.loads(output.read_text()) if entry["error"]["code"] != "DEP002"
    ]
    output.unlink()
    return Finding(frozenset(module.partition(".")[0] for module in found), seconds)


def run_pipreqs(bench: Bench, tree: Path) -> Finding:
    """Run pipreqs on local information only; it lists distributions."""
    text, seconds = run_peer(
        [str(bench.bin / "pipreqs"), "--print", "--use-local", "--mode", "no-pin", "."], tree
    )
    return Finding(
        frozenset(canonicalize(line.partition("=")[0].strip()) for line in text.splitlines() if line), seconds
    )


def run_pigar(bench: Bench, tree: Path) -> Finding:
    """Run pigar without questions, so without the index; it lists installed distributions."""
    command = [
        str(bench.bin / "pigar"),
        "generate",
        "--question-answer",
        "no",
        "-c",
        "-",
        "-f",
        "pigar.txt",
        ".",
    ]
    _, seconds = run_peer(command, tree)
    output = tree / "pigar.txt"
    lines = output.read_text().splitlines() if output.exists() else []
    output.unlink(missing_ok=True)
    names = (line.partition("=")[0].strip() for line in lines if line and not line.startswith("#"))
    return Finding(frozenset(map(canonicalize, names)), seconds)


if __name__ == "__main__":
    main()

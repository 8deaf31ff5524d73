"""Whether builds, workers and interpreters that are killed leave anything that counts.

    python benchmarks/kills.py [--what builds,workers] [--kills 50] [--roots numpy,cloudpickle] [--seed 1]

Workers: two workers with one store serve a manager whose tasks need ever new environments that share layers. At random
moments a worker or a warm interpreter is killed (SIGKILL), and a worker that died is followed by another one with the same store.
Each call reads every file of its environment. In the end every task must have one result, the right one, or have been
running in an interpreter that was killed.

Builds: a build that starts from nothing is killed (SIGKILL) at a random moment of its time, again and again, each time with a new
layer cache. After each kill every byte of the cache is verified, the archive must not be there or be whole, and the next build
over the same cache must give the same bytes as one that was never killed, and leave nothing of the killed one. Prints what was found; ends with 1 if anything was
wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from kill_workers import kill_workers

_OURS = str(Path(sys.executable).parent / "wq-package")


@dataclass(frozen=True)
class _Bench:
    """The folders of a run."""

    root: Path

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def archive(self) -> Path:
        return self.root / "env.tar.zst"

    def command(self, *words: str) -> list[str]:
        return [_OURS, *words]

    @property
    def build(self) -> list[str]:
        return self.command("build", str(self.root / "env.yml"), "-o", str(self.archive), "--offline", "-q")

    @property
    def variables(self) -> dict[str, str]:
        return os.environ | {"WQ_PACKAGE_CACHE": str(self.cache)}

    def clear(self) -> None:
        shutil.rmtree(self.cache, ignore_errors=True)
        self.archive.unlink(missing_ok=True)

    def digest(self) -> str | None:
        return hashlib.sha256(self.archive.read_bytes()).hexdigest() if self.archive.exists() else None


def main() -> int:
    """Kill and check; print one line for each that was wrong, and a summary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--what", default="builds,workers")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--roots", default="numpy,cloudpickle")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    wrong = []
    if "workers" in args.what:
        with tempfile.TemporaryDirectory(prefix="benchmark-kills-") as folder:
            wrong += kill_workers(Path(folder), args.kills, chance)
    if "builds" in args.what:
        wrong += _kill_builds(args.kills, args.roots, chance)
    print("\n".join(wrong) or "nothing was wrong")
    return 1 if wrong else 0


def _kill_builds(kills: int, roots: str, moments: random.Random) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="benchmark-kills-") as folder:
        bench = _Bench(Path(folder))
        (bench.root / "env.yml").write_text(f"dependencies:\n  - pip: [{roots}]\n")
        reference, seconds = _build_reference(bench)
        print(f"a whole build takes {seconds:.1f} s")
        found = [_kill(bench, moments.uniform(0, seconds), reference) for _ in range(kills)]
    wrong = [line for lines, _ in found for line in lines]
    ended = sum(was_there for _, was_there in found)
    print(f"{kills} kills of builds, {ended} of them after the archive was there; {len(wrong)} faults")
    return wrong


def _build_reference(bench: _Bench) -> tuple[str, float]:
    started = time.monotonic()
    subprocess.run(bench.build, env=bench.variables, check=True, capture_output=True)
    seconds = time.monotonic() - started
    digest = bench.digest()
    assert digest is not None
    return digest, seconds


def _kill(bench: _Bench, moment: float, reference: str) -> tuple[list[str], bool]:
    """Kill one build; say what was wrong afterwards, and whether its archive was there."""
    bench.clear()
    builder = subprocess.Popen(
        bench.build, env=bench.variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        builder.wait(moment)
    except subprocess.TimeoutExpired:
        builder.send_signal(signal.SIGKILL)
        builder.wait()
    left = bench.digest()
    wrong = [f"{moment:.2f} s: half an archive was left"] if left not in (None, reference) else []
    remains = [path.name for path in bench.root.iterdir() if path.name.startswith((".env", "env.tar"))]
    verified = subprocess.run(
        bench.command("cache", "verify"), env=bench.variables, capture_output=True, text=True, check=False
    )
    if verified.returncode:
        wrong.append(f"{moment:.2f} s: the cache had {verified.stderr.strip()}")
    for file in (bench.cache / "tmp").glob("*.*"):
        os.utime(file, (0, 0))  # a build takes nobody's file for abandoned within its first minute
    again = subprocess.run(bench.build, env=bench.variables, capture_output=True, text=True, check=False)
    if again.returncode or bench.digest() != reference:
        wrong.append(f"{moment:.2f} s: the next build differs: {again.stderr.strip()}")
    if abandoned := list((bench.cache / "tmp").iterdir()):
        wrong.append(
            f"{moment:.2f} s: the next build left {len(abandoned)} abandoned files of the killed one"
        )
    beside = [
        path.name for path in bench.root.iterdir() if path.name not in ("cache", "env.yml", "env.tar.zst")
    ]
    if beside:
        wrong.append(f"{moment:.2f} s: beside the archive lie {', '.join(beside)} ({', '.join(remains)})")
    return wrong, left is not None


if __name__ == "__main__":
    sys.exit(main())

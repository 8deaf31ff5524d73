"""How much memory a build, a verification and an unpacking of a large environment take.

    python benchmarks/memory.py [--megabytes 2000] [--folder DIR]

Makes a virtual environment with one distribution of that size (a few files of a fifth of it, and many small ones), packs it with
`wq-package build --prefix`, joins it again from the kept layers, verifies the archive and unpacks it. Of each step, the resident
memory of the process and all its children is sampled every 20 ms; the highest sum is printed, and the highest of one process. Half of
the data cannot be compressed.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_OURS = str(Path(sys.executable).parent / "wq-package")
_LIMIT = 300
_BLOCK = 2**20


def main() -> int:
    """Measure and print; ends with 1 if a step took more than the target."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--folder", help="where to work; twice that room is needed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-memory-", dir=args.folder) as folder:
        root = Path(folder)
        _make_environment(root / "venv", args.megabytes)
        archive = str(root / "env.tar.zst")
        build = [
            _OURS,
            "build",
            "--prefix",
            str(root / "venv"),
            "-o",
            archive,
            "--cache",
            str(root / "cache"),
        ]
        steps = {
            "build, nothing kept": [*build, "-q", "--no-bytecode"],
            "build, all layers kept": [*build, "-q", "--no-bytecode"],
            "verify": [_OURS, "verify", archive],
            "unpack": [_OURS, "unpack", archive, str(root / "unpacked")],
        }
        print(f"{'':<24} {'seconds':>8} {'all, MB':>9} {'largest, MB':>12}")
        highest = max(_measure(name, command) for name, command in steps.items())
        print(
            f"the archive has {Path(archive).stat().st_size / 1e6:.0f} MB; the target is {_LIMIT} MB of memory"
        )
    return 1 if highest > _LIMIT else 0


def _make_environment(prefix: Path, megabytes: int) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=True)
    site = next(prefix.glob("lib/python3*/site-packages"))
    info = site / "bulky-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bulky\nVersion: 1.0\n")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    (site / "bulky").mkdir()
    (site / "bulky" / "__init__.py").touch()
    shutil.copy(sys.executable, site / "bulky" / "tool.so")
    large = {f"large-{number}.so": megabytes // 5 for number in range(4)}
    small = {f"small-{number}.bin": 1 for number in range(megabytes // 5)}
    for name, size in (large | small).items():
        _write(site / "bulky" / name, size)
    paths = sorted(path for folder in (info, site / "bulky") for path in folder.iterdir())
    rows = "".join(f"{path.relative_to(site)},{_digest(path)},{path.stat().st_size}\n" for path in paths)
    (info / "RECORD").write_text(f"{rows}{info.name}/RECORD,,\n")


def _write(path: Path, megabytes: int) -> None:
    noise = random.Random(path.name).randbytes(_BLOCK)
    head = Path(sys.executable).read_bytes() if path.suffix == ".so" else b""  # a real program, then data
    with path.open("wb") as file:
        file.write(head)
        for number in range(megabytes):
            file.write(noise[number % _BLOCK :] + noise[: number % _BLOCK] if number % 2 else bytes(_BLOCK))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return f"sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def _measure(name: str, command: list[str]) -> float:
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    together = 0
    largest = 0
    while process.poll() is None:
        sizes = [_read_size(each) for each in _iter_tree(process.pid)]
        together, largest = max(together, sum(sizes)), max(largest, *sizes, 0)
        time.sleep(0.02)
    assert process.stderr is not None
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{process.stderr.read().decode()}")
    seconds = time.monotonic() - started
    print(f"{name:<24} {seconds:8.1f} {together / 1e6:9.0f} {largest / 1e6:12.0f}")
    return together / 1e6


def _iter_tree(process: int) -> Iterator[int]:
    yield process
    try:
        for thread in Path(f"/proc/{process}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _iter_tree(int(child))
    except OSError:
        return  # it has ended


def _read_size(process: int) -> int:
    """Tell how many bytes a process has in memory, those of files that it has mapped among them."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024


if __name__ == "__main__":
    sys.exit(main())

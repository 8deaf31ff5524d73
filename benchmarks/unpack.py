"""How fast is an environment unpacked and composed, against `zstd -dc | tar x` of the same bytes?

    python benchmarks/unpack.py [--rounds 7] [--folder DIR] [--package NAME]…

Makes an archive of installed packages (numpy, scipy and pandas unless told otherwise), then lets both sides unpack it in turns, on
the same disk, and prints medians and ratios. The first round warms up and does not count.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from wq_package.archive.layer import (
    ArchiveIndex,
    Compression,
    LayerEntry,
    LayerHeader,
    LayerKind,
    StoredLayer,
)
from wq_package.archive.unpack import unpack_archive
from wq_package.archive.writer import write_archive, write_layer
from wq_package.worker.store import Store
from wq_package.worker.store.scratch import remove_tree


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where to unpack (default: a temporary folder)")
    parser.add_argument("--package", action="append", help="a distribution to pack; may be repeated")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wq-package-bench-", dir=args.folder) as name:
        _measure(Path(name), args.package or ["numpy", "scipy", "pandas"], args.rounds)


def _measure(folder: Path, packages: Sequence[str], rounds: int) -> None:
    zstd, index = _make_archive(folder, packages, Compression.ZSTD)
    gzip, _ = _make_archive(folder, packages, Compression.GZIP)
    size = sum(layer.size for layer in index.layers)
    files = sum(layer.stored.files for layer in index.layers)
    print(f"{size / 1e6:.0f} MB in {files} files; {zstd.name} {zstd.stat().st_size / 1e6:.0f} MB,", end=" ")
    print(f"{gzip.name} {gzip.stat().st_size / 1e6:.0f} MB; {os.cpu_count()} processors")
    sides: dict[str, Callable[[Path], object]] = {
        "zstd -dc | tar x": lambda target: _run_pipe(["zstd", "-dcq", zstd], target),
        "unpack_archive (zst)": lambda target: unpack_archive(zstd, target),
        "Store.unpack (zst)": lambda target: Store(target).unpack(zstd),
        "gzip -dc | tar x": lambda target: _run_pipe(["gzip", "-dc", gzip], target),
        "unpack_archive (gz)": lambda target: unpack_archive(gzip, target),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    compose: list[float] = []
    check: list[float] = []
    for number in range(rounds + 1):
        for name, side in sides.items():
            target = folder / "out"
            seconds = _time(lambda side=side, target=target: side(target))  # type: ignore[misc]  # bound in the loop
            if name.startswith("Store") and number:
                compose.append(_time_compose(target, index))
                check.append(_time(lambda target=target: Store(target).find_missing_layers(index.digests)))  # type: ignore[misc]  # bound in the loop
            if number:
                times[name].append(seconds)
            remove_tree(target)
    base = statistics.median(times["zstd -dc | tar x"])
    for name, values in {
        **times,
        "compose by hard links": compose,
        "check every file of the layers": check,
    }.items():
        median = statistics.median(values)
        print(f"{name:32} median {median:6.3f} s  least {min(values):6.3f} s  ratio {median / base:5.2f}")


def _time(work: Callable[[], object]) -> float:
    os.sync()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _time_compose(root: Path, index: ArchiveIndex) -> float:
    store = Store(root)
    prefix = store.find_environment(index.environment)
    assert prefix is not None
    remove_tree(prefix)
    return _time(lambda: store.compose(index.environment, index.digests, "{}\n"))


def _run_pipe(command: Sequence[str | Path], target: Path) -> None:
    target.mkdir()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as source:
        subprocess.run(["tar", "-xf", "-", "-C", str(target)], stdin=source.stdout, check=True)


def _make_archive(
    folder: Path, packages: Sequence[str], compression: Compression
) -> tuple[Path, ArchiveIndex]:
    layers: list[tuple[StoredLayer, Path]] = []
    for package in packages:
        path = folder / f"{package}.layer"
        with path.open("wb") as sink:
            header = LayerHeader(LayerKind.WHEEL, package, importlib.metadata.version(package))
            layers.append((write_layer(header, _find_entries(package), [], sink, compression), path))
    archive = folder / ("env.tar.zst" if compression is Compression.ZSTD else "env.tar.gz")
    return archive, write_archive(layers, archive, python="3")


def _find_entries(package: str) -> list[LayerEntry]:
    entries = []
    for file in importlib.metadata.files(package) or ():
        source = Path(str(file.locate()))
        if ".." not in file.parts and source.is_file():
            entries.append(LayerEntry(f"lib/site-packages/{file}", source.stat().st_mode, source))
    return entries


if __name__ == "__main__":
    assert shutil.which("zstd"), "this benchmark needs zstd"
    main()

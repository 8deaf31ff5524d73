"""How long until an environment is where its tasks are: on one worker, on ten of a machine, and over slow links.

    python benchmarks/staging.py [--rounds 5] [--folder DIR] [--only first,second,imports,many,links]
                                 [--workers 1,4,16,64] [--megabytes 100] [--megabits 400]

first   the first result of a call that imports nothing, on a worker that is connected and has an empty store, against
        `zstd -dc | tar x` of the same archive on the same disk
second  the same for an environment that shares nine tenths of its layers with the first
imports a call that imports numpy, scipy, pandas and matplotlib, the first time and again, in an environment that is there, against a fresh
        interpreter of the same environment, unpacked, that does so once
many    100 calls on 10 workers of this machine, with stores of their own and with one store, against ten (one) times
        `zstd -dc | tar x`, ten at once
links   until all of N workers have an environment of 25 one-file layers, each behind a link of its own with a limited rate,
        as the manager's is (network namespaces and `tc`: needs root), from the manager alone and with peers; a tenth of the bytes
        over links a tenth as fast (`--megabytes 10 --megabits 40`) has the same shape

Sides alternate; medians are printed. The environment is numpy, scipy, pandas and matplotlib with this Python unless
`--archive FILE` names another one.
"""

from __future__ import annotations

import argparse
import itertools
import os
import pickle
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import cloudpickle

from wq_package.archive.layer import (
    ArchiveIndex,
    Compression,
    LayerEntry,
    LayerHeader,
    LayerKind,
    StoredLayer,
)
from wq_package.archive.reader import ArchiveReader
from wq_package.archive.writer import write_archive, write_layer
from wq_package.manager import BlockingManager, ManagerOptions
from wq_package.task import Call, Environment, Function, Resources, Task

_WQ_PACKAGE = str(Path(sys.executable).parent / "wq-package")
_WAIT = 1800.0
_NETWORK = "10.231"
_NETWORKS = itertools.count(1)
_LINK_LAYERS = 25


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where stores and trees go (default: a temporary folder)")
    parser.add_argument("--archive", type=Path, help="the environment (zstd)")
    parser.add_argument("--only", default="first,second,imports,many,links")
    parser.add_argument("--workers", default="1,4,16,64")
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--megabits", type=int, default=400)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # networks and workers are taken down all the same
    with tempfile.TemporaryDirectory(prefix="wq-package-staging-", dir=args.folder) as name:
        folder = Path(name)
        only = args.only.split(",")
        parts = ("first", "second", "imports", "many")
        if {*parts} & {*only}:
            archive = args.archive or _build(folder)
            bench = _Bench(folder, archive, args.rounds)
            for part in parts:
                if part in only:
                    getattr(bench, part)()
        if "links" in only:
            counts = [int(text) for text in args.workers.split(",")]
            _measure_links(folder, counts, args.megabytes, args.megabits)


def _build(folder: Path) -> Path:
    spec = folder / "env.yml"
    spec.write_text("dependencies:\n  - pip: [numpy, scipy, pandas, matplotlib, cloudpickle]\n")
    archive = folder / "env.tar.zst"
    subprocess.run([_WQ_PACKAGE, "build", str(spec), "-o", str(archive), "-q"], check=True)
    return archive


def _load(archive: Path) -> tuple[Environment, ArchiveIndex]:
    with ArchiveReader(archive) as reader:
        return Environment(reader.index.environment, str(archive)), reader.index


def _answer(number: int) -> int:
    return number


def _import_much(number: int) -> int:
    import matplotlib.pyplot
    import numpy
    import pandas
    import scipy.stats

    return len([matplotlib, numpy, pandas, scipy]) * number


def _make_call(function: Callable[..., object], *arguments: object) -> Call:
    function.__module__ = "__main__"
    body = cloudpickle.dumps(function)
    return Call(Function(sha256(body).hexdigest(), body), pickle.dumps((arguments, {})))


@dataclass(frozen=True)
class _Bench:
    """The parts that run on one machine."""

    folder: Path
    archive: Path
    rounds: int

    def first(self) -> None:
        """Measure the first result against the pipe."""
        environment, index = _load(self.archive)
        size, files = (
            sum(layer.size for layer in index.layers),
            sum(layer.stored.files for layer in index.layers),
        )
        print(f"environment: {size / 1e6:.0f} MB, {files} files, {len(index.layers)} layers")
        ours, pipe = [], []
        for _ in range(self.rounds):
            pipe.append(self._time_pipes(1))
            with _crowd(self.folder / "first", 1) as manager:
                ours.append(_time_calls(manager, environment, 1))
        median, base = statistics.median(ours), statistics.median(pipe)
        print(f"first result: {median:.2f} s; zstd | tar: {base:.2f} s; ", end="")
        print(
            f"target 1.3 x {base:.2f} + 0.5 = {1.3 * base + 0.5:.2f} s: {_judge(median <= 1.3 * base + 0.5)}"
        )

    def second(self) -> None:
        """Measure an environment of which the worker has most already."""
        environment, index = _load(self.archive)
        times = []
        for number in range(self.rounds):
            other = _make_similar(self.folder, self.archive, number)
            shared = {*index.digests} & {*_load(other)[1].digests}
            with _crowd(self.folder / "second", 1) as manager:
                _time_calls(manager, environment, 1)
                os.sync()
                times.append(_time_calls(manager, _load(other)[0], 1))
        median = statistics.median(times)
        print(
            f"second environment ({len(shared)} of {len(index.layers)} layers shared): {median:.2f} s; ",
            end="",
        )
        print(f"target 0.3 s: {_judge(median <= 0.3)}")

    def imports(self) -> None:
        """Measure what imports cost the first call and those that follow."""
        environment, _ = _load(self.archive)
        tree = self.folder / "tree"
        subprocess.run([_WQ_PACKAGE, "unpack", str(self.archive), str(tree)], check=True)
        script = "import matplotlib.pyplot, numpy, pandas, scipy.stats"
        fresh, first, later = [], [], []
        for _ in range(self.rounds):
            began = time.perf_counter()
            subprocess.run([tree / "bin" / "python3", "-c", script], check=True)
            fresh.append(time.perf_counter() - began)
            with _crowd(self.folder / "imports", 1) as manager:
                _time_calls(manager, environment, 1)
                first.append(_time_calls(manager, environment, 1, _import_much))
                later += [_time_calls(manager, environment, 1, _import_much) for _ in range(50)]
        base = statistics.median(fresh)
        print(
            f"imports: fresh interpreter {base:.2f} s; first call {statistics.median(first):.2f} s ", end=""
        )
        print(f"({statistics.median(first) / base:.2f}); later ones {1e3 * statistics.median(later):.2f} ms")

    def many(self) -> None:
        """Measure 100 calls on 10 workers."""
        environment, _ = _load(self.archive)
        for label, shared, pipes in (("own stores", False, 10), ("one store", True, 1)):
            ours, base = [], []
            for _ in range(max(1, self.rounds // 2)):
                base.append(self._time_pipes(pipes))
                with _crowd(self.folder / "many", 10, is_shared=shared) as manager:
                    ours.append(_time_calls(manager, environment, 100))
            ratio = statistics.median(ours) / statistics.median(base)
            print(f"100 calls on 10 workers, {label}: {statistics.median(ours):.2f} s; ", end="")
            print(f"{pipes} x zstd | tar at once: {statistics.median(base):.2f} s; ratio {ratio:.2f}", end="")
            print(f", target 1.5: {_judge(ratio <= 1.5)}")

    def _time_pipes(self, count: int) -> float:
        targets = [self.folder / f"pipe{number}" for number in range(count)]
        for target in targets:
            target.mkdir()
        os.sync()
        began = time.perf_counter()
        pipes = [
            subprocess.Popen(["sh", "-c", 'zstd -dcq "$0" | tar -xf - -C "$1"', self.archive, target])
            for target in targets
        ]
        for pipe in pipes:
            assert pipe.wait() == 0
        seconds = time.perf_counter() - began
        for target in targets:
            shutil.rmtree(target)
        return seconds


def _judge(is_met: bool) -> str:  # noqa: FBT001 - a word for a yes or no
    return "met" if is_met else "MISSED"


def _make_similar(folder: Path, archive: Path, number: int) -> Path:
    """Make an archive that has a layer of its own instead of one in ten."""
    layers: list[tuple[StoredLayer, Path]] = []
    with ArchiveReader(archive) as reader:
        kept = sorted(reader.index.layers, key=lambda layer: layer.stored_size, reverse=True)
        kept = kept[: -max(1, len(kept) // 10)]
        for layer in reader.index.layers:
            path = folder / f"{layer.digest}.layer"
            if layer in kept:
                with reader.open_layer(layer.digest) as stream, path.open("wb") as sink:
                    shutil.copyfileobj(stream, sink)
                layers.append((layer.stored, path))
    text = b"# a module of the user's own\n" * 400
    files = {f"own{number}/module{n}.py": b"number = %d\n" % number + text for n in range(100)}
    layers.append(_make_layer(folder, f"own{number}", files))
    other = folder / f"other{number}.tar.zst"
    write_archive(layers, other, python="3.11")
    return other


def _make_layer(folder: Path, name: str, files: dict[str, bytes]) -> tuple[StoredLayer, Path]:
    path = folder / f"{name}.layer"
    entries = [LayerEntry(place, 0o755, body) for place, body in files.items()]
    with path.open("wb") as sink:
        return write_layer(LayerHeader(LayerKind.LOCAL, name, "1"), entries, (), sink, Compression.ZSTD), path


# -- workers of this machine -------------------------------------------------------------------------------------------


@contextmanager
def _crowd(folder: Path, count: int, *, is_shared: bool = False) -> Iterator[BlockingManager]:
    """A manager with workers of one core each that are connected and have empty stores."""
    folder.mkdir()
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with BlockingManager(ManagerOptions(password=None)) as manager:
            for number in range(count):
                store = folder / ("store" if is_shared else f"store{number}")
                processes.append(_start_worker("127.0.0.1", manager.port, store, folder))
            _wait_for_workers(manager, processes)
            os.sync()
            yield manager
    finally:
        _end(processes)
        shutil.rmtree(folder)


def _start_worker(host: str, port: int, store: Path, folder: Path, *prefix: str) -> subprocess.Popen[bytes]:
    # Not `--single-shot`: of many that begin at once on a busy machine, some are too slow to greet, and try again.
    command = [*prefix, _WQ_PACKAGE, "worker", host, str(port), "--cores", "1"]
    command += ["--connect-timeout", "300", "--store", str(store), "--workdir", str(folder / "work")]
    if prefix:
        command += ["--password-file", str(folder / "password")]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def _wait_for_workers(manager: BlockingManager, processes: Sequence[subprocess.Popen[bytes]]) -> None:
    while manager.statistics().workers_connected < len(processes):
        assert all(process.poll() is None for process in processes), "a worker has ended"
        time.sleep(0.02)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(60)


def _time_calls(
    manager: BlockingManager,
    environment: Environment,
    count: int,
    function: Callable[[int], int] = _answer,
) -> float:
    tasks = [
        Task(call=_make_call(function, number), environment=environment, resources=Resources(1, 1, 1))
        for number in range(count)
    ]
    began = time.perf_counter()
    for task in tasks:
        manager.submit(task)
    for _ in tasks:
        result = manager.wait(_WAIT)
        assert result is not None, "no result came"
        assert result.is_success, result
    return time.perf_counter() - began


# -- workers behind slow links -----------------------------------------------------------------------------------------


def _measure_links(folder: Path, counts: Sequence[int], megabytes: int, megabits: int) -> None:
    environment = _make_plain(folder, megabytes)
    print(
        f"links: {megabytes} MB in {_LINK_LAYERS} layers, {megabits} Mbit/s for the manager and for each worker"
    )
    for count in counts:
        times = {}
        for label, peers in (("manager only", False), ("with peers", True)):
            with _slow_links(count, megabits) as namespaces:
                times[label] = _time_links(folder, namespaces, environment, is_peers=peers)
        told = ", ".join(f"{label} {seconds:.1f} s" for label, seconds in times.items())
        print(f"{count:3} workers: {told}", flush=True)


def _make_plain(folder: Path, megabytes: int) -> Environment:
    """Make an environment that is cheap to unpack, so that the network is what is measured."""
    python = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'.encode()
    layers = [_make_layer(folder, "python", {"bin/python3": python})]
    size = megabytes * 1_000_000 // _LINK_LAYERS
    for number in range(_LINK_LAYERS):
        layers.append(_make_layer(folder, f"data{number}", {f"data/{number}": os.urandom(size)}))
    archive = folder / "plain.tar.zst"
    return Environment(write_archive(layers, archive, python="3.11").environment, str(archive))


@contextmanager
def _slow_links(count: int, megabits: int) -> Iterator[list[str]]:
    """A bridge with a limited rate for this machine, and a namespace behind a limited link for each worker."""
    # The system is still taking down what was used before: no name is used twice. An interface's has 15 letters.
    bridge = f"w{os.getpid():x}n{next(_NETWORKS)}"
    names = [f"{bridge}-{number}" for number in range(count)]
    try:
        _ip(
            [
                f"link add {bridge} type bridge",
                f"addr add {_NETWORK}.0.1/16 dev {bridge}",
                f"link set {bridge} up",
            ]
        )
        _limit(bridge, megabits)
        _ip([line for name in names for line in _list_outer(name, bridge)])
        for number, name in enumerate(names):
            _ip(_list_inner(name, number), "-n", name)
            _limit(f"{name}i", megabits, name)
        yield names
    finally:
        _ip([*(f"netns delete {name}" for name in names), f"link delete {bridge}"], "-force")


def _list_outer(name: str, bridge: str) -> list[str]:
    return [
        f"netns add {name}",
        f"link add {name} type veth peer name {name}i netns {name}",
        f"link set {name} master {bridge} up",
    ]


def _list_inner(name: str, number: int) -> list[str]:
    address = f"{_NETWORK}.{1 + number // 200}.{1 + number % 200}/16"
    return [f"addr add {address} dev {name}i", f"link set {name}i up", "link set lo up"]


def _limit(device: str, megabits: int, namespace: str = "") -> None:
    where = ["-n", namespace] if namespace else []
    rate = f"{megabits}mbit"
    rule = ["root", "tbf", "rate", rate, "burst", f"{max(64, megabits)}kb", "latency", "50ms"]
    subprocess.run(["tc", *where, "qdisc", "add", "dev", device, *rule], check=True)


def _ip(lines: Sequence[str], *options: str) -> None:
    """Carry out many commands with one program: starting one for each takes longer than the transfers."""
    subprocess.run(
        ["ip", *options, "-batch", "-"],
        input="\n".join(lines) + "\n",
        text=True,
        check="-force" not in options,
    )


def _time_links(
    folder: Path, namespaces: Sequence[str], environment: Environment, *, is_peers: bool
) -> float:
    place = folder / "links"
    place.mkdir()
    processes: list[subprocess.Popen[bytes]] = []
    options = ManagerOptions(host=f"{_NETWORK}.0.1", tls=False, peers=is_peers)
    try:
        with BlockingManager(options) as manager:
            manager.save_password(place / "password")
            for number, name in enumerate(namespaces):
                prefix = ("ip", "netns", "exec", name)
                processes.append(
                    _start_worker(f"{_NETWORK}.0.1", manager.port, place / f"store{number}", place, *prefix)
                )
            _wait_for_workers(manager, processes)
            return _time_until_all_have_it(manager, environment, len(namespaces), place)
    finally:
        _end(processes)
        shutil.rmtree(place)


def _begin_and_wait(folder: str, number: int) -> None:
    """Say that this call has begun, and keep its worker from taking another one."""
    import pathlib
    import time

    (pathlib.Path(folder) / f"begun{number}").touch()
    while not (pathlib.Path(folder) / "go").exists():
        time.sleep(0.1)


def _time_until_all_have_it(
    manager: BlockingManager, environment: Environment, count: int, place: Path
) -> float:
    began = time.perf_counter()
    for number in range(count):
        call = _make_call(_begin_and_wait, str(place), number)
        manager.submit(Task(call=call, environment=environment, resources=Resources(1, 1, 1)))
    while sum(1 for _ in place.glob("begun*")) < count:
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    (place / "go").touch()
    for _ in range(count):
        result = manager.wait(_WAIT)
        assert result is not None, "no result came"
        assert result.is_success, result
    return seconds


if __name__ == "__main__":
    main()

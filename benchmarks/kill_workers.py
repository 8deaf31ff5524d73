"""Kills workers and warm interpreters at random moments while environments are staged and used; see `kills.py`."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import cloudpickle

from wq_package.archive.layer import Compression, LayerEntry, LayerHeader, LayerKind, StoredLayer
from wq_package.archive.writer import write_archive, write_layer
from wq_package.manager import BlockingManager, ManagerOptions
from wq_package.task import Call, CallMode, Environment, Function, Resources, ResultCode, Task, TaskResult

_WQ_PACKAGE = [sys.executable, "-m", "wq_package_cli"]
_WAIT = 300.0
_WORKERS = 2
_BASE_LAYERS = 4
_TASKS = 6
_HOST = b"archive/scripts/host.py"


def _read_environment(seconds: float, marks: str) -> str:
    """Read every file of the environment; run in it. Mark the begin and the end in a file."""
    import hashlib
    import os
    import pathlib
    import time

    with pathlib.Path(marks).open("a") as file:
        file.write("begin\n")
    prefix = pathlib.Path(os.environ["WQ_PACKAGE_PREFIX"])
    digest = hashlib.sha256()
    for path in sorted(prefix.rglob("*")):
        if path.is_file() and ".wq-package" not in path.parts:
            digest.update(path.relative_to(prefix).as_posix().encode() + path.read_bytes())
    time.sleep(seconds)
    with pathlib.Path(marks).open("a") as file:
        file.write("end\n")
    return digest.hexdigest()


@dataclass
class _Chaos:
    """A manager, its workers, and what became of the tasks."""

    folder: Path
    chance: random.Random
    manager: BlockingManager
    max_retries: int | None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    base: list[tuple[StoredLayer, Path]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    expected: dict[int, str] = field(default_factory=dict)
    marks: dict[int, Path] = field(default_factory=dict)
    results: dict[int, list[TaskResult]] = field(default_factory=dict)
    phases: Counter[str] = field(default_factory=Counter)
    hosts_killed: int = 0

    # -- environments and tasks ----------------------------------------------------------------------------------------

    def make_base(self) -> None:
        """Make the layers that all environments share; they are large enough to be caught in the middle."""
        python = f'#!/bin/sh\nWQ_PACKAGE_PREFIX="${{0%/bin/*}}" exec "{sys.executable}" "$@"\n'.encode()
        self.base, self.files = [], {}
        self._add_layer("python", {"bin/python3": python})

    def _add_layer(self, name: str, files: dict[str, bytes]) -> None:
        self.base.append(self._make_layer(name, files))
        self.files.update(files)

    def submit(self, number: int) -> None:
        """Queue tasks of a new environment, which shares some layers with those before it."""
        if number % 5 == 0:
            self.make_base()
            for part in range(_BASE_LAYERS):
                files = {f"data/{part}/{n}": self.chance.randbytes(2000) for n in range(400)}
                files[f"data/{part}/large"] = self.chance.randbytes(3_000_000)
                self._add_layer(f"base{number}-{part}", files)
        files = {"own/number": b"%d" % number}
        own = self._make_layer(f"own{number}", files)
        archive = self.folder / f"env{number}.tar.zst"
        environment = Environment(
            write_archive([*self.base, own], archive, python="3").environment, str(archive)
        )
        expected = _compute_digest(self.files | files)
        for position in range(_TASKS):
            mode = CallMode.FORK if position % 3 == 2 else CallMode.IN_PLACE
            marks = self.folder / "marks" / f"{number}.{position}"
            call = _make_call(mode, self.chance.uniform(0, 0.1), str(marks))
            resources = Resources(0.5, 1, 1)
            task = Task(call=call, environment=environment, resources=resources, max_retries=self.max_retries)
            task_id = self.manager.submit(task)
            self.expected[task_id], self.marks[task_id] = expected, marks

    def _make_layer(self, name: str, files: dict[str, bytes]) -> tuple[StoredLayer, Path]:
        path = self.folder / f"{name}.layer"
        entries = [LayerEntry(place, 0o755, body) for place, body in files.items()]
        with path.open("wb") as sink:
            header = LayerHeader(LayerKind.LOCAL, name, "1")
            return write_layer(header, entries, (), sink, Compression.ZSTD), path

    def gather(self, seconds: float) -> None:
        """Take the results that come within some seconds."""
        limit = time.monotonic() + seconds
        while (left := limit - time.monotonic()) > 0:
            result = self.manager.wait(left)
            if result is None:
                time.sleep(min(0.01, max(0.0, limit - time.monotonic())))
                continue
            self.results.setdefault(result.task_id, []).append(result)

    @property
    def waiting(self) -> int:
        """How many tasks have no result."""
        return len(self.expected) - len(self.results)

    # -- workers -------------------------------------------------------------------------------------------------------

    def keep_workers(self) -> None:
        """Start workers in the place of those that died."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < _WORKERS:
            command = [*_WQ_PACKAGE, "worker", "127.0.0.1", str(self.manager.port), "--single-shot"]
            command += [
                "--cores",
                "2",
                "--store",
                str(self.folder / "store"),
                "--workdir",
                str(self.folder / "work"),
            ]
            command += ["--connect-timeout", "300"]
            self.workers.append(subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True))

    def wait_for_a_worker(self) -> None:
        """Wait until one is connected: before, there is little to break."""
        while not self.manager.statistics().workers_connected:
            self.gather(0.02)

    def kill(self) -> None:
        """Kill a worker, or one of its interpreters."""
        hosts = _find_hosts(str(self.folder))
        if hosts and self.chance.random() < 0.4:
            self.phases["interpreters"] += 1
            self.hosts_killed += 1
            with suppress(ProcessLookupError):
                os.kill(self.chance.choice(hosts), signal.SIGKILL)
            return
        unfinished = [path.name for path in (self.folder / "store" / "tmp").glob("*/*")]
        kinds = {"layer": "workers that unpacked", "env": "workers that composed"}
        phase = next((kinds[name] for name in unfinished if name in kinds), "workers otherwise")
        self.phases[phase] += 1
        worker = self.chance.choice(self.workers)
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    def stop(self) -> None:
        """End the workers."""
        for worker in self.workers:
            worker.kill()
            worker.wait()

    # -- judging -------------------------------------------------------------------------------------------------------

    def find_faults(self) -> list[str]:
        """Tell what is wrong in the end."""
        faults = []
        lost = given_up = 0
        for task_id, expected in self.expected.items():
            results = self.results.get(task_id, [])
            if len(results) != 1:
                faults.append(f"task {task_id} has {len(results)} results")
                continue
            (result,) = results
            if result.code is ResultCode.INTERPRETER_LOST:
                lost += 1
            elif result.code is ResultCode.MAX_RETRIES and self.max_retries == 0:
                given_up += 1
            elif not result.is_success:
                faults.append(f"task {task_id}: {result.code.value}: {result.message}")
            elif pickle.loads(result.value) != (True, expected):
                faults.append(f"task {task_id} saw another environment than its own")
        if lost > self.hosts_killed * 4:
            faults.append(f"{lost} calls were lost with {self.hosts_killed} interpreters")
        print(
            f"{len(self.expected)} tasks, {lost} of them lost with their interpreter, {given_up} with their worker"
        )
        return faults + self._find_repeated()

    def _find_repeated(self) -> list[str]:
        """Count what ran to its end more than once; tell what began again that must not."""
        faults, repeated = [], 0
        for task_id, path in self.marks.items():
            words = path.read_text().split() if path.exists() else []
            repeated += words.count("end") > 1
            if self.max_retries == 0 and words.count("begin") > 1:
                faults.append(f"task {task_id} must begin but once, and began {words.count('begin')} times")
        print(
            f"{repeated} tasks ran to their end again, because their worker was killed before it could say so"
        )
        return faults


def kill_workers(folder: Path, kills: int, chance: random.Random) -> list[str]:
    """Kill so often, half of it with tasks that must not begin twice; return what was wrong."""
    (folder / "again").mkdir()
    (folder / "once").mkdir()
    faults = _kill_workers(folder / "again", kills - kills // 2, chance, None)
    return faults + _kill_workers(folder / "once", kills // 2, chance, 0)


def _kill_workers(folder: Path, kills: int, chance: random.Random, max_retries: int | None) -> list[str]:
    (folder / "marks").mkdir()
    options = ManagerOptions(password=None)
    if max_retries == 0:  # what waits at a worker may begin there unknown to the manager
        options = replace(options, look_ahead=0)
    with BlockingManager(options) as manager:
        chaos = _Chaos(folder, chance, manager, max_retries)
        try:
            number = 0
            for _ in range(kills):
                chaos.keep_workers()
                if chaos.waiting < 2 * _TASKS:
                    chaos.submit(number)
                    number += 1
                chaos.wait_for_a_worker()
                chaos.gather(chance.uniform(0.0, 1.5))
                chaos.kill()
            chaos.keep_workers()
            limit = time.monotonic() + _WAIT
            while chaos.waiting and time.monotonic() < limit:
                chaos.gather(0.2)
            chaos.gather(0.5)  # what comes twice
            faults = chaos.find_faults()
        finally:
            chaos.stop()
    phases = ", ".join(f"{count} {phase}" for phase, count in sorted(chaos.phases.items()))
    print(f"{kills} kills: {phases}; {len(faults)} faults")
    return faults


def _find_hosts(folder: str) -> list[int]:
    """Find the warm interpreters of the workers whose files lie below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            command = (entry / "cmdline").read_bytes()
            if _HOST in command and folder.encode() in command:
                found.append(int(entry.name))
    return found


def _compute_digest(files: dict[str, bytes]) -> str:
    """Compute what `_read_environment` must find."""
    digest = hashlib.sha256()
    for place in sorted(map(Path, files)):
        digest.update(place.as_posix().encode() + files[place.as_posix()])
    return digest.hexdigest()


def _make_call(mode: CallMode, seconds: float, marks: str) -> Call:
    function: Callable[..., object] = _read_environment
    function.__module__ = "__main__"
    body = cloudpickle.dumps(function)
    return Call(Function(hashlib.sha256(body).hexdigest(), body), pickle.dumps(((seconds, marks), {})), mode)

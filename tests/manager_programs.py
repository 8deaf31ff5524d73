"""Worker programs for functional tests of the manager: Debian's and ours, in processes of their own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle

from wq_package.task import Call, CallMode, Environment, Function, Resources, Task

PASSWORD = b"sesame\n"
NEWER = os.environ.get("WQ_PACKAGE_NEWER_WORK_QUEUE", "")
"""A folder with the programs of a newer Work Queue: see `recipes/newer-work-queue`."""
SMALL = Resources(1, 50, 50)
SECONDS = 180.0
"""How long a test waits for what takes a moment."""


class Programs:
    """Worker processes, ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.password_file = folder / "password"
        self.password_file.write_bytes(PASSWORD)

    def start(
        self, kind: str, port: int, *more: str, cores: int = 2, password: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a worker with 1000 MB of memory and of disk: `debian`, `newer`, `ours`, or ours without a password."""
        workdir = self.folder / f"workdir{len(self.processes)}"
        workdir.mkdir()
        if kind in ("debian", "newer"):
            command = [
                f"{NEWER}/work_queue_worker" if kind == "newer" else "work_queue_worker",
                "-o",
                str(self.folder / f"debian{len(self.processes)}.log"),
                "-d",
                "wq",
            ]
        else:
            command = [
                sys.executable,
                "-m",
                "wq_package_cli",
                "worker",
                "--store",
                str(self.folder / "store"),
            ]
        if kind != "unprotected":
            command += ["-P", str(password or self.password_file)]
        command += [
            "-s",
            str(workdir),
            "--single-shot",
            "-t",
            "600",
        ]
        command += [
            "--cores",
            str(cores),
            "--memory",
            "1000",
            "--disk",
            "1000",
            *more,
            "127.0.0.1",
            str(port),
        ]
        log = (self.folder / f"worker{len(self.processes)}.out").open("wb")
        with log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self.processes.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End a worker at once, with all of its tasks."""
        for pid in _find_session(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(SECONDS)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for what happens in another process."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > deadline:
                outputs = [path.read_text(errors="replace") for path in self.folder.glob("worker*.out")]
                raise AssertionError(f"it did not happen; the workers said: {outputs}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End every worker."""
        for process in self.processes:
            self.kill(process)


def _find_session(leader: int) -> list[int]:
    """Find a worker and what it has started: tasks have process groups of their own, in its session."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if os.getsid(int(entry.name)) == leader:
                found.append(int(entry.name))
    return found


def make_function(function: Callable[..., Any]) -> Function:
    """Pickle a function by value, as the executor does."""
    module = sys.modules[function.__module__]
    cloudpickle.register_pickle_by_value(module)
    try:
        body = cloudpickle.dumps(function)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    return Function(hashlib.sha256(body).hexdigest(), body)


def make_call(
    function: Callable[..., Any],
    *args: object,
    environment: Environment | None = None,
    mode: CallMode = CallMode.IN_PLACE,
    **more: Any,
) -> Task:
    """Make the task that calls a function."""
    call = Call(make_function(function), pickle.dumps((args, {})), mode)
    return Task(call=call, environment=environment, resources=more.pop("resources", SMALL), **more)

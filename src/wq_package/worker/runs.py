"""Command tasks: from the sandbox to the outputs (shell module).

Knows one task at a time: makes its sandbox, starts its shell with the variables that Work Queue promises, has it measured
and held to its limits, and collects what it left. Decides nothing about when it runs. See work-queue.md 3.1.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from wq_package.protocol import messages as wire
from wq_package.task import ResultCode
from wq_package.worker.actions import Box, StagedFile, StartRun
from wq_package.worker.cache import EntryStore, open_file, remove_tree
from wq_package.worker.devices import NO_DEVICES, DevicePool, Devices
from wq_package.worker.events import RunEnded
from wq_package.worker.measure.disk import DiskWatch, measure_disk
from wq_package.worker.process import Program, ProgramEnd, Spawner
from wq_package.worker.sandbox import Collected, collect_outputs, make_sandbox
from wq_package.worker.usage import Usage

__all__ = ["RunRoom", "make_task_variables"]

_log = logging.getLogger(__name__)
_CLEAN_LIMIT = 64
_ENOSPC = (28, 122)  # ENOSPC, EDQUOT
_BLOCKS_PER_MB = 2048


@dataclass(slots=True)
class _Run:
    action: StartRun
    folder: str
    output: str
    number: int = 0
    began: float = 0.0
    is_killed: bool = False
    devices: Devices = NO_DEVICES
    memory_limit: float = 0.0
    disk_limit: float = 0.0
    is_over_disk: bool = False
    is_untouched: bool = False
    """Whether it has ended and left its sandbox as it was made: empty."""
    disk: float = 0.0

    @property
    def temporary(self) -> str:
        return self.folder + ".tmp"

    @property
    def places(self) -> tuple[str, str, str]:
        """Where what it writes takes disk."""
        return self.folder, self.temporary, self.output


class RunRoom:
    """Every command task that runs.

    Args:
        workspace: the worker's folder; sandboxes are made in it.
        threads: for copying and removing.
        devices: what is handed out to tasks.
        disks: measures their sandboxes.
    """

    def __init__(
        self,
        workspace: str,
        spawner: Spawner,
        store: EntryStore,
        threads: Executor,
        devices: DevicePool,
        disks: DiskWatch,
    ) -> None:
        self._workspace = workspace
        self._spawner = spawner
        self._store = store
        self._threads = threads
        self._runs: dict[int, _Run] = {}
        self._devices = devices
        self._disks = disks
        self._pending: set[asyncio.Task[None]] = set()
        # Sandboxes that a task left empty, and the empty files for output beside them: to make new ones is slow.
        self._clean: list[tuple[str, str]] = []
        self._stamp = secrets.randbelow(10**9) * 10**9

    def start(self, action: StartRun, on_end: Callable[[RunEnded], None]) -> None:
        """Run a task; `on_end` is called once, later."""
        run = _Run(action, *self._find_place(action))
        self._provide(run)
        self._runs[action.serial] = run
        if action.inputs:  # copying may take long
            self._spawn(self._prepare_slowly(run, on_end))
        else:
            self._prepare(run, on_end, None)

    def kill(self, serial: int) -> None:
        """Kill a task's processes."""
        run = self._runs.get(serial)
        if run is None:
            return
        run.is_killed = True
        if run.number:
            self._spawner.kill(run.number)

    def find_output_size(self, serial: int, name: str) -> int:
        """Tell how large an output of a task that runs is so far; 0 if there is none."""
        run = self._runs.get(serial)
        try:
            return 0 if run is None else os.stat(f"{run.folder}/{name}").st_size
        except OSError:
            return 0

    def read_output(self, serial: int, name: str, offset: int, size: int) -> bytes:
        """Read a part of an output of a task that runs; nothing where it is no file."""
        run = self._runs.get(serial)
        if run is None:
            return b""
        try:
            with open_file(f"{run.folder}/{name}") as file:
                return os.pread(file.fileno(), size, offset)
        except OSError:
            return b""

    def make_sandbox(self, folder: str, inputs: Sequence[StagedFile], folders: Sequence[str]) -> None:
        """Make a sandbox; may take long.

        Raises:
            OSError: see `wq_package.worker.sandbox.make_sandbox`.
        """
        store = self._store
        staged = [
            (store.locate(file.key), file.sandbox_name, file.is_private and store.is_own(file.key))
            for file in inputs
        ]
        make_sandbox(folder, staged, folders)

    async def _prepare_slowly(self, run: _Run, on_end: Callable[[RunEnded], None]) -> None:
        loop = asyncio.get_running_loop()
        action = run.action
        make = partial(self.make_sandbox, run.folder, action.inputs, action.task.folders)
        try:
            await loop.run_in_executor(self._threads, make)
            _make_temporary(run.temporary)
        except OSError as error:
            self._fail(run, error, on_end)
        else:
            self._launch(run, on_end)

    def _provide(self, run: _Run) -> None:
        """Give a task what it has for itself, and note what it must keep to."""
        task, box = run.action.task, run.action.box
        run.devices = self._devices.take(box.cores, box.gpus, is_pinned=task.is_enforced)
        if task.is_enforced:
            run.memory_limit, run.disk_limit = task.memory_mb or 0.0, task.disk_mb or 0.0

    def _find_place(self, action: StartRun) -> tuple[str, str]:
        """Find a sandbox that is there and empty, with a file for output, or name new ones."""
        folder, output = f"{self._workspace}/t.{action.serial}", f"{self._workspace}/out.{action.serial}"
        if self._clean and not action.inputs and not action.task.folders:
            folder, empty = self._clean.pop()
            output = empty or output
        return folder, output

    def _prepare(self, run: _Run, on_end: Callable[[RunEnded], None], _: None) -> None:
        try:
            if not os.path.isdir(run.folder):
                self.make_sandbox(run.folder, (), run.action.task.folders)
                _make_temporary(run.temporary)
                if not run.action.task.folders:
                    self._mark_as_new(run)
        except OSError as error:
            self._fail(run, error, on_end)
        else:
            self._launch(run, on_end)

    def _mark_as_new(self, run: _Run) -> None:
        """Give empty folders a time by which it is seen that nothing has been made in them since."""
        for folder in (run.folder, run.temporary):
            os.utime(folder, ns=(self._stamp, self._stamp))

    def _is_as_new(self, folder: str, mode: int) -> bool:
        try:
            status = os.lstat(folder)
        except OSError:
            return False
        return status.st_mtime_ns == self._stamp and status.st_mode == stat.S_IFDIR | mode

    def _launch(self, run: _Run, on_end: Callable[[RunEnded], None]) -> None:
        run.began = time.monotonic()
        task = run.action.task
        program = Program(
            argv=("/bin/sh", "-c", task.command),
            cwd=run.folder,
            variables=make_task_variables(
                task, run.action.box, run.devices.gpus, run.temporary, self._workspace
            ),
            output=run.output,
            processors=run.devices.processors,
            is_watched=True,
            memory_limit_mb=run.memory_limit,
        )
        self._disks.begin(run.action.serial, run.places, run.disk_limit, partial(self._stop_over_disk, run))
        run.number = self._spawner.start(program, lambda end: self._finish(run, end, on_end))
        if run.is_killed:
            self._spawner.kill(run.number)

    def _stop_over_disk(self, run: _Run) -> None:
        run.is_over_disk = True
        self._spawner.kill(run.number)

    def _finish(self, run: _Run, end: ProgramEnd, on_end: Callable[[RunEnded], None]) -> None:
        usec = int((time.monotonic() - run.began) * 1e6)
        run.disk = self._disks.end(run.action.serial)
        run.is_untouched = self._is_as_new(run.folder, 0o700) and self._is_as_new(run.temporary, 0o777)
        if end.errno:
            self._fail(run, OSError(end.errno, os.strerror(end.errno)), on_end)
        elif run.action.task.outputs or not run.is_untouched:
            self._spawn(self._collect_slowly(run, end, usec, on_end))
        else:
            self._report(run, end, usec, Collected(), on_end)

    async def _collect_slowly(
        self, run: _Run, end: ProgramEnd, usec: int, on_end: Callable[[RunEnded], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            collected = await loop.run_in_executor(self._threads, self._measure_and_collect, run)
        except OSError as error:
            self._fail(run, error, on_end)
            return
        self._report(run, end, usec, collected, on_end)

    def _measure_and_collect(self, run: _Run) -> Collected:
        run.disk = max(run.disk, measure_disk(run.places))
        return collect_outputs(run.folder, run.action.task.outputs, self._store)

    def _report(
        self, run: _Run, end: ProgramEnd, usec: int, collected: Collected, on_end: Callable[[RunEnded], None]
    ) -> None:
        try:
            output = _find_output(run.output)
        except OSError as error:  # the task has gone to more than its own files
            for _, key in collected.stored:
                self._threads.submit(self._store.remove, key)
            self._fail(run, error, on_end)
            return
        run.disk = max(run.disk, output.st_blocks / _BLOCKS_PER_MB)
        self._forget(run)
        is_stopped = end.signal != 0 and (run.is_over_disk or end.excess_mb > 0)
        ended = RunEnded(
            run.action.serial,
            end.exit_code,
            end.signal,
            usec,
            run.output if output.st_size else "",
            output.st_size,
            collected.stored,
            ResultCode.RESOURCE_EXHAUSTION if is_stopped else None,
            usage=_make_usage(run, end),
        )
        on_end(ended)
        self._remove(run, "" if output.st_size else run.output)

    def _fail(self, run: _Run, error: OSError, on_end: Callable[[RunEnded], None]) -> None:
        """End a task that could not be run; what is said goes where its output would."""
        self._forget(run)
        code = ResultCode.DISK_FULL if error.errno in _ENOSPC else ResultCode.UNKNOWN
        message = f"the worker could not run the task: {error.strerror or error}\n"
        _log.warning("task %d: %s", run.action.task.task_id, message.strip())
        try:
            remove_tree(run.output)
            with open(run.output, "x") as file:
                file.write(message)
        except OSError:  # the disk is full indeed
            on_end(RunEnded(run.action.serial, failure=code, message=message))
        else:
            size = len(message)
            on_end(RunEnded(run.action.serial, 1, output=run.output, output_size=size, failure=code))
        self._remove(run)

    def _forget(self, run: _Run) -> None:
        self._runs.pop(run.action.serial, None)
        self._disks.end(run.action.serial)
        self._devices.give_back(run.devices)

    def _remove(self, run: _Run, empty: str = "") -> None:
        """Clear up after a task; `empty` is its file for output if nobody else has it."""
        if run.is_untouched and len(self._clean) < _CLEAN_LIMIT:
            self._clean.append((run.folder, empty))
        else:
            self._threads.submit(_remove_all, run.folder, run.temporary, *[empty] * bool(empty))

    def _spawn(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)  # type: ignore[arg-type] # always a coroutine
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)


def _find_output(path: str) -> os.stat_result:
    """Look at a file of output, which the task may have put something else in the place of: whoever opens a pipe waits.

    Raises:
        OSError: it is no file, or not there.
    """
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "its output is no file any more", path)
    return status


def _make_temporary(folder: str) -> None:
    os.mkdir(folder)
    os.chmod(folder, 0o777)


def _make_usage(run: _Run, end: ProgramEnd) -> Usage:
    limits = (
        ("memory", run.memory_limit, max(end.memory_mb, end.excess_mb)),
        ("disk", run.disk_limit, run.disk),
    )
    limit, allowed, used = next((each for each in limits if 0 < each[1] < each[2]), ("", 0.0, 0.0))
    sizes = (end.memory_mb, run.disk, end.cores, end.read_mb, end.written_mb)
    return Usage(end.cpu_usec, *sizes, end.processes, limit, allowed, used)


def _remove_all(*paths: str) -> None:
    for path in paths:
        remove_tree(path)


def make_task_variables(
    task: wire.TaskDescription, box: Box, gpus: Sequence[str], temporary: str, workspace: str
) -> Mapping[str, str | None]:
    """Make the variables that Work Queue promises to a task; the task's own have precedence, except the last."""
    variables: dict[str, str | None] = {"DISPLAY": None}
    amounts = {"CORES": box.cores, "MEMORY": box.memory_mb, "DISK": box.disk_mb, "GPUS": box.gpus}
    variables.update({name: str(int(amount)) for name, amount in amounts.items() if int(amount) > 0})
    if "CORES" in variables:
        variables["OMP_NUM_THREADS"] = variables["CORES"]
    if gpus:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    variables.update(task.variables)
    variables.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), temporary))
    variables["WORKER_TMPDIR"] = workspace
    variables["WORK_QUEUE_SANDBOX"] = workspace
    return variables

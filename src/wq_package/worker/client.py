"""The worker itself: connects to a manager, carries out what the state decides (shell module).

Knows the link, the clock, the rooms beside it (cache, runs, functions, environments) and which of them carries out which
action. Decides nothing about tasks. One `Worker` lives as long as the process; one `_Session` as long as a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import secrets
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wq_package.errors import ManagerUnreachableError
from wq_package.link import Link
from wq_package.protocol import messages as wire
from wq_package.worker import events as ev
from wq_package.worker.cache import EntryStore, remove_tree
from wq_package.worker.devices import DevicePool, Devices
from wq_package.worker.discovery import discover_capacity, find_gpu_names
from wq_package.worker.environments import EnvironmentRoom
from wq_package.worker.functions import InterpreterPool
from wq_package.worker.hosts import find_own_python
from wq_package.worker.measure.disk import DiskWatch
from wq_package.worker.options import WorkerOptions
from wq_package.worker.process import ProgramEnd, Spawner
from wq_package.worker.protocols import ProtocolChoice
from wq_package.worker.runs import RunRoom
from wq_package.worker.seeking import seek_manager
from wq_package.worker.session import Session
from wq_package.worker.state import WORKER_PYTHON
from wq_package.worker.versions import make_version_features
from wq_package.worker.workspace import make_workspace, remove_abandoned

__all__ = ["run_worker"]

_log = logging.getLogger(__name__)
_BACKOFF_LIMIT = 15.0
_SILENT_SECONDS = 1.0
"""A pause after somebody who takes connections and says nothing, who must not keep us for ever, nor busy."""


async def run_worker(options: WorkerOptions) -> None:
    """Serve managers until told to leave, or until none is there for too long.

    Raises:
        ManagerUnreachableError: no manager answered in time.
        AuthenticationError: the manager's password is another one.
        QueueError: the workspace cannot be made.
    """
    with make_workspace(options.workdir) as workspace:
        worker = Worker(options, workspace)
        worker.threads.submit(remove_abandoned, workspace.parent)
        try:
            await worker.run()
        finally:
            await worker.close()


def _note_protection(end: ProgramEnd) -> None:
    if end.errno:
        _log.info(
            "tasks can write to environments here (%s): what they change is noticed at the next offer, and repaired",
            os.strerror(end.errno),
        )


class Worker:
    """One worker process.

    Args:
        workspace: a folder of its own.
    """

    def __init__(self, options: WorkerOptions, workspace: Path) -> None:
        self.options = options
        self.workspace = workspace
        for name in ("cache", "functions", "hosts"):
            (workspace / name).mkdir()
        kept = (wire.FILES_FEATURE,) if options.keeps_store else ()
        self.features = (*options.features, *make_version_features(), *kept)
        self.worker_id = f"worker-{secrets.token_hex(16)}"
        self.capacity = discover_capacity(options, workspace)
        self.threads = ThreadPoolExecutor(4, thread_name_prefix="files")
        self.spawner = Spawner(workspace, by_user=options.user_namespace, uses_cgroups=options.uses_cgroups)
        self.entries = EntryStore(workspace / "cache")
        self.devices = DevicePool(os.sched_getaffinity(0), find_gpu_names(int(self.capacity.gpus)))
        self.disks = DiskWatch(self.threads)
        self._provided: dict[int, Devices] = {}
        self._left_behind: dict[int, str] = {}
        self.runs = RunRoom(
            str(workspace), self.spawner, self.entries, self.threads, self.devices, self.disks
        )
        self.calls = InterpreterPool(
            self.spawner,
            workspace / "hosts",
            workspace / "functions",
            self._end_call,
            lambda folder: self.threads.submit(remove_tree, folder),
        )
        self.calls.register(WORKER_PYTHON, find_own_python())
        self.serials = itertools.count(1)
        self.end_time = 0.0 if options.wall_time is None else time.time() + options.wall_time
        self.protocol = ProtocolChoice()
        self.session: Session | None = None
        self.is_leaving = False
        self._is_draining = False
        self._environments: EnvironmentRoom | None = None
        self._stop = asyncio.Event()

    @property
    def environments(self) -> EnvironmentRoom:
        """The room for environments; the store is opened when the first one is offered."""
        if self._environments is None:
            from wq_package.worker.store import Store, default_store_root

            options = self.options
            if options.keeps_store:
                root = options.store or default_store_root()
            else:
                root = self.workspace / f"store.{next(self.serials)}"
            store = Store(root)
            self.spawner.protect(store.trees, _note_protection)
            limit = None if options.store_limit_mb is None else options.store_limit_mb * 2**20
            self._environments = EnvironmentRoom(store, limit, options.store_free_mb * 2**20)
        return self._environments

    @property
    def is_store_short(self) -> bool:
        """Whether the store has too little room."""
        return self._environments is not None and self._environments.is_short

    def list_leased(self) -> tuple[str, ...]:
        """List the environments that are kept from eviction."""
        return () if self._environments is None else self._environments.leased

    async def release_environments(self) -> None:
        """Let go of what the manager that has gone wanted; forget it if nothing may be kept."""
        room = self._environments
        if room is None:
            return
        await room.end_session()
        if not self.options.keeps_store:
            self._environments = None
            for digest in room.environments:
                self.calls.forget(digest)
            await asyncio.get_running_loop().run_in_executor(None, room.remove)

    # -- its life ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve one manager after the other."""
        with self._obey_signals():
            has_served = False
            limit = time.monotonic() + self.options.patience
            while not self.is_leaving:
                try:
                    link = await self._find_manager(limit)
                except ManagerUnreachableError:
                    if not has_served:
                        raise
                    _log.info("no manager came back within %g s", self.options.patience)
                    return
                if link is None:
                    return
                has_heard = await self._serve(link)
                if has_heard:
                    has_served = True
                    limit = time.monotonic() + self.options.patience
                    self.protocol.note_heard()
                elif not self._is_draining and self.protocol.note_silence():
                    _log.info("the manager said nothing: trying protocol %d", self.protocol.number)
                    if self.options.single_shot:  # if it has gone, so do we
                        has_served, limit = True, time.monotonic()
                    continue
                if self.options.single_shot or self._is_draining:
                    return
                if not has_heard:
                    await self._pause(_SILENT_SECONDS)

    async def _find_manager(self, limit: float) -> Link | None:
        """Connect, again and again until `limit`; `None` if we are told to leave meanwhile."""
        options = self.options
        pause = 0.1
        while not self.is_leaving:
            seconds = min(15.0, max(limit - time.monotonic(), 1.0))
            try:
                link, protocol = await seek_manager(options, seconds)
            except ManagerUnreachableError:
                if time.monotonic() >= limit:
                    raise
            else:
                self.protocol.take(protocol or self.protocol.number)
                return link
            await self._pause(min(pause, max(limit - time.monotonic(), 0.01)))
            pause = min(pause * 2, _BACKOFF_LIMIT)
        return None

    async def _pause(self, seconds: float) -> None:
        """Wait, or less if we are told to leave."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    async def _serve(self, link: Link) -> bool:
        """Serve a manager until the connection ends; return whether it ever said anything."""
        _log.info("connected to the manager at %s", link.peer_address)
        session = self.session = Session(self, link)
        if self._is_draining:
            session.handle(ev.Drain())
        try:
            await session.run()
        finally:
            self.session = None
            await session.close()
        return session.was_heard

    async def close(self) -> None:
        """End everything that was started."""
        self.calls.close()
        self.spawner.close()
        if self._environments is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._environments.close)
        self.threads.shutdown(wait=True, cancel_futures=True)

    # -- signals -------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _obey_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handlers = {
            signal.SIGTERM: self._drain_or_leave,
            signal.SIGINT: self._leave_now,
            signal.SIGQUIT: self._leave_now,
        }
        try:
            for number, handler in handlers.items():
                loop.add_signal_handler(number, handler, number)
        except (RuntimeError, ValueError):  # not the main thread: whoever runs us decides
            handlers = {}
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _drain_or_leave(self, number: int) -> None:
        if self._is_draining or self.session is None:
            self._leave_now(number)
            return
        _log.info("draining: what runs is finished; a second signal leaves at once")
        self._is_draining = True
        self.session.handle(ev.Drain())

    def _leave_now(self, number: int) -> None:
        self.is_leaving = True
        self._stop.set()
        if self.session is not None:
            self.session.leave(wire.Info("vacating", str(number)), f"signal {number}")

    # -- calls ---------------------------------------------------------------------------------------------------------

    def provide(self, serial: int, cores: float, gpus: int, *, is_pinned: bool) -> Devices:
        """Hand out what a call has for itself until it ends."""
        devices = self._provided[serial] = self.devices.take(cores, gpus, is_pinned=is_pinned)
        return devices

    def take_devices_back(self, serial: int) -> None:
        """Take back what a call had, if it had anything."""
        devices = self._provided.pop(serial, None) if self._provided else None
        if devices is not None:
            self.devices.give_back(devices)

    def leave_behind(self, serial: int, sandbox: str) -> None:
        """Remove the sandbox of a call whose manager has gone, once nothing works in it any more."""
        if self.calls.has_call(serial):
            self._left_behind[serial] = sandbox
        else:
            self.threads.submit(remove_tree, sandbox)

    def _end_call(self, event: ev.CallEnded) -> None:
        self.take_devices_back(event.serial)
        sandbox = self._left_behind.pop(event.serial, "") if self._left_behind else ""
        if self.session is not None and not sandbox:
            self.session.end_call(event)
            return
        for path in filter(None, (sandbox, event.path)):
            self.threads.submit(remove_tree, path)

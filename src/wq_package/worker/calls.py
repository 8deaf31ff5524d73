"""The calls of one session: each given to a warm interpreter, in a sandbox of its own if it has files (shell module).

Knows what a call needs beside its interpreter: variables, devices, limits, input and output files. Decides nothing about
when one starts; which interpreter takes it, `wq_package.worker.functions` knows.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING

from wq_package.task import ResultCode
from wq_package.worker import actions as act
from wq_package.worker import events as ev
from wq_package.worker.cache import remove_tree
from wq_package.worker.hosts import HostCall, HostKey, make_packet
from wq_package.worker.measure.disk import measure_disk
from wq_package.worker.sandbox import Collected, collect_outputs

if TYPE_CHECKING:
    from wq_package.worker.client import Worker

__all__ = ["CallRoom"]

_log = logging.getLogger(__name__)


class CallRoom:
    """What one session has under way at warm interpreters.

    Args:
        handle: takes the events that follow.
        keep: told the keys of cache entries that a call has made.
    """

    def __init__(
        self, worker: Worker, handle: Callable[[ev.Event], None], keep: Callable[[list[int]], None]
    ) -> None:
        self._worker = worker
        self._handle = handle
        self._keep = keep
        self._starts: dict[int, act.StartCall] = {}  # those that have files
        self._preparing: set[int] = set()  # those whose sandbox is being made
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def start(self, action: act.StartCall) -> None:
        """Give a call to an interpreter."""
        call = action.call
        if action.inputs or call.outputs:
            self._starts[action.serial] = action
            self._preparing.add(action.serial)
            self._spawn(self._start_in_sandbox(action))
            return
        extra: dict[str, object] | None = None
        if action.path or call.variables:
            extra = {"variables": dict(call.variables)}
            if action.path:
                extra["arguments"] = action.path
                self._starts[action.serial] = action
        self._give(action, extra)

    def _give(self, action: act.StartCall, extra: dict[str, object] | None) -> None:
        call = action.call
        cores = self._worker.capacity.cores if call.cores is None else call.cores
        if call.is_enforced or call.gpus:
            extra = self._provide(action, cores, extra or {"variables": dict(call.variables)})
        packet = make_packet(action.serial, call.function, action.arguments, extra)
        is_forked = call.is_enforced or call.mode == "fork"
        host_call = HostCall(action.serial, HostKey(call.environment, is_forked, cores), packet)
        if action.is_ahead:
            self._worker.calls.start_behind(host_call)
        else:
            self._worker.calls.start(host_call)

    def _provide(self, action: act.StartCall, cores: float, extra: dict[str, object]) -> dict[str, object]:
        """Give a call what it has for itself, and tell it what it must keep to."""
        call = action.call
        devices = self._worker.provide(action.serial, cores, call.gpus or 0, is_pinned=call.is_enforced)
        provided = {**extra, "processors": devices.processors}
        if devices.gpus:
            provided["variables"] = {"CUDA_VISIBLE_DEVICES": ",".join(devices.gpus), **dict(call.variables)}
        if call.is_enforced and call.memory_mb:
            provided["limit"] = call.memory_mb * 1024
        return provided

    def kill(self, serial: int) -> None:
        """End a call; its end is reported as usual."""
        if serial in self._preparing:
            self._preparing.discard(serial)  # it is not given to an interpreter
        else:
            self._worker.calls.kill(serial)

    def give_back(self, serial: int) -> None:
        """Take a call back from its interpreter, if it has not begun."""
        action = self._starts.get(serial)
        is_plain = action is None or not (action.inputs or action.call.outputs)  # else it has a sandbox
        if is_plain and self._worker.calls.take_back(serial):
            self._worker.take_devices_back(serial)
            self._starts.pop(serial, None)
            self._handle(ev.CallReturned(serial))

    async def _start_in_sandbox(self, action: act.StartCall) -> None:
        worker = self._worker
        sandbox = f"{worker.workspace}/t.{action.serial}"
        # As Work Queue does, so that a call can write to where its output is looked for.
        folders = {os.path.dirname(file.sandbox_name) for file in action.call.outputs} - {""}
        make = partial(worker.runs.make_sandbox, sandbox, action.inputs, sorted(folders))
        try:
            await asyncio.get_running_loop().run_in_executor(worker.threads, self._make, make, sandbox)
        except OSError as error:
            self._preparing.discard(action.serial)
            message = f"the worker could not make the call's sandbox: {error.strerror or error}"
            self.end(ev.CallEnded(action.serial, ResultCode.UNKNOWN, 1, message=message))
            return
        if action.serial not in self._preparing:
            self.end(ev.CallEnded(action.serial, ResultCode.CANCELLED))
            return
        self._preparing.discard(action.serial)
        self._watch_disk(action, sandbox)
        extra: dict[str, object] = {"variables": dict(action.call.variables), "sandbox": sandbox}
        if action.path:
            extra["arguments"] = action.path
        self._give(action, extra)

    def _make(self, make: Callable[[], None], sandbox: str) -> None:
        """Make a sandbox in a thread; it is in vain if the session is over by then."""
        try:
            make()
        finally:
            if self._is_closed:
                remove_tree(sandbox)

    def _watch_disk(self, action: act.StartCall, sandbox: str) -> None:
        limit = action.call.disk_mb or 0 if action.call.is_enforced else 0
        stop = partial(self._worker.calls.kill, action.serial)
        self._worker.disks.begin(action.serial, (sandbox,), limit, stop)

    def end(self, event: ev.CallEnded) -> None:
        """Take in that a call is over; its outputs are collected first."""
        action = self._starts.pop(event.serial, None) if self._starts else None
        if action is None:
            self._handle(event)
            return
        if action.path:
            self._worker.threads.submit(remove_tree, action.path)
        if action.inputs or action.call.outputs:
            self._spawn(self._collect(action, event))
        else:
            self._handle(event)

    async def _collect(self, action: act.StartCall, event: ev.CallEnded) -> None:
        worker = self._worker
        sandbox = f"{worker.workspace}/t.{action.serial}"
        loop = asyncio.get_running_loop()
        collect = partial(collect_outputs, sandbox, action.call.outputs, worker.entries)
        used = worker.disks.end(action.serial)
        try:
            used = max(used, await loop.run_in_executor(worker.threads, measure_disk, (sandbox,)))
            collecting = loop.run_in_executor(worker.threads, collect)
            try:
                found = await asyncio.shield(collecting)
            except asyncio.CancelledError:  # the thread goes on
                collecting.add_done_callback(self._drop)
                raise
        except OSError as error:
            found = Collected((), tuple(output.sandbox_name for output in action.call.outputs))
            _log.warning("the outputs of call %d are lost: %s", action.call.task_id, error)
        finally:
            worker.threads.submit(remove_tree, sandbox)
        self._keep([key for _, key in found.stored])
        ended = ev.add_outputs(event, found.stored, found.missing)
        self._handle(ev.add_disk(ended, used, action.call.disk_mb if action.call.is_enforced else None))

    def _drop(self, collecting: asyncio.Future[Collected]) -> None:
        """Remove outputs that were collected in vain."""
        if not collecting.cancelled() and collecting.exception() is None:
            for _, key in collecting.result().stored:
                self._worker.entries.remove(key)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way, and leave no sandbox."""
        self._is_closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for serial, action in self._starts.items():
            if action.inputs or action.call.outputs:
                self._worker.disks.end(serial)
                self._worker.leave_behind(serial, f"{self._worker.workspace}/t.{serial}")

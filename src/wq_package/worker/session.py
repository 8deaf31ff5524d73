"""One connection to one manager (shell module).

Knows the link, the clock, and which room carries out which action of the state. Decides nothing about tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import signal
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from wq_package import __version__
from wq_package.errors import AuthenticationError, QueueError, RemoteProtocolError
from wq_package.link import Link
from wq_package.protocol import messages as wire
from wq_package.protocol.printing import escape_controls
from wq_package.worker import actions as act
from wq_package.worker import events as ev
from wq_package.worker.bodies import BodyReceiver, BodyWatch, keep_function
from wq_package.worker.cache import remove_tree
from wq_package.worker.calls import CallRoom
from wq_package.worker.discovery import find_disk_mb
from wq_package.worker.disk_room import DiskRoom
from wq_package.worker.fetch import Source, Sources
from wq_package.worker.greeting import render_greeting
from wq_package.worker.input_files import InputFiles
from wq_package.worker.outbox import Outbox
from wq_package.worker.staging import Staging
from wq_package.worker.state import WorkerState
from wq_package.worker.state.results import make_lost_call_result, make_lost_result

if TYPE_CHECKING:
    from wq_package.worker.client import Worker

__all__ = ["Session"]

_Message = TypeVar("_Message", bound=wire.Message)
_log = logging.getLogger(__name__)
_TICK_SECONDS = 1.0
_DRAIN_QUIET_SECONDS = 2.0
_PARTING_SECONDS = 5.0


class Session:
    """One connection to one manager."""

    def __init__(self, worker: Worker, link: Link) -> None:
        self._worker = worker
        self._link = link
        self._bodies = worker.workspace / f"bodies.{next(worker.serials)}"
        disk = find_disk_mb(worker.options, worker.workspace)
        self._protocol = worker.protocol.number
        self._state = WorkerState(replace(worker.capacity, disk_mb=disk), worker.serials, self._protocol)
        self._outbox = Outbox(link, self._fail)
        self._body = BodyReceiver(self._bodies)
        self._header: wire.Message | None = None
        self._staging = Staging(worker, link, self._outbox, self.handle)
        self._files = InputFiles(
            worker, link, self._outbox, self._staging.make_room, self._store, self._refuse
        )
        self._keys: set[int] = set()
        self._calls = CallRoom(worker, self.handle, self._keys.update)
        self._sources = Sources(worker, self._outbox, self._keys.add, self._store)
        self._timer: asyncio.TimerHandle | None = None
        self._error: Exception | None = None
        self.was_heard = False
        self._heard = self._busy = time.monotonic()
        self._watch = BodyWatch(self._heard)
        self._disk = DiskRoom(worker.options, worker.workspace, self._heard)
        self._ticker = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)

    # -- receiving -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Greet, then obey until the connection ends.

        Raises:
            AuthenticationError: the manager wants a password that we do not have, or another one.
        """
        self._greet()
        self._link.deliver(self._take)
        try:
            while not self._link.is_closed:
                for event in await self._link.receive():
                    self._receive(event)
                    await self._sources.fetch_waiting()
                await self._staging.wait_for_room()
        except RemoteProtocolError as error:
            _log.warning("the manager broke the protocol: %s", escape_controls(str(error)))
        except AuthenticationError:
            raise
        except (QueueError, OSError) as error:
            _log.warning("disconnected: %s", error)
        if self._error is not None:
            _log.warning("disconnected: %s", escape_controls(str(self._error)))

    def _take(self, events: list[wire.Event]) -> list[wire.Event]:
        """Obey at once, unless something has to be waited for first."""
        if self._staging.is_receiving:
            return events
        self._link.hold()
        try:
            for position, event in enumerate(events):
                if isinstance(event, Source):
                    return events[position:]
                self._receive(event)
        finally:
            self._link.release()
        return []

    def _greet(self) -> None:
        system = os.uname()
        hostname = socket.gethostname().replace(" ", "-") or "unknown"
        identity = wire.Workqueue(
            self._protocol,
            hostname,
            system.sysname,
            platform.machine() or "unknown",
            f"wq-package-{__version__}",
        )
        worker, box = self._worker, self._state.capacity
        features = (*worker.features, wire.DIALECT_FEATURE)
        for message in render_greeting(identity, worker.worker_id, features, box, worker.end_time):
            self._outbox.send(message)

    def _receive(self, event: wire.Event) -> None:
        if isinstance(event, wire.Data):
            self._take_piece(event.body)
        elif isinstance(event, wire.EndOfBody):
            self._end_body()
        elif isinstance(event, wire.CallTask):
            self._header = event
            self._body.begin(event.size)
        else:
            self._receive_other(event)

    def _receive_other(self, event: wire.Event) -> None:
        self.was_heard = self.was_heard or not isinstance(event, wire.ConnectionClosed)
        self._heard = time.monotonic()
        match event:
            case wire.Put() | wire.Dir() | wire.Symlink() | wire.End() | wire.FileOffer():
                self._header = event if isinstance(event, wire.Put) else None
                self._files.receive(event)
            case wire.Url() | wire.Thirdget() | wire.Puturl() | wire.Putcmd():
                self._sources.add(event)
            case wire.FunctionDefinition():
                self._header = event
                self._body.begin(event.size)
            case wire.Layer() | wire.ServePeers() | wire.FetchLayer():
                self._header = event
                self._staging.receive(event)
            case wire.ConnectionClosed():
                _log.info("the manager closed the connection")
                self._link.close()
            case (
                wire.TaskDescription() | wire.Kill() | wire.Unlink() | wire.Get() | wire.SendResults() | wire.Check()
                | wire.Release() | wire.Exit() | wire.Recall() | wire.Hello() | wire.EnvironmentOffer() | wire.ProjectName()
            ):  # fmt: skip
                if isinstance(event, wire.Unlink):
                    self._files.forget(event.name)
                self.handle(self._enforce(event))
            case _:
                raise RemoteProtocolError(f"`{type(event).__name__}` is not understood by this worker")

    def _take_piece(self, piece: bytes) -> None:
        if self._staging.is_receiving:
            self._staging.take_piece(piece)
        elif self._files.is_writing:
            self._files.write(piece)
        else:
            self._body.take(piece)

    def _end_body(self) -> None:
        header, self._header = self._header, None
        match header:
            case wire.CallTask():
                arguments, path = self._body.finish()
                self._busy = time.monotonic()
                self.handle(ev.CallArrived(self._enforce(header), arguments, path))
            case wire.Put():
                self._files.end_file()
            case wire.FunctionDefinition():
                keep_function(header.digest, *self._body.finish(), self._worker.workspace / "functions")
                self.handle(ev.FunctionStored(header.digest))
            case wire.Layer():
                self._staging.end_layer()
            case _:
                raise RemoteProtocolError("a body without a header")

    def _enforce(self, event: _Message) -> _Message:
        """Hold a task to its limits, if this worker does so with all."""
        if self._worker.options.is_enforcing and isinstance(event, wire.TaskDescription | wire.CallTask):
            return replace(event, is_enforced=True)
        return event

    def _store(self, entry: tuple[str, int]) -> None:
        self._keys.add(entry[1])
        self.handle(ev.EntryStored(*entry))

    def _refuse(self, name: str) -> None:
        self.handle(ev.EntryRefused(name))

    # -- deciding and doing --------------------------------------------------------------------------------------------

    def handle(self, event: ev.Event) -> None:
        """Let the state decide, and do what it says."""
        if self._link.is_closed:
            if isinstance(event, ev.CallEnded) and event.path:
                self._worker.threads.submit(remove_tree, event.path)
            return
        for action in self._state.handle(event, time.time()):
            self._do(action)
        if self._state.has_deadlines:
            self._plan_deadline()

    def _do(self, action: act.Action) -> None:
        if isinstance(action, act.SendCallResult):
            self._send_call_result(action)
        elif isinstance(action, act.StartCall):
            self._calls.start(action)
        elif isinstance(action, act.Send):
            self._outbox.send(action.message)
        else:
            self._do_other(action)

    def _do_other(self, action: act.Action) -> None:
        worker = self._worker
        match action:
            case act.StartRun():
                worker.runs.start(action, self._end_run)
            case act.KillRun():
                worker.runs.kill(action.serial)
            case act.KillCall():
                self._calls.kill(action.serial)
            case act.ReturnCall():
                self._calls.give_back(action.serial)
            case act.PushResult():
                self._send_result(action.ended)
            case act.SendResults():
                self._send_results(action)
            case act.Disconnect():
                self._fail(RemoteProtocolError(action.reason))
            case act.Leave():
                worker.is_leaving = worker.is_leaving or action.is_final
                self._link.close()
            case _:
                self._handle_file(action)

    def _handle_file(self, action: act.Action) -> None:
        worker = self._worker
        match action:
            case act.DropCall():
                worker.threads.submit(remove_tree, action.path)
            case act.RemoveEntry():
                self._keys.discard(action.key)
                worker.threads.submit(worker.entries.remove, action.key)
            case act.SendEntry():
                path = None if action.key is None else worker.entries.locate(action.key)
                self._outbox.send_entry(action.name, path, is_recursive=action.is_recursive)
            case _:
                self._staging.carry_out(action)

    def _send_results(self, action: act.SendResults) -> None:
        for ended in action.ended:
            self._send_result(ended)
            self._outbox.send(wire.Info("tasks_running", str(action.running)))
        for piece in action.watched:
            body = self._worker.runs.read_output(piece.serial, piece.name, piece.offset, piece.size)
            self._outbox.send(wire.Update(piece.task_id, piece.name, piece.offset, len(body)), body)
        self._outbox.send(wire.End())

    def _send_result(self, ended: act.EndedTask) -> None:
        size = ended.result.size
        if size:
            self._outbox.send_file(ended.result, ended.output, size, make_lost_result(ended.result))
        else:
            self._outbox.send(ended.result)

    def _send_call_result(self, action: act.SendCallResult) -> None:
        result = action.result
        if action.path:
            self._outbox.send_file(result, action.path, result.size, make_lost_call_result(result))
        else:
            self._outbox.send(result, action.body)

    # -- command tasks -------------------------------------------------------------------------------------------------

    def _end_run(self, event: ev.RunEnded) -> None:
        self._busy = time.monotonic()
        if self._link.is_closed:  # its manager has gone, and so has its sandbox
            self._worker.threads.submit(remove_tree, event.output)
            for _, key in event.outputs:
                self._worker.threads.submit(self._worker.entries.remove, key)
            return
        self._keys.update(key for _, key in event.outputs)
        self.handle(event)

    def end_call(self, event: ev.CallEnded) -> None:
        """Take in that a call is over."""
        self._busy = time.monotonic()
        self._calls.end(event)

    # -- time ----------------------------------------------------------------------------------------------------------

    def _plan_deadline(self) -> None:
        deadline = self._state.next_deadline
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if deadline is not None:
            wait = max(0.0, deadline - time.time())
            self._timer = asyncio.get_running_loop().call_later(wait + 0.001, self.handle, ev.Clock())

    def _tick(self) -> None:
        self._ticker = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)
        worker, state, now = self._worker, self._state, time.monotonic()
        worker.calls.close_idle(worker.options.interpreter_idle)
        self._staging.note_idle()
        self._check_disk(now)
        for serial, name in state.list_watched():
            self.handle(ev.WatchedSize(serial, name, worker.runs.find_output_size(serial, name)))
        if self._is_busy(now):
            self._busy = now
        if worker.end_time and time.time() >= worker.end_time:
            limit = int(worker.options.wall_time or 0)
            self._leave_for_good(wire.Info("wall_time_exhausted", str(limit)), "wall time is over")
        elif state.is_draining:
            if now - max(self._heard, self._busy) > _DRAIN_QUIET_SECONDS:
                self._leave_for_good(wire.Info("vacating", str(int(signal.SIGTERM))), "drained")
        elif now - self._busy > worker.options.timeout:
            idle = int(worker.options.timeout)
            self._leave_for_good(wire.Info("idle-disconnecting", str(idle)), f"no task for {idle} s")

    def _is_busy(self, now: float) -> bool:
        """Whether there is anything to do, or to come: a file or environment may take longer than we would stay idle."""
        is_coming = self._watch.is_coming(self._link.bytes_received, now)
        if self._outbox.is_busy or not self._state.is_idle:
            return True
        is_receiving = (self._header is not None or self._files.is_open) and is_coming
        return not self._state.is_draining and (
            is_receiving or self._staging.is_busy or self._files.is_waiting
        )

    def _check_disk(self, now: float) -> None:
        state = self._state
        found = self._disk.find_change(state.capacity.disk_mb, state.used.disk_mb, now)
        if found is not None:
            self.handle(ev.DiskChanged(found))

    def _leave_for_good(self, last: wire.Message, reason: str) -> None:
        self._worker.is_leaving = True
        self.leave(last, reason)

    def leave(self, last: wire.Message, reason: str) -> None:
        """Say a last word and go."""
        _log.info("leaving: %s", reason)
        if not self._link.is_closed:
            self._outbox.send(last)
            self._link.close()

    # -- ending --------------------------------------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        if self._error is None and not self._link.is_closed:
            self._error = error
        self._link.close()

    async def close(self) -> None:
        """Kill what this manager's tasks run, and forget its files."""
        self._ticker.cancel()
        if self._timer is not None:
            self._timer.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PARTING_SECONDS):
                await self._link.aclose()  # the last word goes out
        self._link.abort()
        self._body.abort()
        await self._outbox.close()
        for serial in self._state.list_runs():
            self._worker.runs.kill(serial)
        for serial in self._state.list_calls():
            self._calls.kill(serial)
        await self._calls.close()
        await self._staging.close()
        await self._files.close()
        for key in self._keys:
            self._worker.threads.submit(self._worker.entries.remove, key)
        for path in (*self._state.list_untold(), str(self._bodies)):
            self._worker.threads.submit(remove_tree, path)

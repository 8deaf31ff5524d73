"""The manager: an asyncio shell round the state machine (shell module).

Accepts workers, feeds what happens to `ManagerState`, and carries out what it decides. Decides nothing itself.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import ssl
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from wq_package.catalog import Advertiser
from wq_package.errors import QueueError, WQPackageError
from wq_package.link import Link, Server, make_certificate, serve
from wq_package.manager.archives import Archives
from wq_package.manager.options import ManagerOptions
from wq_package.manager.passwords import save_password
from wq_package.manager.pump import Pump
from wq_package.manager.session import Session
from wq_package.manager.staging import DigestCache, is_quick, stage_inputs
from wq_package.manager.state import ManagerState, Statistics
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.manager.state_options import make_state_options
from wq_package.manager.status_desk import StatusDesk
from wq_package.manager.transaction_log import Recorder
from wq_package.manager.validation import check_task
from wq_package.protocol import messages as m
from wq_package.task import ResultCode, Task, TaskResult

_logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25
SWEEP_SECONDS = 1.0
PARTING_SECONDS = 2.0
EVENTS_AT_ONCE = 1000
"""How much one worker may say before the others have their turn: some milliseconds of work."""


class Manager:
    """Runs tasks on the workers that connect to it. Belongs to one event loop."""

    def __init__(self, options: ManagerOptions | None = None) -> None:
        self._options = options or ManagerOptions()
        self._state = ManagerState(make_state_options(self._options))
        self._ids = itertools.count(1)
        self._numbers = itertools.count(1)
        self._pump = Pump(self._state, self._finish)
        self._archives = Archives()
        self._digests = DigestCache()
        self._results: deque[TaskResult] = deque()
        self._deliver = self._options.on_result or self._keep_result
        self._has_news = asyncio.Event()
        self._staging: dict[int, tuple[Task, asyncio.Task[None]]] = {}
        self._is_stopped = False
        self._server: Server | None = None
        self._tls_fingerprint = ""
        self._companions: list[asyncio.Task[None]] = []
        self._untold: set[int] = set()
        self._desk = StatusDesk(self._options, self._state, self.statistics)
        self._left = 0
        self._bytes_sent = 0
        self._bytes_received = 0

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen for workers.

        Raises:
            QueueError: the port cannot be had, no certificate be made, or the log not be written.
        """
        options = self._options
        context = await self._prepare_tls()
        self._server = await serve(
            self._attend,
            options.host,
            options.port,
            password=options.password,
            tls=context,
        )
        self._pump.flushes = self._server.flushes
        self._desk.port = self._server.port
        loop = asyncio.get_running_loop()
        if options.transaction_log is not None:
            recorder = self._pump.recorder = await self._open_log(options.transaction_log)
            recorder.begin(time.time(), host=options.host, port=self.port, project=options.name or "")
            self._companions.append(loop.create_task(recorder.run()))
        self._companions.append(loop.create_task(self._tell_time()))
        if options.name and options.catalogs:
            advertiser = Advertiser(options.catalogs, self._desk.make_record)
            self._companions.append(loop.create_task(advertiser.run()))
        _logger.info("listening on %s:%d", options.host, self.port)

    async def _open_log(self, path: str | Path) -> Recorder:
        try:
            return Recorder(path)
        except QueueError:
            server, self._server = self._server, None
            if server is not None:
                await server.aclose()
            raise

    async def _prepare_tls(self) -> ssl.SSLContext | None:
        if isinstance(self._options.tls, ssl.SSLContext):
            return self._options.tls
        if not self._options.speaks_tls:
            return None
        certificate = await asyncio.to_thread(make_certificate)
        self._tls_fingerprint = certificate.fingerprint
        return certificate.context

    @property
    def tls_fingerprint(self) -> str:
        """Hex sha256 of the certificate that it made, for the workers; empty without TLS or with a given certificate."""
        return self._tls_fingerprint

    @property
    def port(self) -> int:
        """The port that workers connect to."""
        if self._server is None:
            raise QueueError("the manager has not been started", hint="call `start` first")
        return self._server.port

    @property
    def password(self) -> bytes | None:
        """What workers have to prove that they know; `None` if nothing."""
        return self._options.password

    def save_password(self, path: str | Path) -> None:
        """Write the password to a file that only its owner can read, for `wq-package worker --password-file`.

        Raises:
            QueueError: the manager has none, or the file cannot be written.
        """
        save_password(self.password, Path(path))

    async def stop(self, *, release_workers: bool = True) -> None:
        """End every task as cancelled, part from the workers and close everything. Safe to call twice."""
        if self._is_stopped:
            return
        self._is_stopped = True
        for task_id in list(self._staging):
            self.cancel(task_id)
        self._pump.handle([])
        self._pump.handle([e.Cancelled(task_id) for task_id in self._state.tasks])
        try:
            if self._server is not None:
                self._server.close()
            if release_workers:
                await self._part(m.Release())
        finally:
            for companion in self._companions:
                companion.cancel()
            await asyncio.gather(*self._companions, return_exceptions=True)
            if self._server is not None:
                await self._server.aclose()
            self._archives.close()
            if self._pump.recorder is not None:
                await asyncio.to_thread(self._pump.recorder.close, time.time())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def shut_down_workers(self, count: int = 0) -> None:
        """Let this many workers end themselves, idle ones first; 0 means all. What they run goes back to the queue."""
        idle_first = sorted(self._state.placement.workers.values(), key=lambda worker: len(worker.tasks))
        for worker in idle_first[: count or None]:
            self._pump.sessions[worker.number].carry_out(a.Send(worker.number, m.Exit()))

    async def _part(self, message: m.Release | m.Exit) -> None:
        sessions = [self._pump.sessions[number] for number in self._state.placement.workers]
        for session in sessions:
            session.carry_out(a.Send(session.number, message))
        try:
            async with asyncio.timeout(PARTING_SECONDS):
                await asyncio.gather(*(session.link.drain() for session in sessions))
        except TimeoutError:
            _logger.info("some workers did not take their leave")

    # -- tasks --------------------------------------------------------------------------------------------------------

    def submit(self, task: Task) -> int:
        """Queue a task and return its id.

        Raises:
            QueueError: it can never run, or the manager has stopped.
        """
        if self._is_stopped:
            raise QueueError("the manager has stopped", hint="submit before `stop`")
        check_task(task)
        task_id = next(self._ids)
        self.submit_checked(task, task_id)
        self._pump.plan()
        return task_id

    def submit_checked(self, task: Task, task_id: int) -> None:
        """Queue a task that has passed `check_task`, under an id that was reserved; placed with the next `pump`."""
        self._left += 1
        if not task.inputs:
            self._pump.add(e.Submitted(task_id, task))
        elif is_quick(task.inputs):
            self._pump.add(e.Submitted(task_id, task, stage_inputs(task.inputs, self._digests)))
        else:
            work = asyncio.get_running_loop().create_task(self._stage(task_id, task))
            self._staging[task_id] = task, work

    def pump(self) -> None:
        """Place what was submitted."""
        self._pump.run()

    def call_after_batches(self, callback: Callable[[], None]) -> None:
        """Have this called whenever everything is done that followed from what happened at once."""
        self._pump.after_batch = callback

    def reserve_id(self) -> int:
        """Take a task id for a later `submit_checked`; safe to call from any thread."""
        return next(self._ids)

    async def _stage(self, task_id: int, task: Task) -> None:
        try:
            inputs = await asyncio.to_thread(stage_inputs, task.inputs, self._digests)
        except Exception as error:
            if not isinstance(error, WQPackageError):
                _logger.exception("the inputs of task %d cannot be staged", task_id)
            self._pump.post_one(e.Refused(task_id, task, ResultCode.INPUT_MISSING, str(error)))
        else:
            self._pump.post_one(e.Submitted(task_id, task, inputs))
        del self._staging[task_id]

    def cancel(self, task_id: int) -> None:
        """End a task wherever it is, as cancelled; nothing happens if it has ended or never was."""
        task, work = self._staging.pop(task_id, (None, None))
        if task is None or work is None:
            self._pump.post_one(e.Cancelled(task_id))
            return
        work.cancel()
        self._pump.post_one(e.Refused(task_id, task, ResultCode.CANCELLED, "the task was cancelled"))

    async def wait(self, timeout: float | None = None) -> TaskResult | None:  # noqa: ASYNC109 - as queues do
        """Wait for the next result; `None` when the time is over or no task is left."""
        if self._options.on_result is not None:
            raise QueueError(
                "results go to `on_result`", hint="give the manager no `on_result`, or do not wait"
            )
        try:
            async with asyncio.timeout(timeout):
                while not self._results:
                    if not self._left:
                        return None
                    self._has_news.clear()
                    await self._has_news.wait()
        except TimeoutError:
            return None
        return self._results.popleft()

    def statistics(self) -> Statistics:
        """Count everything."""
        sent = self._bytes_sent + sum(session.bytes_sent for session in self._pump.sessions.values())
        received = self._bytes_received + sum(
            session.inbox.bytes_received for session in self._pump.sessions.values()
        )
        return self._state.summarise(bytes_sent=sent, bytes_received=received)

    def count_hungry(self) -> int:
        """Count how many more tasks would be of use now."""
        return self._state.count_hungry()

    def count_tasks_by_feature(self) -> dict[str, int]:
        """Count the tasks at the workers that announced each feature; 0 for those that are idle."""
        counts: dict[str, int] = {}
        for worker in self._state.workers.values():
            for feature in worker.features:
                counts[feature] = counts.get(feature, 0) + len(worker.tasks)
        return counts

    def _keep_result(self, result: TaskResult) -> None:
        self._results.append(result)
        self._has_news.set()

    def _finish(self, result: TaskResult) -> None:
        self._left -= 1
        self._deliver(result)

    async def _tell_time(self) -> None:
        next_sweep = 0.0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                self._pump.tick()
                if time.monotonic() >= next_sweep:
                    next_sweep = time.monotonic() + SWEEP_SECONDS
                    self._pump.sweep()
                    for session in list(self._pump.sessions.values()):
                        session.check_time()
            except Exception:
                _logger.exception("the manager's clock stumbled")

    # -- connections --------------------------------------------------------------------------------------------------

    async def _attend(self, link: Link) -> None:
        number = next(self._numbers)
        session = Session(number, link, self._archives, self._pump.post, self._options.min_transfer_timeout)
        self._pump.sessions[number] = session
        if self._options.on_worker is not None:
            self._untold.add(number)
        reason = "it closed the connection"
        self._pump.handle([e.WorkerConnected(number, link.peer_address)])
        try:
            await self._converse(session)
        except WQPackageError as error:
            reason = str(error)
            raise
        finally:
            del self._pump.sessions[number]
            self._untold.discard(number)
            self._bytes_sent += session.bytes_sent
            self._bytes_received += session.inbox.bytes_received
            self._pump.handle([e.WorkerGone(number, reason)])
            session.discard()

    async def _converse(self, session: Session) -> None:
        session.link.deliver(partial(self._take, session))
        while True:
            events = await session.link.receive()
            is_closed = type(events[-1]) is m.ConnectionClosed
            while events:
                events = self._take(session, events)
                await asyncio.sleep(0)  # whoever says very much at once waits for the others
            if is_closed:
                return

    def _take(self, session: Session, events: list[m.Event]) -> list[m.Event]:
        """Take in what a worker says, and give back what is too much for once."""
        told = session.inbox.translate(events[:EVENTS_AT_ONCE])
        if session.inbox.query is not None:
            session.link.send(self._desk.answer(session.inbox.query))
            session.link.close()
            session.inbox.query = None
            return []
        # In the middle of a body, a worker can say nothing else.
        self._pump.handle(told or [e.Received(session.number, _ALIVE)])
        if self._untold:
            self._tell_of_worker(session.number)
        return events[EVENTS_AT_ONCE:]

    def _tell_of_worker(self, number: int) -> None:
        """Tell of a worker, once it has said everything about itself."""
        worker, tell = self._state.workers.get(number), self._options.on_worker
        if number not in self._untold or worker is None or not worker.is_ready or tell is None:
            return
        self._untold.discard(number)
        try:
            tell(worker.label, frozenset(worker.features))
        except Exception:
            _logger.exception("what is called for each worker failed")


_ALIVE = m.Alive()

"""A manager for programs that have no event loop: runs it in a thread of its own (shell module).

`submit` costs the caller a few microseconds: the task is put on a deque, and the manager's loop is woken once for all
that are there. Results are delivered in the manager's thread.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, Self, TypeVar

from wq_package.errors import QueueError
from wq_package.manager.options import ManagerOptions
from wq_package.manager.server import Manager
from wq_package.manager.state import Statistics
from wq_package.manager.validation import check_task
from wq_package.task import Task, TaskResult

_logger = logging.getLogger(__name__)

STOP_SECONDS = 10.0
MANY_TASKS = 64
"""With more under way, workers have something to do, and new tasks need not wake the loop one by one."""
NAP_SECONDS = 0.001

_T = TypeVar("_T")
OnDone = Callable[[TaskResult], None]


class BlockingManager:
    """The same as `Manager`, for any thread.

    A task's `on_done` is called in the manager's thread and must be quick. Results of tasks without one are waited for
    with `wait`.
    """

    def __init__(self, options: ManagerOptions | None = None) -> None:
        options = options or ManagerOptions()
        if options.on_result is not None:
            raise QueueError("a blocking manager has no `on_result`", hint="give `on_done` with each task")
        self._manager = Manager(dataclasses.replace(options, on_result=self._deliver))
        self._manager.call_after_batches(self._notify)
        self._inbox: deque[tuple[int, Task] | int] = deque()
        self._is_woken = False
        self._has_news = False
        self._callbacks: dict[int, OnDone] = {}
        self._results: deque[TaskResult] = deque()
        self._unclaimed = 0
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._gate = threading.Lock()
        """Held by whoever hands something to the manager's thread, so that nothing is once it has been told to stop."""
        self._is_stopping = False

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread and listen.

        Raises:
            QueueError: the port cannot be had.
        """
        if self._thread is not None:
            raise QueueError("the manager was started before", hint="make a new one")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="wq-package-manager", daemon=True)
        self._thread.start()
        try:
            self._call(self._manager.start())
        except BaseException:
            with self._gate:
                self._is_stopping = True
            self._end_thread()
            raise

    @property
    def port(self) -> int:
        """The port that workers connect to."""
        return self._manager.port

    @property
    def tls_fingerprint(self) -> str:
        """Hex sha256 of the certificate that it made, for the workers; empty without TLS or with a given certificate."""
        return self._manager.tls_fingerprint

    @property
    def password(self) -> bytes | None:
        """What workers have to prove that they know; `None` if nothing."""
        return self._manager.password

    def save_password(self, path: str | Path) -> None:
        """Write the password to a file that only its owner can read, for `wq-package worker --password-file`.

        Raises:
            QueueError: the manager has none, or the file cannot be written.
        """
        self._manager.save_password(path)

    def stop(self, *, release_workers: bool = True) -> None:
        """End every task as cancelled, part from the workers and end the thread. Safe to call twice.

        Raises:
            QueueError: it is called from an `on_done`.
        """
        if self._is_own_thread():
            raise QueueError("an `on_done` cannot stop the manager", hint="call `stop` from another thread")
        with self._gate:
            if self._thread is None or self._is_stopping:
                return
            self._is_stopping = True
        try:
            self._call(self._stop(release_workers=release_workers))
        finally:
            self._end_thread()
            with self._changed:
                self._changed.notify_all()

    async def _stop(self, *, release_workers: bool) -> None:
        self._take_inbox()
        await self._manager.stop(release_workers=release_workers)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    def _end_thread(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS)

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # -- tasks --------------------------------------------------------------------------------------------------------

    def submit(self, task: Task, on_done: OnDone | None = None) -> int:
        """Queue a task and return its id.

        Raises:
            QueueError: it can never run, or the manager does not run.
        """
        check_task(task)
        with self._gate:
            task_id = self._enlist(task, on_done)
            self._wake()
        return task_id

    def submit_many(self, tasks: Iterable[Task], on_done: OnDone | None = None) -> list[int]:
        """Queue several tasks at once; all of them or, if one can never run, none.

        Raises:
            QueueError: one can never run, or the manager does not run.
        """
        tasks = list(tasks)
        for task in tasks:
            check_task(task)
        with self._gate:
            task_ids = [self._enlist(task, on_done) for task in tasks]
            self._wake()
        return task_ids

    def _enlist(self, task: Task, on_done: OnDone | None) -> int:
        if self._thread is None or self._is_stopping:
            raise QueueError("the manager does not run", hint="submit between `start` and `stop`")
        task_id = self._manager.reserve_id()
        if on_done is not None:
            self._callbacks[task_id] = on_done
        else:
            with self._changed:
                self._unclaimed += 1
        self._inbox.append((task_id, task))
        return task_id

    def cancel(self, task_id: int) -> None:
        """End a task wherever it is, as cancelled; nothing happens if it has ended or never was."""
        with self._gate:
            if self._thread is not None and not self._is_stopping:
                self._inbox.append(task_id)
                self._wake()

    def wait(self, timeout: float | None = None) -> TaskResult | None:
        """Wait for the next result of a task without `on_done`; `None` when the time is over or none is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._results or not self._unclaimed or self._has_ended(), timeout)
            if not self._results:
                return None
            self._unclaimed -= 1
            return self._results.popleft()

    def _has_ended(self) -> bool:
        return self._thread is None or not self._thread.is_alive()

    def statistics(self) -> Statistics:
        """Count everything; a snapshot that may be a moment old."""
        return self._ask(self._manager.statistics)

    def count_hungry(self) -> int:
        """Count how many more tasks would be of use now."""
        return self._ask(self._manager.count_hungry)

    def count_tasks_by_feature(self) -> dict[str, int]:
        """Count the tasks at the workers that announced each feature; 0 for those that are idle."""
        return self._ask(self._manager.count_tasks_by_feature)

    def shut_down_workers(self, count: int = 0) -> None:
        """Let this many workers end themselves, idle ones first; 0 means all."""
        self._ask(lambda: self._manager.shut_down_workers(count))

    def _ask(self, question: Callable[[], _T]) -> _T:
        """Ask in the manager's thread, or here when there is none any more."""

        async def ask() -> _T:
            return question()

        if self._is_own_thread():
            return question()
        with self._gate:
            asked = None
            if self._loop is not None and not self._is_stopping:
                asked = asyncio.run_coroutine_threadsafe(ask(), self._loop)
        if asked is not None:
            return asked.result()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
        return question()

    def _is_own_thread(self) -> bool:
        return threading.current_thread() is self._thread

    # -- in the manager's thread ------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Let the loop look at the inbox, once for everything that is put there before it does."""
        if not self._is_woken and self._loop is not None:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._take_inbox)

    def _take_inbox(self) -> None:
        inbox, manager = self._inbox, self._manager
        if inbox and len(self._callbacks) > MANY_TASKS and not self._is_stopping:
            assert self._loop is not None
            self._loop.call_later(NAP_SECONDS, self._take_inbox)
        else:
            self._is_woken = False  # before looking: what is put there from now on wakes us again
        while inbox:
            item = inbox.popleft()
            if isinstance(item, int):
                manager.cancel(item)
            else:
                manager.submit_checked(item[1], item[0])
        manager.pump()

    def _deliver(self, result: TaskResult) -> None:
        on_done = self._callbacks.pop(result.task_id, None)
        if on_done is None:
            self._results.append(result)
            self._has_news = True  # waking a thread costs more than a task: once for all of this batch
            return
        try:
            on_done(result)
        except Exception:
            _logger.exception("the callback of task %d failed", result.task_id)

    def _notify(self) -> None:
        if self._has_news:
            self._has_news = False
            with self._changed:
                self._changed.notify_all()

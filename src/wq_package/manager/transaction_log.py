"""The file of a transaction log (shell module).

Records are gathered where tasks are handed out, and written elsewhere, many at once. A disk that is full costs records, which
are counted in the log as soon as it can be written again, and never a task.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from wq_package.errors import QueueError
from wq_package.manager.state import ManagerState
from wq_package.manager.state.actions import Action
from wq_package.manager.state.events import Event
from wq_package.manager.transactions import VERSION, Observer, Record

__all__ = ["Recorder", "TransactionLog"]

_logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.5
MOST_PENDING = 200_000
"""How many records wait for the disk at most."""


class TransactionLog:
    """A file that records are added to."""

    def __init__(self, path: str | Path) -> None:
        """Open the file; what is in it stays.

        Raises:
            QueueError: it cannot be written.
        """
        self._path = Path(path)
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise QueueError(
                f"transaction log `{path}` cannot be written: {error.strerror}",
                hint="give a path in a folder that exists and that you may write to",
            ) from error
        self._pending: deque[Record] = deque()
        self._lock = threading.Lock()
        # Each is written by one thread only: the one that gathers, and the one that writes.
        self._refused = 0
        self._unwritten = 0
        self._told = 0
        self._is_torn = False
        self._has_warned = False

    def add(self, records: Iterable[Record]) -> None:
        """Gather records; costs next to nothing."""
        if len(self._pending) < MOST_PENDING:
            self._pending.extend(records)
        else:
            self._refused += len(list(records))

    def flush(self) -> None:
        """Write what was gathered. Never fails: what cannot be written is counted."""
        with self._lock:
            pending = [self._pending.popleft() for _ in range(len(self._pending))]
            if pending:
                self._write(pending)

    def _write(self, records: list[Record]) -> None:
        for record in records:
            if record["event"] == "environment-offered":
                record["archive_bytes"] = _find_size(record["archive"])
        text = "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records)
        lost_in_all = self._refused + self._unwritten
        if lost_in_all > self._told:
            count = lost_in_all - self._told
            lost = {"event": "records-lost", "time": records[0]["time"], "count": count}
            text = json.dumps(lost, separators=(",", ":")) + "\n" + text
        if self._is_torn:
            text = "\n" + text
        if self._write_all(text.encode()):
            self._told = lost_in_all
            self._has_warned = False
            return
        self._unwritten += len(records)

    def _write_all(self, data: bytes) -> bool:
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            self._is_torn = self._is_torn or written > 0
            if not self._has_warned:
                _logger.warning("transaction log `%s` cannot be written: %s", self._path, error.strerror)
                self._has_warned = True
            return False
        self._is_torn = False
        return True

    def close(self) -> None:
        """Write what is left and close the file."""
        self.flush()
        os.close(self._file)


class Recorder:
    """Keeps the transaction log of a manager while it runs."""

    def __init__(self, path: str | Path) -> None:
        """Open the log.

        Raises:
            QueueError: it cannot be written.
        """
        self._log = TransactionLog(path)
        self._observer = Observer()

    def begin(self, now: float, **facts: object) -> None:
        """Record that a manager has started."""
        started = {"event": "log-started", "time": round(now, 6), "version": VERSION, **facts}
        self._log.add([started])

    def record(
        self, now: float, events: Iterable[Event], actions: Iterable[Action], state: ManagerState
    ) -> None:
        """Record what happened, and what was decided because of it."""
        records = self._observer.observe(now, events, actions, state)
        if records:
            self._log.add(records)

    async def run(self) -> None:
        """Write what was recorded, now and then, for ever."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await asyncio.to_thread(self._log.flush)

    def close(self, now: float) -> None:
        """Write the rest, and end the log."""
        self._log.add([{"event": "log-ended", "time": round(now, 6)}])
        self._log.close()


def _find_size(path: str) -> int | None:
    try:
        return Path(path).stat().st_size
    except OSError:
        return None

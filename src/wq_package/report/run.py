"""A run as its transaction log tells it: workers, tries, labels, transfers (logic module).

Knows the log's schema and nothing of how it is drawn. Lines that were torn off, events of later versions and fields that are
missing are passed over: a log of a run that crashed is read as far as it goes.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from wq_package.errors import QueueError

_MOST = 1e15
_LATEST = 32_503_680_000.0
"""A time after the year 2999 is none."""
__all__ = ["EnvironmentUse", "LabelChange", "Run", "Try", "TryEnd", "WorkerSpan", "read_run"]

VERSION = 1
Record = dict[str, Any]


class TryEnd(enum.Enum):
    """How one attempt to run a task ended."""

    DONE = "done"
    FAILED = "failed"
    EXHAUSTED = "needed more than it was given"
    RETURNED = "went back to the queue"
    RUNNING = "was still running"


@dataclass(slots=True)
class Try:
    """One attempt to run a task on a worker. Times in epoch seconds."""

    task: int
    category: str
    worker: int
    sent: float
    box_memory: float
    box_cores: float
    ended: float = 0.0
    seconds: float | None = None
    used_memory: float | None = None
    used_cores: float | None = None
    used_disk: float | None = None
    end: TryEnd = TryEnd.RUNNING


@dataclass(slots=True)
class WorkerSpan:
    """A worker, from its greeting to its leave."""

    number: int
    name: str
    joined: float
    left: float | None = None
    cores: float = 0.0
    memory_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class LabelChange:
    """From when on a category's tasks were tried with which steps (MB of memory)."""

    time: float
    category: str
    mode: str
    steps: tuple[tuple[float, float], ...]
    """Cores and MB of memory."""


@dataclass(slots=True)
class EnvironmentUse:
    """An environment, and how workers came by it."""

    digest: str
    archive_bytes: int | None = None
    workers: int = 0
    failures: int = 0
    seconds: list[float] = field(default_factory=list)
    offered: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True)
class Run:
    """Everything that the log of one manager tells."""

    project: str = ""
    started: float = 0.0
    ended: float = 0.0
    submitted: int = 0
    workers: dict[int, WorkerSpan] = field(default_factory=dict)
    tries: list[Try] = field(default_factory=list)
    labels: list[LabelChange] = field(default_factory=list)
    environments: dict[str, EnvironmentUse] = field(default_factory=dict)
    files: int = 0
    files_sent: int = 0
    bytes_sent: int = 0
    layer_bytes: int = 0
    outputs: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    """By code: how many tasks ended with it."""
    done: int = 0
    """How many of them ended well: a program that ran and did not leave with exit code 0 did not."""
    records_lost: int = 0
    lines_torn: int = 0

    @property
    def seconds(self) -> float:
        """How long the run took."""
        return max(self.ended - self.started, 0.0)


def read_run(lines: Iterable[str]) -> Run:
    """Read the last run that a log has in it.

    Raises:
        QueueError: it is no transaction log, or one of a newer version.
    """
    reader = _Reader()
    for line in lines:
        reader.read(line)
    return reader.finish()


class _Reader:
    def __init__(self) -> None:
        self._run: Run | None = None
        self._begin(None)
        self._readers: dict[str, Callable[[Run, Record, float], None]] = {
            "task-submitted": self._submitted,
            "task-sent": self._sent,
            "task-returned": self._returned,
            "task-ended": self._ended,
            "worker-joined": self._joined,
            "worker-left": self._left,
            "label-changed": self._label,
            "environment-offered": self._offered,
            "environment-ready": self._ready,
            "environment-failed": self._failed,
            "layers-sent": self._layers,
            "output-fetched": self._output,
            "records-lost": self._lost,
        }

    def _begin(self, run: Run | None) -> None:
        self._run = run
        self._torn = 0
        self._categories: dict[int, str] = {}
        self._open: dict[int, Try] = {}

    def read(self, line: str) -> None:
        """Take in one line."""
        try:
            record = json.loads(line)
            event, now = record["event"], float(record["time"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            self._torn += bool(line.strip())
            return
        if not 0 <= now <= _LATEST:  # which NaN is not, either
            self._torn += 1
            return
        if event == "log-started":
            self._start(record, now)
        run = self._run
        if run is None:
            self._torn += 1
            return
        run.ended = max(run.ended, now)
        reader = self._readers.get(str(event))
        if reader is None:
            return
        try:
            reader(run, record, now)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
            self._torn += 1

    def _start(self, record: Record, now: float) -> None:
        version = record.get("version")
        if not isinstance(version, int) or version > VERSION:
            raise QueueError(
                f"the transaction log is of version {version!r}, and this wq-package reads up to {VERSION}",
                hint="upgrade wq-package",
            )
        self._begin(Run(str(record.get("project") or ""), now, now))

    def finish(self) -> Run:
        """Give what was read."""
        run = self._run
        if run is None:
            raise QueueError(
                "the file is no transaction log of wq-package",
                hint="give the file that the manager's option `transaction_log` has named",
            )
        for attempt in self._open.values():
            attempt.ended = run.ended
        run.lines_torn = self._torn
        return run

    # -- tasks ----------------------------------------------------------------------------------------------------------

    def _submitted(self, run: Run, record: Record, _now: float) -> None:
        self._categories[record["task"]] = str(record.get("category", "default"))
        run.submitted += 1

    def _sent(self, run: Run, record: Record, now: float) -> None:
        task, box = int(record["task"]), record.get("box") or {}
        self._close(task, now, TryEnd.RETURNED)
        attempt = Try(
            task,
            self._categories.get(task, "default"),
            int(record["worker"]),
            now,
            _number(box.get("memory_mb")),
            _number(box.get("cores")),
        )
        self._open[task] = attempt
        run.tries.append(attempt)
        run.files += int(_number(record.get("files", 0)))
        run.files_sent += int(_number(record.get("files_sent", 0)))
        run.bytes_sent += int(_number(record.get("bytes_sent", 0)))

    def _close(self, task: int, now: float, end: TryEnd) -> Try | None:
        attempt = self._open.pop(task, None)
        if attempt is not None:
            attempt.ended, attempt.end = now, end
        return attempt

    def _returned(self, _run: Run, record: Record, now: float) -> None:
        end = TryEnd.EXHAUSTED if record.get("limit") else TryEnd.RETURNED
        _take_use(self._close(int(record["task"]), now, end), record)

    def _ended(self, run: Run, record: Record, now: float) -> None:
        code = str(record["code"])
        run.ends[code] = run.ends.get(code, 0) + 1
        is_done = code == "success" and not record.get("exit_code")
        run.done += is_done
        attempt = self._close(int(record["task"]), now, TryEnd.DONE if is_done else TryEnd.FAILED)
        _take_use(attempt, record)
        self._categories.pop(record["task"], None)

    # -- workers ----------------------------------------------------------------------------------------------------------

    def _joined(self, run: Run, record: Record, now: float) -> None:
        total = record.get("total") or {}
        number = int(record["worker"])
        run.workers[number] = WorkerSpan(
            number,
            str(record.get("name", number)),
            now,
            None,
            _number(total.get("cores")),
            _number(total.get("memory_mb")),
        )

    def _left(self, run: Run, record: Record, now: float) -> None:
        number = int(record["worker"])
        for task in [task for task, attempt in self._open.items() if attempt.worker == number]:
            self._close(task, now, TryEnd.RETURNED)
        run.workers[number].left = now

    # -- labels, environments, transfers ------------------------------------------------------------------------------------

    def _label(self, run: Run, record: Record, now: float) -> None:
        steps = tuple(
            (_number(step.get("cores")), _number(step.get("memory_mb"))) for step in record["steps"]
        )
        run.labels.append(LabelChange(now, str(record["category"]), str(record.get("mode", "")), steps))

    def _find_environment(self, run: Run, record: Record) -> EnvironmentUse:
        digest = str(record["environment"])
        return run.environments.setdefault(digest, EnvironmentUse(digest))

    def _offered(self, run: Run, record: Record, now: float) -> None:
        environment = self._find_environment(run, record)
        size = record.get("archive_bytes")
        environment.archive_bytes = int(_number(size)) if size is not None else environment.archive_bytes
        environment.workers += 1
        environment.offered[int(record["worker"])] = now

    def _ready(self, run: Run, record: Record, now: float) -> None:
        environment = self._find_environment(run, record)
        offered = environment.offered.pop(int(record["worker"]), None)
        if offered is not None:
            environment.seconds.append(now - offered)

    def _failed(self, run: Run, record: Record, _now: float) -> None:
        self._find_environment(run, record).failures += 1

    def _layers(self, run: Run, record: Record, _now: float) -> None:
        run.layer_bytes += int(_number(record.get("bytes", 0)))

    def _output(self, run: Run, _record: Record, _now: float) -> None:
        run.outputs += 1

    def _lost(self, run: Run, record: Record, _now: float) -> None:
        run.records_lost += int(_number(record["count"]))


def _take_use(attempt: Try | None, record: Record) -> None:
    if attempt is None:
        return
    used = record.get("used") or {}
    attempt.seconds, attempt.used_memory, attempt.used_cores, attempt.used_disk = (
        _number(used[kind]) if kind in used else None
        for kind in ("wall_time", "memory_mb", "cores", "disk_mb")
    )


def _number(value: object) -> float:
    # What no machine reaches is a mistake or an attack, and would end the arithmetic of the whole report.
    return float(value) if isinstance(value, int | float) and 0 <= value <= _MOST else 0.0

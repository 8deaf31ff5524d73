from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from manager_peers import FUNCTION, greet
from wq_package.errors import QueueError
from wq_package.manager.state import ManagerState, StateOptions
from wq_package.manager.state import events as e
from wq_package.manager.transaction_log import TransactionLog
from wq_package.manager.transactions import Observer
from wq_package.protocol import messages as m
from wq_package.report import read_run
from wq_package.report.run import TryEnd
from wq_package.resources import CategoryOptions, LabelMode
from wq_package.task import Call, Environment, Resources, ResultCode, Task


class Watched:
    """A state machine that is looked on."""

    def __init__(self, **options: Any) -> None:
        self.state = ManagerState(StateOptions(**options))
        self.observer = Observer()
        self.records: list[dict[str, Any]] = []
        self.now = 0.0

    def tell(self, *events: e.Event) -> list[str]:
        """Let something happen; give the names of the records."""
        self.now += 1
        actions = self.state.handle(e.Tick(self.now, self.now), *events)
        made = self.observer.observe(self.now, events, actions, self.state)
        self.records += made
        return [record["event"] for record in made]

    def find(self, event: str) -> dict[str, Any]:
        return next(record for record in self.records if record["event"] == event)


def make_task(**more: Any) -> Task:
    return Task(call=Call(FUNCTION, b"arguments"), category="c", **more)


def answer(
    task_id: int, memory: float = 10.0, code: ResultCode = ResultCode.SUCCESS, limit: str = ""
) -> e.Received:
    return e.Received(
        1, m.CallResult(task_id, code.value, 0, 0, 0, 2_000_000, 0, 1000, memory, 1.0, limit=limit)
    )


def test_observe__life_of_a_task__is_told_in_order() -> None:
    watched = Watched()

    told = [
        *watched.tell(*greet(1)),
        *watched.tell(e.Submitted(7, make_task(resources=Resources(1, 100, 10), tag="t"))),
        *watched.tell(answer(7)),
        *watched.tell(e.WorkerGone(1, "it closed the connection")),
    ]

    assert told == ["worker-joined", "task-submitted", "task-sent", "task-ended", "worker-left"]
    assert watched.find("worker-joined")["total"] == {
        "cores": 2.0,
        "memory_mb": 1000,
        "disk_mb": 1000,
        "gpus": 0,
    }
    assert watched.find("task-submitted")["declared"]["memory_mb"] == 100
    sent = watched.find("task-sent")
    assert (sent["task"], sent["try"], sent["box"]["memory_mb"], sent["bytes_sent"]) == (7, 1, 100, 9)
    ended = watched.find("task-ended")
    assert (ended["code"], ended["used"]["wall_time"], ended["used"]["memory_mb"]) == ("success", 2.0, 10.0)
    assert [record["time"] for record in watched.records] == [1.0, 2.0, 2.0, 3.0, 4.0]


def test_observe__exhausted_try__is_told_apart_from_the_end() -> None:
    watched = Watched(default_category=CategoryOptions(LabelMode.MAX, guess=Resources(1, 50, 10)))
    watched.tell(*greet(1))
    watched.tell(e.Submitted(7, make_task()))

    told = watched.tell(answer(7, 51, ResultCode.RESOURCE_EXHAUSTION, "memory"))

    assert told == ["task-returned", "task-sent"]
    assert watched.find("task-returned")["limit"] == "memory"
    assert watched.records[-1]["try"] == 2


def test_observe__label_changes__tells_the_steps() -> None:
    watched = Watched(default_category=CategoryOptions(LabelMode.MIN_WASTE, window=1))
    watched.tell(*greet(1))
    watched.tell(e.Submitted(1, make_task()))

    assert "label-changed" in watched.tell(answer(1, 33))
    label = watched.find("label-changed")
    assert (label["category"], label["mode"], label["measured"]) == ("c", "min-waste", 1)
    assert label["steps"][0]["memory_mb"] == 33


def test_observe__environment__is_followed() -> None:
    watched = Watched()
    watched.tell(*greet(1))
    environment = Environment("e" * 64, "e.tar.zst")

    assert "environment-offered" in watched.tell(e.Submitted(1, make_task(environment=environment)))
    assert watched.tell(e.TransferEnded(1, 500)) == ["layers-sent"]
    assert "environment-ready" in watched.tell(e.Received(1, m.EnvironmentReady("e" * 64)))
    assert watched.find("layers-sent")["bytes"] == 500


def test_observe__records__are_what_the_report_reads() -> None:
    watched = Watched(default_category=CategoryOptions(LabelMode.MAX, guess=Resources(1, 50, 10)))
    watched.tell(*greet(1))
    watched.tell(e.Submitted(7, make_task()))
    watched.tell(answer(7, 51, ResultCode.RESOURCE_EXHAUSTION, "memory"))
    watched.tell(answer(7, 60))
    start = {"event": "log-started", "time": 0.0, "version": 1}

    run = read_run(json.dumps(record) for record in (start, *watched.records))

    assert run.lines_torn == 0
    assert [(each.end, each.used_memory) for each in run.tries] == [
        (TryEnd.EXHAUSTED, 51.0),
        (TryEnd.DONE, 60.0),
    ]


def test_log__records__are_added_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_text("before\n")
    log = TransactionLog(path)
    log.add([{"event": "a", "time": 1.0}, {"event": "b", "time": 2.0}])
    log.close()

    before, *lines = path.read_text().splitlines()

    assert before == "before"
    assert [json.loads(line)["event"] for line in lines] == ["a", "b"]


def test_log__offered_environment__has_its_size(tmp_path: Path) -> None:
    archive = tmp_path / "e.tar"
    archive.write_bytes(b"x" * 123)
    log = TransactionLog(tmp_path / "run.log")
    log.add(
        {"event": "environment-offered", "time": 1.0, "archive": str(tmp_path / name)}
        for name in ("e.tar", "no")
    )
    log.close()

    sizes = [json.loads(line)["archive_bytes"] for line in (tmp_path / "run.log").read_text().splitlines()]

    assert sizes == [123, None]


def test_log__disk_is_full__loses_records_and_says_how_many(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    log = TransactionLog(path)
    real, log._file = log._file, os.open("/dev/full", os.O_WRONLY)
    log.add([{"event": "a", "time": 1.0}] * 3)
    log.flush()
    log.add([{"event": "b", "time": 2.0}] * 2)
    log.flush()
    os.close(log._file)
    log._file = real  # there is room again
    log.add([{"event": "c", "time": 3.0}])
    log.close()

    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"event": "records-lost", "time": 3.0, "count": 5},
        {"event": "c", "time": 3.0},
    ]


@pytest.mark.parametrize("path", ["missing/run.log", "."])
def test_log__path_that_cannot_be_written__is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(QueueError, match="cannot be written"):
        TransactionLog(tmp_path / path)


def test_log__is_written_while_records_are_gathered__loses_none(tmp_path: Path) -> None:
    log = TransactionLog(tmp_path / "log")

    def make_records() -> Iterator[dict[str, Any]]:
        for number in range(5):
            yield {"event": "test", "time": float(number)}
            log.flush()  # as the other thread may at any moment

    log.add(make_records())
    log.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(line)["time"] for line in lines] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_labels__nobody_looks_on__are_not_kept_for_anybody() -> None:
    state = ManagerState(StateOptions(default_category=CategoryOptions(LabelMode.MIN_WASTE, window=2)))
    state.handle(*greet(1, cores=8, memory=8000, disk=8000))
    for number in (1, 2):
        state.handle(e.Submitted(number, Task(call=Call(FUNCTION, b""))))
        result = m.CallResult(number, "success", 0, 0, 0, 1_000_000, 0, 1_000_000, 500.0, 10.0)
        state.handle(e.Received(1, result))
    assert list(state.categories.relabelled) == ["default"]
    state.handle()
    assert not state.categories.relabelled

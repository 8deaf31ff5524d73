from __future__ import annotations

import json
from typing import Any

import pytest

from wq_package.errors import QueueError
from wq_package.report import Run, read_run
from wq_package.report.run import TryEnd

BOX = {"cores": 1, "memory_mb": 100, "disk_mb": 10, "gpus": 0}
START = {"event": "log-started", "time": 100.0, "version": 1, "project": "p"}


def read(*records: dict[str, Any], start: dict[str, Any] = START) -> Run:
    return read_run(
        json.dumps({"time": 100.0 + place, **record}) for place, record in enumerate((start, *records))
    )


def submit(task: int = 1, category: str = "c") -> dict[str, Any]:
    return {"event": "task-submitted", "task": task, "category": category}


def send(task: int = 1, worker: int = 1, **more: Any) -> dict[str, Any]:
    return {"event": "task-sent", "task": task, "worker": worker, "try": 1, "box": BOX, **more}


def end(task: int = 1, **more: Any) -> dict[str, Any]:
    return {"event": "task-ended", "task": task, "code": "success", "exit_code": 0, **more}


def test_read_run__a_task__has_one_try_with_its_times() -> None:
    run = read(submit(), send(), end(used={"wall_time": 0.5, "memory_mb": 80.0}))

    (attempt,) = run.tries
    assert (attempt.task, attempt.category, attempt.worker) == (1, "c", 1)
    assert (attempt.sent, attempt.ended, attempt.seconds) == (102.0, 103.0, 0.5)
    assert (attempt.box_memory, attempt.used_memory, attempt.end) == (100, 80, TryEnd.DONE)
    assert (run.project, run.submitted, run.seconds, run.ends) == ("p", 1, 3.0, {"success": 1})


@pytest.mark.parametrize(("limit", "expected"), [("memory", TryEnd.EXHAUSTED), ("", TryEnd.RETURNED)])
def test_read_run__a_try_in_vain__is_followed_by_another(limit: str, expected: TryEnd) -> None:
    returned = {"event": "task-returned", "task": 1, "worker": 1, "limit": limit}

    run = read(submit(), send(), returned, send(worker=2), end())

    assert [attempt.end for attempt in run.tries] == [expected, TryEnd.DONE]


def test_read_run__worker_leaves__its_tries_end_then_and_not_when_they_are_sent_again() -> None:
    joined = {"event": "worker-joined", "worker": 1, "total": {}}
    left = {"event": "worker-left", "worker": 1, "reason": "killed"}

    run = read(
        joined,
        submit(1),
        submit(2),
        send(1),
        send(2, worker=2),
        left,
        submit(3),
        send(1, worker=2),
        end(1),
        end(2),
    )

    first, other, second = run.tries
    assert (first.ended, first.end) == (106.0, TryEnd.RETURNED)
    assert (other.end, second.end) == (TryEnd.DONE, TryEnd.DONE)


@pytest.mark.parametrize("ended", [end(exit_code=1), end(code="wall time exceeded")])
def test_read_run__a_task_that_failed__says_so(ended: dict[str, Any]) -> None:
    assert read(submit(), send(), ended).tries[0].end is TryEnd.FAILED


def test_read_run__worker_was_lost__ends_its_try_when_the_task_is_sent_again() -> None:
    run = read(submit(), send(), send(worker=2), end())

    assert [(each.end, each.ended) for each in run.tries] == [(TryEnd.RETURNED, 103.0), (TryEnd.DONE, 104.0)]


def test_read_run__log_breaks_off__counts_what_was_running() -> None:
    (attempt,) = read(submit(), send(), submit(2)).tries

    assert (attempt.end, attempt.ended) == (TryEnd.RUNNING, 103.0)


def test_read_run__several_runs__reads_the_last() -> None:
    assert read(submit(), send(), START, submit(7, "d"), send(7)).tries[0].category == "d"


def test_read_run__workers_and_labels__are_kept() -> None:
    run = read(
        {"event": "worker-joined", "worker": 3, "name": "n", "total": {"cores": 4, "memory_mb": 500}},
        {
            "event": "label-changed",
            "category": "c",
            "mode": "adaptive",
            "steps": [{"cores": 1, "memory_mb": 64}],
        },
        {"event": "worker-left", "worker": 3, "reason": "it closed the connection"},
    )

    worker = run.workers[3]
    assert (worker.name, worker.joined, worker.left, worker.cores) == ("n", 101.0, 103.0, 4)
    assert run.labels[0].steps == ((1, 64),)


def test_read_run__transfers_and_environments__are_summed_up() -> None:
    run = read(
        {"event": "environment-offered", "worker": 1, "environment": "e", "archive_bytes": 1000},
        {"event": "environment-offered", "worker": 2, "environment": "e", "archive_bytes": None},
        {"event": "layers-sent", "worker": 1, "bytes": 700},
        {"event": "environment-ready", "worker": 1, "environment": "e"},
        {"event": "environment-failed", "worker": 2, "environment": "e"},
        send(files=5, files_sent=2, bytes_sent=10),
        {"event": "output-fetched", "worker": 1, "task": 1, "file": "f"},
        {"event": "records-lost", "count": 4},
    )

    environment = run.environments["e"]
    assert (environment.archive_bytes, environment.workers, environment.failures) == (1000, 2, 1)
    assert environment.seconds == [3.0]
    assert (run.files, run.files_sent, run.bytes_sent, run.layer_bytes, run.outputs) == (5, 2, 10, 700, 1)
    assert run.records_lost == 4


@pytest.mark.parametrize(
    "line", ["{torn", "[]", "null", '{"event": "task-sent", "time": 1}', '{"event": "x"}', "[" * 100_000]
)
def test_read_run__lines_that_make_no_sense__are_counted(line: str) -> None:
    run = read_run([json.dumps(START), line, "", json.dumps({"time": 105, **submit()})])

    assert (run.lines_torn, run.submitted) == (1, 1)


def test_read_run__events_of_later_versions__are_passed_over() -> None:
    assert read({"event": "something-new", "with": "fields"}).lines_torn == 0


@pytest.mark.parametrize("lines", [[], ["no log\n"], [json.dumps({"time": 1, **submit()})]])
def test_read_run__no_log__is_refused(lines: list[str]) -> None:
    with pytest.raises(QueueError, match="no transaction log"):
        read_run(lines)


@pytest.mark.parametrize("version", [2, None, "1"])
def test_read_run__unknown_version__is_refused(version: object) -> None:
    with pytest.raises(QueueError, match="version"):
        read(start={**START, "version": version})


@pytest.mark.parametrize("time", [1e18, -1.0, float("nan"), float("inf"), "x", 10**400])
def test_read_run__time_that_no_clock_shows__is_a_torn_line(time: object) -> None:
    run = read(submit(), {**send(), "time": time})
    assert (run.tries, run.lines_torn) == ([], 1)


@pytest.mark.parametrize("count", [1e18, -1, float("nan"), float("inf"), 10**400])
def test_read_run__count_that_cannot_be__counts_for_nothing(count: object) -> None:
    run = read({"event": "layers-sent", "bytes": count}, {"event": "layers-sent", "bytes": 5})
    assert run.layer_bytes == 5

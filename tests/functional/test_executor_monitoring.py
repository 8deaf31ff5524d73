"""Parsl's monitoring and usage tracking see our tasks as they see those of Parsl's own executors."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import sqlite3
from pathlib import Path

import parsl
import pytest
from parsl import Config, bash_app, python_app
from parsl.monitoring import MonitoringHub
from parsl.usage_tracking.api import get_parsl_usage

from wq_package.executor import WQPackageExecutor

pytestmark = pytest.mark.parsl

PATIENCE = 120


@python_app
def double(x: int) -> int:
    return 2 * x


@python_app
def fail() -> None:
    raise ValueError("on purpose")


@bash_app
def shout(stdout: str = "out.txt") -> str:
    return "echo word"


@pytest.mark.parametrize("pack", [False, True])
def test_monitoring__every_try_and_its_resources_are_in_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    executor = WQPackageExecutor(
        pack=pack, cache_dir=str(tmp_path / "cache"), worker_options=f"--cores 1 --store {tmp_path / 'store'}"
    )
    hub = MonitoringHub(
        logging_endpoint=f"sqlite:///{tmp_path}/monitoring.db", resource_monitoring_interval=1
    )
    config = Config(executors=[executor], run_dir=str(tmp_path / "runs"), strategy="none", monitoring=hub)
    with parsl.load(config):
        assert [future.result(timeout=PATIENCE) for future in [double(1), double(2)]] == [2, 4]
        assert shout().result(timeout=PATIENCE) == 0
        assert isinstance(fail().exception(timeout=PATIENCE), ValueError)
    with sqlite3.connect(tmp_path / "monitoring.db") as database:
        tries = database.execute(
            "select task_id, block_id, task_try_time_running from try order by task_id"
        ).fetchall()
        measured = {row[0] for row in database.execute("select distinct task_id from resource")}
        states = database.execute("select distinct task_status_name from status where task_id = 0").fetchall()
        executors = database.execute("select distinct task_executor from try").fetchall()
    assert [(task, block) for task, block, _ in tries] == [(task, "0") for task in range(4)]
    assert all(running for _, _, running in tries)
    assert measured == set(range(4))
    assert {"launched", "running", "exec_done"} <= {name for (name,) in states}
    assert executors == [("WQPackageExecutor",)]


def test_usage__names_the_executor_and_how_it_is_used() -> None:
    (used,) = get_parsl_usage([WQPackageExecutor(pack=True)])[:1]
    assert used["c"].endswith("WQPackageExecutor")
    assert used["pack"] is True

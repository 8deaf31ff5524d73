"""What status tools see of our manager: Debian's, a browser and `wq-package status`, which reads Debian's manager too."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager_programs import SECONDS, Programs
from wq_package.catalog import CatalogAddress, CatalogServer, find_managers
from wq_package.manager import BlockingManager, Manager, ManagerOptions
from wq_package.task import Resources, Task


@pytest.fixture
def manager() -> Iterator[BlockingManager]:
    with BlockingManager(ManagerOptions(name="my-project", password=None)) as manager:
        yield manager


@pytest.fixture
def busy(manager: BlockingManager, tmp_path: Path) -> Iterator[BlockingManager]:
    """A manager with a worker that runs one task, while another task waits."""
    programs = Programs(tmp_path)
    try:
        programs.start("unprotected", manager.port)
        manager.submit(Task(command="sleep 300", category="slow", priority=7.0, tag="mine"))
        manager.submit(Task(command="echo waits", resources=Resources(1, 2, 3)))
        programs.wait_until(lambda: manager.statistics().tasks_running == 1)
        yield manager
    finally:
        programs.stop()


def run_tool(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_status(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wq_package_cli", "status", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


@pytest.mark.workqueue
@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("-Q", ["my-project", "WAITING", "RUNNING"]),
        ("-T", ["sleep 300", "running", "echo waits", "WAITING"]),
        ("-W", ["HOST"]),
        ("-A", ["slow", "default", "whole queue"]),
    ],
)
def test_work_queue_status__prints_our_queue(busy: BlockingManager, option: str, words: list[str]) -> None:
    printed = run_tool("work_queue_status", option, "127.0.0.1", str(busy.port))
    for word in words:
        assert word in printed, printed


def test_status__table__names_queue_worker_and_categories(busy: BlockingManager) -> None:
    done = run_status("127.0.0.1", str(busy.port), "--tasks")
    assert done.returncode == 0, done.stderr
    assert "queue my-project on port" in done.stdout
    assert "1 waiting, 1 running" in done.stdout
    for word in ("slow", "whole queue", "sleep 300", "2/2"):
        assert word in done.stdout


def test_status__words_of_others__are_shown_as_they_are(manager: BlockingManager) -> None:
    manager.submit(Task(command="ls [/tmp] [red]\x1b[2Jgone; echo ö", category="[/]"))
    done = run_status("127.0.0.1", str(manager.port), "--tasks")
    assert done.returncode == 0, done.stderr
    assert "[/]" in done.stdout
    shown = "".join(done.stdout.split())
    assert "ls[/tmp][red]\\x1b[2Jgone;echoö" in shown


def test_status__watch__shows_it_again_and_again_until_the_manager_ends(manager: BlockingManager) -> None:
    command = [
        sys.executable,
        "-m",
        "wq_package_cli",
        "status",
        "127.0.0.1",
        str(manager.port),
        "--watch",
        "0.1",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            shown = 0
            while shown < 3:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                shown += "queue my-project on port" in line
            manager.stop()
            _, errors = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 6
    assert "Traceback" not in errors


def test_status__json__has_the_original_keys(busy: BlockingManager) -> None:
    report = json.loads(run_status("127.0.0.1", str(busy.port), "--json", "--tasks").stdout)
    assert report["queue"]["tasks_waiting"] == 1
    assert report["queue"]["cores_total"] == 2
    assert [task["taskid"] for task in report["tasks"]] == [1, 2]
    assert report["tasks"][1]["cores"] == 1
    assert report["workers"][0]["current_task_000_id"] == 1


def test_http__answers_a_browser(manager: BlockingManager) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{manager.port}/queue_status", timeout=SECONDS) as answer:
        assert json.load(answer)[0]["project"] == "my-project"
    with urllib.request.urlopen(f"http://127.0.0.1:{manager.port}/", timeout=SECONDS) as answer:
        assert b"/worker_status" in answer.read()


def test_status__no_manager__one_sentence_a_hint_and_exit_code_6() -> None:
    done = run_status("127.0.0.1", "1")
    assert done.returncode == 6
    assert done.stderr.startswith("error: no manager answers at 127.0.0.1:1")
    assert "\nhint: " in done.stderr
    assert "Traceback" not in done.stderr


def test_status__password__is_needed_and_enough(tmp_path: Path) -> None:
    password_file = tmp_path / "password"
    password_file.write_bytes(b"secret")
    with BlockingManager(ManagerOptions(password=b"secret")) as manager:
        refused = run_status("127.0.0.1", str(manager.port))
        assert (refused.returncode, "Traceback" in refused.stderr) == (6, False)
        assert "asks for a password, and none was given" in refused.stderr
        assert run_status("127.0.0.1", str(manager.port), "-P", str(password_file)).returncode == 0
        missing = run_status("127.0.0.1", str(manager.port), "-P", str(tmp_path / "absent"))
        assert (missing.returncode, "cannot be read" in missing.stderr) == (6, True)


@pytest.mark.workqueue
def test_status__debians_manager__is_shown_too() -> None:
    program = """
        import sys, work_queue
        queue = work_queue.WorkQueue(port=0)
        queue.submit(work_queue.Task("true"))
        print(queue.port, flush=True)
        queue.wait(60)
    """
    command = ["/usr/bin/python3", "-c", textwrap.dedent(program)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        done = run_status("127.0.0.1", port, "--tasks")
        assert done.returncode == 0, done.stderr
        assert "1 waiting, 0 running" in done.stdout
        assert "true" in done.stdout
    finally:
        process.kill()
        process.wait(SECONDS)
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.workqueue
def test_work_queue_factory__starts_workers_for_our_queue(manager: BlockingManager, tmp_path: Path) -> None:
    command = ["work_queue_factory", "-T", "local", "-w", "1", "-W", "2", "-t", "600", "--cores", "1"]
    command += ["--scratch-dir", str(tmp_path), "127.0.0.1", str(manager.port)]
    with (tmp_path / "factory.log").open("wb") as log:
        factory = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, start_new_session=True)
    try:
        manager.submit_many([Task(command="echo made", resources=Resources(1, 10, 10))] * 5)
        results = [manager.wait(SECONDS) for _ in range(5)]
        assert all(result is not None and result.output == b"made\n" for result in results)
    finally:
        Programs(tmp_path).kill(factory)


def test_catalog__named_manager__is_advertised_and_found_by_name() -> None:
    async def run() -> list[tuple[str, int | None]]:
        async with CatalogServer("127.0.0.1", 0) as catalog:
            address = CatalogAddress("127.0.0.1", catalog.port)
            options = ManagerOptions(name="my-project", password=None, catalogs=(address,))
            async with Manager(options) as manager, asyncio.timeout(SECONDS):
                while not (found := await find_managers([address], "my-project")):  # noqa: ASYNC110 - a datagram is on its way
                    await asyncio.sleep(0.05)
                assert [record.port for record in found] == [manager.port]
                return [(record.hosts[0], record.protocol) for record in found]

    assert asyncio.run(run()) == [("127.0.0.1", 9)]

"""Our catalog with Debian's tools, and ours with Debian's catalog."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wq_package.catalog import Advertiser, CatalogAddress, find_managers
from wq_package.catalog.advertiser import UpdateProtocol
from wq_package.manager import BlockingManager, ManagerOptions
from wq_package.task import Task

LOOPBACK = "127.0.0.1"
PATIENCE = 180.0
RECORD: dict[str, object] = {"type": "wq_master", "project": "ours", "port": 9123, "uuid": "1"}

MANAGER = """
import sys, work_queue as wq
queue = wq.WorkQueue(port=0, name=sys.argv[1])
print(queue.port, flush=True)
task = wq.Task("echo found")
queue.submit(task)
while not queue.empty():
    done = queue.wait(1)
    if done is not None:
        print(done.output, end="", flush=True)
"""


@contextmanager
def our_catalog() -> Iterator[CatalogAddress]:
    command = [sys.executable, "-m", "wq_package_cli", "catalog", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        host, port = process.stdout.readline().strip().split(":")
        yield CatalogAddress(host, int(port))
        process.send_signal(signal.SIGTERM)
        _, words = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, words
        assert "the catalog has ended" in words
    finally:
        process.kill()
        process.communicate()


def find_free_pair() -> int:
    """Find two neighbours that are free, and that the system gives to nobody else meanwhile."""
    while True:
        port = random.randrange(12_000, 32_000)  # below what it gives to those who ask for any port
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind((LOOPBACK, port))
                second.bind((LOOPBACK, port + 1))
            except OSError:
                continue
            return port


@contextmanager
def debian_catalog(folder: Path) -> Iterator[CatalogAddress]:
    port = find_free_pair()
    options = ["-p", str(port), "-I", LOOPBACK, "-u", LOOPBACK, "-H", str(folder)]
    process = subprocess.Popen(
        ["timeout", "600", "catalog_server", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: is_listening(port), "catalog_server to listen")
        yield CatalogAddress(LOOPBACK, port)
    finally:
        process.terminate()
        process.wait()


def is_listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((LOOPBACK, port)) == 0


def wait_for(is_so: object, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    assert callable(is_so)
    while not is_so():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.05)


def make_variables(catalog: CatalogAddress) -> dict[str, str]:
    return {**os.environ, "CATALOG_HOST": catalog.host, "CATALOG_PORT": str(catalog.port)}


def run_tool(catalog: CatalogAddress, *command: str) -> str:
    done = subprocess.run(
        ["timeout", "180", *command], env=make_variables(catalog), capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


@contextmanager
def debian_manager(
    catalog: CatalogAddress, project: str, **variables: str
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        ["timeout", "600", "/usr/bin/python3", "-c", MANAGER, project],
        env={**make_variables(catalog), **variables}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


@pytest.mark.workqueue
@pytest.mark.parametrize("protocol", list(UpdateProtocol))
@pytest.mark.parametrize("padding", [0, 5000], ids=["plain", "packed"])
def test_debian_catalog__our_manager__is_found_by_us(
    tmp_path: Path, protocol: UpdateProtocol, padding: int
) -> None:
    with debian_catalog(tmp_path) as catalog:
        record = {**RECORD, "padding": "x" * padding}

        async def look() -> list[int]:
            await Advertiser([catalog], lambda: record, protocol=protocol).update()
            return [manager.port for manager in await find_managers([catalog], "ours")]

        wait_for(lambda: asyncio.run(look()) == [9123], "the catalog to know it")


@pytest.mark.workqueue
def test_debian_catalog__our_manager_ends__is_forgotten_before_its_time(tmp_path: Path) -> None:
    with debian_catalog(tmp_path) as catalog:

        async def come_and_go() -> None:
            advertising = asyncio.create_task(Advertiser([catalog], lambda: RECORD).run())
            while not await find_managers([catalog], "ours"):
                pass
            advertising.cancel()
            await asyncio.gather(advertising, return_exceptions=True)

        asyncio.run(come_and_go())
        query = ["catalog_query", "-c", str(catalog), "--where", "lifetime==1"]
        wait_for(
            lambda: "ours" in run_tool(catalog, *query) or not asyncio.run(find_managers([catalog], "ours")),
            "the farewell",
        )


@pytest.mark.workqueue
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_our_catalog__debian_manager_and_worker__meet_by_name(protocol: str) -> None:
    with (
        our_catalog() as catalog,
        debian_manager(catalog, "theirs", CATALOG_UPDATE_PROTOCOL=protocol) as manager,
    ):
        assert manager.stdout is not None
        port = int(manager.stdout.readline())
        wait_for(lambda: asyncio.run(find_managers([catalog], "th.*s")) != (), "the manager to advertise")
        (found,) = asyncio.run(find_managers([catalog], "theirs"))
        assert (found.project, found.port) == ("theirs", port)
        worker = ["work_queue_worker", "--single-shot", "-t", "100", "--cores", "1", "-M", "theirs"]
        run_tool(catalog, *worker)
        assert manager.stdout.readline() == "found\n"


def run_ours(catalog: CatalogAddress, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wq_package_cli", *arguments], env=make_variables(catalog), capture_output=True,
        text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def make_worker(folder: Path, project: str, *more: str) -> list[str]:
    sizes = ["--cores", "1", "--memory", "100", "--disk", "100"]
    places = ["--store", str(folder / "store"), "--workdir", str(folder)]
    return ["worker", "-M", project, "--single-shot", "-t", "200", *sizes, *places, *more]


@pytest.mark.workqueue
@pytest.mark.parametrize("kind", ["our catalog", "debian's catalog"])
def test_our_worker__project_of_debian_manager__finds_and_serves_it(tmp_path: Path, kind: str) -> None:
    with (
        our_catalog() if kind == "our catalog" else debian_catalog(tmp_path) as catalog,
        debian_manager(catalog, "their-project") as manager,
    ):
        assert manager.stdout is not None
        manager.stdout.readline()
        done = run_ours(catalog, *make_worker(tmp_path, "their-.*"))
        assert done.returncode == 0, done.stderr
        assert manager.stdout.readline() == "found\n"


@pytest.mark.workqueue
def test_our_worker__project_of_our_manager__finds_it_by_debians_catalog(tmp_path: Path) -> None:
    with debian_catalog(tmp_path) as catalog:
        options = ManagerOptions(name="ours", catalogs=(catalog,), password=None)
        with BlockingManager(options) as manager:
            manager.submit(Task(command="echo found"))
            command = [sys.executable, "-m", "wq_package_cli", *make_worker(tmp_path, "ours")]
            process = subprocess.Popen(
                command, env=make_variables(catalog), stderr=subprocess.PIPE, text=True
            )
            try:
                result = manager.wait(PATIENCE)
                assert result is not None
                assert result.output == b"found\n"
            finally:
                manager.stop()
                _, words = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, words


def test_our_worker__nobody_of_that_name__is_a_clear_error_after_its_time(tmp_path: Path) -> None:
    with our_catalog() as catalog:
        asyncio.run(Advertiser([catalog], lambda: RECORD).update())
        # The name is for the whole: `our` is not `ours`.
        began = time.monotonic()
        done = run_ours(catalog, *make_worker(tmp_path, "our", "--connect-timeout", "1"))
        assert time.monotonic() - began > 1
    assert done.returncode == 6
    assert done.stderr.startswith(
        "error: a manager with a project name like `our` is not known to the catalog"
    )
    assert "hint: " in done.stderr


def test_our_worker__catalog_is_gone__is_a_clear_error(tmp_path: Path) -> None:
    with our_catalog() as catalog:
        pass
    done = run_ours(catalog, *make_worker(tmp_path, "ours", "--connect-timeout", "0"))
    assert done.returncode == 6
    assert done.stderr.startswith("error: no catalog answers")


def test_our_worker__the_one_of_that_name_does_not_answer__is_a_clear_error(tmp_path: Path) -> None:
    with our_catalog() as catalog, socket.socket() as closed:
        closed.bind((LOOPBACK, 0))
        record = {**RECORD, "port": closed.getsockname()[1]}
        asyncio.run(Advertiser([catalog], lambda: record).update())
        wait_for(lambda: asyncio.run(find_managers([catalog], "ours")) != (), "the record")
        done = run_ours(catalog, *make_worker(tmp_path, "ours", "--connect-timeout", "0"))
        status = run_ours(catalog, "status", "-M", "ours")
    assert (done.returncode, status.returncode) == (6, 6)
    assert done.stderr.startswith("error: a manager with a project name like `ours` does not answer")
    assert status.stderr.startswith("error: no manager answers at")


@pytest.mark.workqueue
def test_status__project_name__shows_every_manager_of_that_name() -> None:
    with our_catalog() as catalog, debian_manager(catalog, "project-theirs") as theirs:
        assert theirs.stdout is not None
        theirs.stdout.readline()
        options = ManagerOptions(name="project-ours", catalogs=(catalog,), password=None)
        with BlockingManager(options):
            wait_for(lambda: len(asyncio.run(find_managers([catalog], "project-.*"))) == 2, "two managers")
            shown = run_ours(catalog, "status", "-M", "project-.*")
            assert shown.returncode == 0, shown.stderr
            assert "queue project-ours " in shown.stdout
            assert "queue project-theirs " in shown.stdout
            reports = json.loads(run_ours(catalog, "status", "-M", "project-ours", "--json").stdout)
            assert [report["queue"]["project"] for report in reports] == ["project-ours"]
        none = run_ours(catalog, "status", "-M", "project")
        assert none.returncode == 6
        assert none.stderr.startswith("error: the catalog knows no manager")


@pytest.mark.workqueue
def test_our_catalog__debian_tools__print_what_it_knows() -> None:
    with our_catalog() as catalog:
        record = {
            **RECORD, "tasks_waiting": 5, "tasks_running": 3, "tasks_complete": 8, "workers": 2, "tasks_on_workers": 3,
        }  # fmt: skip
        asyncio.run(Advertiser([catalog], lambda: record).update())
        wait_for(lambda: asyncio.run(find_managers([catalog], "ours")) != (), "the record")
        table = run_tool(catalog, "work_queue_status", "-C", str(catalog))
        assert re.search(r"^ours\s.*\b9123\b", table, re.MULTILINE), table
        query = ["catalog_query", "-c", str(catalog), "--where"]
        assert json.loads(run_tool(catalog, *query, "port==9123"))[0]["project"] == "ours"
        assert json.loads(run_tool(catalog, *query, "port==1")) == []
        text = '{"type":"test","port":7}'
        update = subprocess.run(
            ["catalog_update", "-c", str(catalog), "-f", "/dev/stdin"], input=text, text=True, check=False,
            capture_output=True,
        )  # fmt: skip
        assert update.returncode == 0, update.stderr
        wait_for(lambda: "test" in run_tool(catalog, *query, "port==7"), "catalog_update")


def test_command__port_taken__is_a_clear_error() -> None:
    with our_catalog() as catalog:
        done = subprocess.run(
            [sys.executable, "-m", "wq_package_cli", "catalog", "--port", str(catalog.port)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 6
        assert done.stderr.startswith(f"error: the catalog cannot listen on {LOOPBACK}:{catalog.port}")
        assert "hint: " in done.stderr


@pytest.mark.parametrize("port", ["-1", "65535", "x"])
def test_command__no_port__is_wrong_usage(port: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wq_package_cli", "catalog", f"--port={port}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "is no port" in done.stderr

"""The link against Debian's Work Queue: a manager of a few lines serves its worker, a worker of a few lines its manager."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from wq_package.errors import AuthenticationError
from wq_package.link import Link, ask_status, connect, serve
from wq_package.protocol import messages as m

pytestmark = pytest.mark.workqueue

NAMES = ["plain", "with blank", "caf\u00e9 \u65e5\u672c", "tab\there", "per%cent", "quo'te\"s", "br{a}ce~|"]
"""Names that a real worker understands if each byte of them is encoded properly."""


class TinyManager:
    """Serves one worker one task that lists its sandbox, and keeps what the worker says."""

    def __init__(self) -> None:
        self.output = b""
        self.files: dict[str, bytes] = {}
        self.missing: list[str] = []
        self.result: m.Result | None = None
        self._body: list[bytes] = []
        self._file = ""

    async def attend(self, link: Link) -> None:
        while True:
            for event in await link.receive():
                if isinstance(event, m.ConnectionClosed):
                    return
                await self._react(link, event)

    async def _react(self, link: Link, event: m.Event) -> None:
        match event:
            case m.Info("worker-end-time"):
                await self._dispatch(link)
            case m.AvailableResults():
                link.send(m.SendResults())
            case m.Result():
                self.result, self._file = event, ""
            case m.File(name):
                self._file = name
            case m.Data(body):
                self._body.append(body)
            case m.EndOfBody() if self._file:
                self.files[self._file] = b"".join(self._body)
                self._body = []
            case m.EndOfBody():
                self.output = b"".join(self._body)
                self._body = []
                link.send(m.Get("outputs"), m.Get("nothing"))
            case m.Missing(name):
                self.missing.append(name)
                link.send(m.Kill(1), m.Unlink("outputs"), m.Exit())
            case _:
                pass

    async def _dispatch(self, link: Link) -> None:
        link.send(m.Put("file-1", 6, 0o644))
        link.send_body(b"hello\n")
        link.send(m.Dir("folder-1"))
        for name in NAMES:
            link.send(m.Put(name, len(name), 0o755))
            link.send_body(b"x" * len(name))
        link.send(m.Dir("inner"), m.Put("empty", 0, 0o600), m.End(), m.End())
        await link.drain()
        command = f"ls in | tr '\\n' '/'; echo; echo \"$LONG\" | wc -c; mkdir out; cp '{NAMES[2]}' 'out/a b'; exit 3"
        link.send(
            m.TaskDescription(
                1, command, cores=1, memory_mb=10, disk_mb=10, gpus=0, wall_time=30.0,
                variables=(("LONG", "x" * 5000), ("GONE", None)),
                inputs=(m.TaskFile("file-1", NAMES[2]), m.TaskFile("folder-1", "in")),
                folders=("made",),
                outputs=(m.TaskFile("outputs", "out"), m.TaskFile("nothing", "not made")),
            )
        )  # fmt: skip


def start_worker(port: int, *options: str) -> subprocess.Popen[str]:
    command = [
        "work_queue_worker",
        "--single-shot",
        "-t",
        "200",
        "--cores",
        "1",
        "--memory",
        "100",
        "--disk",
        "100",
    ]
    return subprocess.Popen(
        ["timeout", "240", *command, *options, "127.0.0.1", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


async def run_tiny_manager(
    password: bytes | None, options: Iterable[str], *, is_over: Callable[[], bool] = lambda: False
) -> TinyManager:
    """Serve a worker until it leaves, or until `is_over`."""
    manager = TinyManager()
    async with await serve(manager.attend, "127.0.0.1", 0, password=password) as server:
        worker = start_worker(server.port, *options)
        while worker.poll() is None and not is_over():  # noqa: ASYNC110 - a process cannot be awaited for with a condition
            await asyncio.sleep(0.02)
        worker.terminate()
        await asyncio.to_thread(worker.communicate)
    return manager


@pytest.mark.parametrize("has_password", [False, True])
def test_debian_worker__task_with_files_of_any_name__comes_back_whole(
    tmp_path: Path, has_password: bool
) -> None:
    password = b"sesame\n" if has_password else None
    (tmp_path / "password").write_bytes(b"sesame\n")
    options = ["-P", str(tmp_path / "password")] if has_password else []
    manager = asyncio.run(run_tiny_manager(password, options))
    listing, length = manager.output.decode().splitlines()
    assert set(listing.strip("/").split("/")) == {*NAMES, "inner"}
    assert length.strip() == "5001"
    assert manager.result is not None
    assert (manager.result.status, manager.result.exit_code) == (0, 3)
    assert manager.files == {"outputs/a b": b"hello\n"}
    assert manager.missing == ["nothing"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(b"sesame\n", b"sesame"), (b"sesame\n", None), (None, b"sesame\n")],
    ids=["another password", "only ours", "only theirs"],
)
def test_debian_worker__wrong_password__never_reaches_the_handler(
    tmp_path: Path, ours: bytes | None, theirs: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "password").write_bytes(theirs or b"")
    options = [] if theirs is None else ["-P", str(tmp_path / "password")]

    def is_refused() -> bool:
        return any("password" in record.message for record in caplog.records)

    manager = asyncio.run(run_tiny_manager(ours, options, is_over=is_refused))
    assert manager.result is None
    assert is_refused()


MANAGER = """
import json, sys, work_queue as wq
queue = wq.WorkQueue(port=0)
if sys.argv[1]:
    queue.specify_password_file(sys.argv[1])
print(queue.port, flush=True)
task = wq.Task("cat 'in put.txt'; echo $FOO")
task.specify_buffer("buffered\\n", "in put.txt")
task.specify_directory("folder", "d", wq.WORK_QUEUE_INPUT, recursive=True)
task.specify_output_file("my out.txt", "out.txt", cache=False)
task.specify_environment_variable("FOO", "bar baz")
task.specify_cores(1)
queue.submit(task)
done = None
while done is None and not queue.empty():
    done = queue.wait(5)
print(json.dumps([done.return_status, done.result, done.output, open("my out.txt").read()]), flush=True)
queue.shutdown_workers(0)
"""


class TinyWorker:
    """Pretends to run one task and answers its manager."""

    def __init__(self) -> None:
        self.events: list[m.Event] = []
        self.task: m.TaskDescription | None = None

    async def run(self, port: int, password: bytes | None) -> None:
        async with await connect("127.0.0.1", port, password=password) as link:
            link.send(
                m.Workqueue(9, "here", "Linux", "x86_64", "8.0.0"), m.Info("worker-id", "worker-" + "1" * 32)
            )
            link.send(m.Feature("my fe\u00e4ture"), m.Feature(m.DIALECT_FEATURE), m.Alive())
            for name in ("workers", "disk", "memory", "gpus", "cores"):
                link.send(m.Resource(name, 1000 if name in ("disk", "memory") else 1, 1, 1000))
            link.send(m.Resource("tag", 0, 0, 0), m.Info("end_of_resource_update", "0"))
            link.send(m.Info("tasks_running", "0"), m.Info("worker-end-time", "0"))
            while not isinstance(self.events[-1] if self.events else None, m.Exit | m.ConnectionClosed):
                for event in await link.receive():
                    self.events.append(event)
                    self._react(link, event)

    def _react(self, link: Link, event: m.Event) -> None:
        match event:
            case m.TaskDescription():
                self.task = event
                link.send(m.Info("tasks_running", "1"), m.AvailableResults())
            case m.SendResults():
                link.send(m.Result(0, 0, 6, 1000, 1))
                link.send_body(b"caf\xc3\xa9\n")
                link.send(m.Info("tasks_running", "0"), m.End())
            case m.Get(name):
                link.send(m.File(name, 4))
                link.send_body(b"out\n")
                link.send(m.End())
            case m.Check():
                link.send(m.Alive())
            case _:
                pass


def start_manager(folder: Path, password_file: str) -> subprocess.Popen[str]:
    (folder / "folder" / "sub").mkdir(parents=True)
    (folder / "folder" / "sub" / "b c.txt").write_text("BBBB")
    (folder / "folder" / "run.sh").write_text("#!/bin/sh\n")
    return subprocess.Popen(
        ["timeout", "240", "/usr/bin/python3", "-c", MANAGER, password_file],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("has_password", [False, True])
def test_debian_manager__task_with_folder_buffer_and_output__accepts_our_answers(
    tmp_path: Path, has_password: bool
) -> None:
    password = b"sesame\n" if has_password else None
    (tmp_path / "password").write_bytes(b"sesame\n")
    manager = start_manager(tmp_path, "password" if has_password else "")
    assert manager.stdout is not None
    port = int(manager.stdout.readline())
    worker = TinyWorker()
    asyncio.run(worker.run(port, password))
    out, errors = manager.communicate(timeout=240)
    assert manager.returncode == 0, errors
    assert json.loads(out) == [0, 0, "caf\u00e9\n", "out\n"]
    assert worker.task is not None
    assert worker.task.command == "cat 'in put.txt'; echo $FOO"
    assert worker.task.variables == (("FOO", "bar baz"),)
    assert [file.sandbox_name for file in worker.task.inputs] == ["in put.txt", "d"]
    names = [event.name for event in worker.events if isinstance(event, m.Put | m.Dir)]
    assert {"sub", "b c.txt", "run.sh"} < set(names)
    # What it put and what the task needs go by the same names, although the manager encodes only the first.
    assert {file.cache_name for file in worker.task.inputs} < set(names)


@pytest.mark.parametrize("has_password", [False, True])
def test_debian_manager__asked_for_its_status__answers(tmp_path: Path, has_password: bool) -> None:
    (tmp_path / "password").write_bytes(b"sesame\n")
    manager = start_manager(tmp_path, "password" if has_password else "")
    try:
        assert manager.stdout is not None
        port = int(manager.stdout.readline())
        password = b"sesame\n" if has_password else None
        (queue,) = asyncio.run(ask_status("127.0.0.1", port, "queue_status", password=password))
        assert isinstance(queue, dict)
        assert (queue["port"], queue["tasks_waiting"]) == (port, 1)
        (task,) = asyncio.run(ask_status("127.0.0.1", port, "task_status", password=password))
        assert isinstance(task, dict)
        assert task["command"].startswith("cat 'in put.txt'")
    finally:
        manager.terminate()
        manager.communicate()


def test_debian_manager__wrong_password__is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(b"sesame\n")
    manager = start_manager(tmp_path, "password")
    try:
        assert manager.stdout is not None
        port = int(manager.stdout.readline())
        with pytest.raises(AuthenticationError, match="password") as raised:
            asyncio.run(TinyWorker().run(port, b"sesame"))
        assert raised.value.hint is not None
    finally:
        manager.terminate()
        manager.communicate()

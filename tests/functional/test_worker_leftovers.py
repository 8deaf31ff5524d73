"""Our worker, run as a process: files that cannot be sent, and files that nobody asks for any more."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from worker_peers import SECONDS, FakeManager, RunningWorker, pair, start_worker
from wq_package.protocol import messages as m


async def settle(condition: Callable[[], object]) -> None:
    """Wait for something that only the disk can tell."""
    limit = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < limit
        await asyncio.sleep(0.01)


async def leave_well(manager: FakeManager, worker: RunningWorker) -> None:
    manager.send(m.Exit())
    assert await worker.wait() == 0, worker.errors
    assert list(worker.workdir.iterdir()) == []


@pytest.mark.parametrize("speaks_dialect", [True, False])
def test_output__names_that_no_message_can_have__are_told_as_missing_and_the_worker_stays(
    tmp_path: Path, speaks_dialect: bool
) -> None:
    folders = "/".join(["d" * 240] * 14)
    command = (
        "mkdir -p out/inner'\n'folder && touch out/plain out/line'\n'break out/inner'\n'folder/x"
        f" && mkdir -p out/{folders} && cd out/{folders} && touch {'f' * 240}"
        f" && mkdir {'e' * 240} && cd {'e' * 240} && mkdir {'e' * 240} && cd {'e' * 240} && mkdir {'g' * 240}"
    )

    async def run() -> None:
        async with (
            FakeManager(speaks_dialect=speaks_dialect) as manager,
            start_worker(manager.port, tmp_path, "--cores", "1") as worker,
        ):
            await manager.wait_for_worker()
            manager.send(m.TaskDescription(1, command, outputs=(m.TaskFile("kept", "out"),)))
            if not speaks_dialect:
                await manager.wait_for_message(m.AvailableResults)
                manager.send(m.SendResults())
            result = await manager.wait_for_message(m.Result)
            assert (result.status, result.exit_code) == (0, 0)
            if not speaks_dialect:
                await manager.wait_for_message(m.End)
            manager.send(m.Get("kept", recursive=True))
            await manager.wait_for_message(m.End)

            missing = {event.name for event in manager.seen if isinstance(event, m.Missing)}
            assert {"kept/line\\nbreak", "kept/inner\\nfolder"} <= missing
            assert all("\n" not in name for name in missing)
            assert len([name for name in missing if name.startswith("…") and name.endswith("g" * 240)]) == 1
            assert [e.name for e in manager.seen if isinstance(e, m.File) and len(e.name) < 100] == [
                "kept/plain"
            ]
            await leave_well(manager, worker)

    asyncio.run(run())


def test_worker__manager_goes__nothing_of_it_stays_in_the_workdir(tmp_path: Path) -> None:
    def find_left() -> list[str]:
        (workspace,) = (tmp_path / "workdir").iterdir()
        walk = os.walk(workspace)  # which does not mind what goes meanwhile
        names = [
            os.path.relpath(f"{folder}/{name}", workspace) for folder, _, files in walk for name in files
        ]
        return [name for name in names if name.startswith(("cache/", "out.", "t.", "bodies"))]

    async def run() -> None:
        async with (
            FakeManager(speaks_dialect=False) as manager,
            start_worker(manager.port, tmp_path, "--cores", "1", single_shot=False) as worker,
        ):
            await manager.wait_for_worker()
            outputs = (m.TaskFile("kept", "out"),)
            manager.send(m.TaskDescription(1, "echo x > out; seq 100000", outputs=outputs))
            await manager.wait_for_message(m.AvailableResults)
            manager.send(m.Dir("folder"))
            manager.send(m.Put("half", 100, 0o644), b"x" * 50)
            await manager.link.drain()
            await settle(lambda: {Path(name).name for name in find_left()} >= {"half"})
            assert any(name.startswith("out.") for name in find_left())

            manager.greeting = []
            manager.link.abort()
            await manager.wait_for_worker()
            await settle(lambda: not find_left())
            manager.send(m.Thirdget(m.TransferMode.COMMAND, "name", "echo half > %%; exit 1"))
            manager.greeting = []
            await manager.wait_for_worker()  # that is the end of a connection, as with real workers
            await settle(lambda: not find_left())
            await leave_well(manager, worker)

    asyncio.run(run())


@pytest.mark.parametrize("make", ["mkfifo", "mkdir", ":"])
def test_task__puts_something_else_in_the_place_of_its_output__fails_alone(tmp_path: Path, make: str) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            spoil = f"touch out; for file in ../out.*; do rm $file; {make} $file; done"
            outputs = (m.TaskFile("kept", "out"),)
            manager.send(m.TaskDescription(1, spoil, cores=2))
            await manager.wait_for(lambda: len(manager.bodies) == 1)
            manager.send(m.TaskDescription(2, spoil, cores=2, outputs=outputs))
            await manager.wait_for(lambda: len(manager.bodies) == 2)
            manager.send(m.TaskDescription(3, "echo well", cores=2))
            await manager.wait_for(lambda: len(manager.bodies) == 3)

            results = [header for header, _ in manager.bodies]
            assert [r.status for r in results if isinstance(r, m.Result)] == [32, 32, 0]
            assert manager.bodies[0][1].startswith(b"the worker could not run the task: ")
            assert manager.bodies[2][1] == b"well\n"
            (workspace,) = worker.workdir.iterdir()
            await settle(lambda: not list((workspace / "cache").iterdir()))
            await leave_well(manager, worker)

    asyncio.run(run())

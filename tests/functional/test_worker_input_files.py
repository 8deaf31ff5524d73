"""Input files on a worker: sent once, for the next manager and the other workers of its store, too."""

from __future__ import annotations

import asyncio
import os
from hashlib import sha256
from pathlib import Path

from worker_peers import FakeManager, start_worker
from wq_package.manager import BlockingManager, ManagerOptions
from wq_package.protocol import messages as m
from wq_package.task import InputFile, ResultCode, Task
from wq_package.worker import WorkerOptions
from wq_package.worker.client import run_worker

BODY = os.urandom(300_000)
NAME = f"file-{sha256(BODY).hexdigest()}-644"


async def offer(manager: FakeManager, name: str = NAME, size: int = len(BODY)) -> bool:
    """Offer a file, and tell whether it is wanted."""
    manager.send(m.FileOffer(name, size))
    answer = await manager.wait_for_message(m.FileAnswer)
    assert answer.cache_name == name
    return bool(answer.is_wanted)


def put(manager: FakeManager, body: bytes = BODY, name: str = NAME) -> None:
    manager.send(m.Put(name, len(body), 0o644), body)


async def count_bytes(manager: FakeManager, name: str = NAME) -> int | None:
    """Let a task use the file; tell how many bytes it finds, or `None` if the file is not there."""
    file = m.TaskFile(name, "data", m.FileFlags.CACHE)
    manager.send(m.TaskDescription(1, "echo more >> data && wc -c < data", inputs=(file,)))
    result = await manager.wait_for_message(m.Result)
    if result.status != 0:
        return None
    await manager.wait_for(lambda: any(header == result for header, _ in manager.bodies))
    body = next(body for header, body in manager.bodies if header == result)
    manager.bodies.clear()
    return int(body) - len("more\n")


def list_kept(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "store" / "files").glob("*"))


def test_files__next_manager_and_next_worker__need_not_send_them_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeManager() as first, start_worker(first.port, tmp_path, "--cores", "1"):
            await first.wait_for_worker()
            assert m.Feature(m.FILES_FEATURE) in first.greeting
            assert await offer(first)
            put(first)
            assert await count_bytes(first) == len(BODY)
            assert await count_bytes(first) == len(BODY), "what a task does to its input, no other one sees"
        async with FakeManager() as second, start_worker(second.port, tmp_path, "--cores", "1"):
            await second.wait_for_worker()
            assert not await offer(second)
            assert await count_bytes(second) == len(BODY)

    asyncio.run(run())


def test_files__damaged_in_the_store__are_wanted_again(tmp_path: Path) -> None:
    async def run() -> None:
        for _ in range(2):
            async with FakeManager() as manager, start_worker(manager.port, tmp_path, "--cores", "1"):
                await manager.wait_for_worker()
                assert await offer(manager)
                put(manager)
                assert await count_bytes(manager) == len(BODY)
            (kept,) = (tmp_path / "store" / "files").iterdir()
            kept.chmod(0o644)
            with kept.open("r+b") as file:
                file.write(bytes([BODY[0] ^ 1]))
            kept.chmod(0o444)

    asyncio.run(run())


def test_files__other_bytes_than_their_name_says__no_task_gets_them(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeManager() as manager, start_worker(manager.port, tmp_path, "--cores", "1"):
            await manager.wait_for_worker()
            assert await offer(manager)
            put(manager, BODY[:-1] + bytes([BODY[-1] ^ 1]))
            assert await count_bytes(manager) is None
            assert list_kept(tmp_path) == []
            assert await offer(manager), "another try is welcome"
            put(manager)
            assert await count_bytes(manager) == len(BODY)

    asyncio.run(run())


def test_files__names_that_prove_nothing__stay_out_of_the_store(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeManager() as manager, start_worker(manager.port, tmp_path, "--cores", "1"):
            await manager.wait_for_worker()
            for name in ("file-0123-644", f"{NAME}-x", f"md5.{NAME}", NAME.replace("644", "4755")):
                assert await offer(manager, name)
                put(manager, name=name)
                assert await count_bytes(manager, name) == len(BODY)
            put(manager)  # nor does what was never offered
            assert await count_bytes(manager) == len(BODY)
            assert list_kept(tmp_path) == []

    asyncio.run(run())


def test_files__two_workers_of_a_store__one_of_them_fetches(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            FakeManager() as first, FakeManager() as second,
            start_worker(first.port, tmp_path, "--cores", "1"), start_worker(second.port, tmp_path, "--cores", "1"),
        ):  # fmt: skip
            await first.wait_for_worker()
            await second.wait_for_worker()
            assert await offer(first)
            second.send(m.FileOffer(NAME, len(BODY)))
            second.send(m.Check())
            await second.wait_for_message(m.Alive)
            assert not [event for event in second.seen if isinstance(event, m.FileAnswer)]
            put(first)
            answer = await second.wait_for_message(m.FileAnswer)
            assert not answer.is_wanted
            assert await count_bytes(second) == len(BODY)

    asyncio.run(run())


def test_files__worker_dies_over_one__another_fetches_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            FakeManager() as first, FakeManager() as second,
            start_worker(first.port, tmp_path, "--cores", "1") as dying, start_worker(second.port, tmp_path, "--cores", "1"),
        ):  # fmt: skip
            await first.wait_for_worker()
            await second.wait_for_worker()
            assert await offer(first)
            second.send(m.FileOffer(NAME, len(BODY)))
            first.send(m.Put(NAME, len(BODY), 0o644), BODY[:1000])
            dying.process.kill()
            answer = await second.wait_for_message(m.FileAnswer)
            assert answer.is_wanted
            put(second)
            assert await count_bytes(second) == len(BODY)

    asyncio.run(run())


def test_files__manager_cannot_read_one__another_may_send_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            FakeManager() as first, FakeManager() as second,
            start_worker(first.port, tmp_path, "--cores", "1"), start_worker(second.port, tmp_path, "--cores", "1"),
        ):  # fmt: skip
            await first.wait_for_worker()
            await second.wait_for_worker()
            assert await offer(first)
            first.send(m.Unlink(NAME))
            assert await offer(second)

    asyncio.run(run())


def test_files__private_store__is_not_asked_about_files(tmp_path: Path) -> None:
    async def run() -> None:
        options = ("--cores", "1", "--private-store")
        async with FakeManager() as manager, start_worker(manager.port, tmp_path, *options):
            await manager.wait_for_worker()
            assert m.Feature(m.FILES_FEATURE) not in manager.greeting

    asyncio.run(run())


def serve_in_turn(folder: Path, inputs: tuple[InputFile, ...]) -> list[int]:
    """Let two managers run a task with these inputs on workers of one store; tell how many bytes each has sent."""
    sent = []
    for _ in range(2):
        with BlockingManager(ManagerOptions(password=None)) as manager:
            manager.submit(Task(command="cat one two | sha256sum", inputs=inputs))
            options = WorkerOptions(
                host="127.0.0.1", port=manager.port, store=folder / "store", workdir=folder / "work", single_shot=True
            )  # fmt: skip

            async def serve(options: WorkerOptions = options) -> None:
                worker = asyncio.create_task(run_worker(options))
                result = await asyncio.to_thread(manager.wait, 180)
                assert result is not None
                assert result.code is ResultCode.SUCCESS
                assert result.output.split()[0] == sha256(BODY * 2).hexdigest().encode()
                sent.append(manager.statistics().bytes_sent)
                manager.shut_down_workers()
                await worker

            asyncio.run(serve())
    return sent


def test_manager__worker_has_the_files__sends_nothing(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(BODY)
    source.chmod(0o755)
    first, second = serve_in_turn(
        tmp_path, (InputFile("one", path=str(source)), InputFile("two", content=BODY))
    )
    assert first >= 2 * len(BODY)
    assert second < 10_000

"""Peers that mean no good, or die all the time: the manager goes on, and every task ends once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from manager_programs import PASSWORD, SECONDS, SMALL, Programs
from wq_package.manager import Manager, ManagerOptions
from wq_package.manager.status_client import query_status
from wq_package.task import InputFile, OutputFile, Resources, ResultCode, Task, TaskResult

GREETING = b"""workqueue 9 liar Linux x86_64 8.0.0
info worker-id worker-1
resource workers 1 1 1
resource disk 1000 1000 1000
resource memory 1000 1000 1000
resource gpus 0 0 0
resource cores 1 1 1
resource tag 0
info worker-end-time 0
"""


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path)
    yield programs
    programs.stop()


@asynccontextmanager
async def connect(manager: Manager) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", manager.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await asyncio.wait({asyncio.ensure_future(writer.wait_closed())}, timeout=5)


async def expect_end(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(SECONDS):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def serve_one(
    manager: Manager, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> TaskResult:
    """Be a worker for one task, whoever had it before."""
    async with asyncio.timeout(SECONDS):
        await reader.readuntil(b"task 1\n")
        await reader.readuntil(b"end\n")
        writer.write(b"available_results\n")
        await reader.readuntil(b"send_results -1\n")
    writer.write(b"result 0 0 2 10 1\nokend\n")
    result = await manager.wait(SECONDS)
    assert result is not None
    return result


@asynccontextmanager
async def connect_for_output(
    manager: Manager, place: Path
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Be a worker that is asked for the output of a task."""
    manager.submit(Task(command="true", outputs=(OutputFile("out", str(place)),), max_retries=None))
    async with connect(manager) as (reader, writer):
        writer.write(GREETING)
        async with asyncio.timeout(SECONDS):
            await reader.readuntil(b"outfile out-1-0-0 out 0\nend\n")
            writer.write(b"available_results\n")
            await reader.readuntil(b"send_results -1\n")
            writer.write(b"result 0 0 0 10 1\nend\n")
            await reader.readuntil(b"get out-1-0-0 1\n")
        yield reader, writer


@pytest.mark.parametrize(
    "words",
    [
        b"\x00\xff\xfe garbage\n",
        b"nonsense\n",
        b"x" * 100_000,
        b"workqueue 7 old Linux x86_64 6.0\n",
        b"workqueue 9\n",
        b"result 0 0 5 10 1\nhello",
        GREETING.replace(b"cores 1 1 1", b"cores 99999999 1 1"),
        GREETING.replace(b"worker-end-time 0", b"worker-end-time never"),
        GREETING + b"result 0 0 5 10 1\nhello",
        GREETING + b"end\n",
        GREETING + b'wqp result 35\n[1,"success",0,5,0,1,0,-1,-1,-1,[],""]hello',
    ],
)
def test_hostile_peer__is_dropped__the_queue_goes_on(words: bytes) -> None:
    async def run() -> None:
        async with Manager(ManagerOptions(password=None)) as manager:
            task_id = manager.submit(Task(command="true", max_retries=None))
            async with connect(manager) as (reader, writer):
                writer.write(words)
                await expect_end(reader)
            async with connect(manager) as (reader, writer):
                writer.write(GREETING)
                result = await serve_one(manager, reader, writer)
            assert (result.task_id, result.output) == (task_id, b"ok")

    asyncio.run(run())


def test_hostile_worker__returns_a_task_it_was_not_given__is_dropped() -> None:
    async def run() -> None:
        async with Manager(ManagerOptions(password=None)) as manager:
            manager.submit(Task(command="true"))
            async with connect(manager) as (reader, writer):
                writer.write(GREETING + b"available_results\n")
                async with asyncio.timeout(SECONDS):
                    await reader.readuntil(b"send_results -1\n")
                writer.write(b"result 0 0 3 10 77\nlieend\n")
                await expect_end(reader)
            statistics = manager.statistics()
            assert (statistics.tasks_done, statistics.tasks_left, statistics.workers_lost) == (0, 1, 1)

    asyncio.run(run())


def test_hostile_worker__sends_an_output_with_a_path_that_leads_out__is_dropped(tmp_path: Path) -> None:
    async def run() -> None:
        async with Manager(ManagerOptions(password=None)) as manager:
            async with connect_for_output(manager, tmp_path / "got" / "out") as (reader, writer):
                writer.write(b"file out-1-0-0/../../evil 4\nevilend\n")
                await expect_end(reader)
            assert manager.statistics().tasks_left == 1

    asyncio.run(run())
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_cancel__output_half_way__is_not_stored_and_the_worker_stays(tmp_path: Path) -> None:
    async def run() -> None:
        async with Manager(ManagerOptions(password=None)) as manager:
            outputs = (OutputFile("a", str(tmp_path / "a")), OutputFile("b", str(tmp_path / "b")))
            task_id = manager.submit(Task(command="true", outputs=outputs))
            async with connect(manager) as (reader, writer), asyncio.timeout(SECONDS):
                writer.write(GREETING)
                await reader.readuntil(b"outfile out-1-0-1 b 0\nend\n")
                writer.write(b"available_results\n")
                await reader.readuntil(b"send_results -1\n")
                writer.write(b"result 0 0 0 10 1\nend\n")
                await reader.readuntil(b"get out-1-0-1 1\n")
                writer.write(b"file out-1-0-0 8\nhalf")
                while not list_names(tmp_path):  # noqa: ASYNC110 - written by the manager
                    await asyncio.sleep(0.01)
                manager.cancel(task_id)
                result = await manager.wait()
                assert result is not None
                assert result.code is ResultCode.CANCELLED
                assert list_names(tmp_path) == []
                writer.write(b"restend\nfile out-1-0-1 4\nbothend\n")
                manager.submit(Task(command="true"))
                await reader.readuntil(b"task 2\n")
                assert manager.statistics().workers_connected == 1

    asyncio.run(run())
    assert list_names(tmp_path) == []


def test_worker_of_an_unknown_protocol__is_turned_away_and_reported() -> None:
    async def run() -> None:
        async with Manager(ManagerOptions(password=None)) as manager:
            async with connect(manager) as (reader, writer):
                writer.write(GREETING.replace(b"workqueue 9 liar", b"workqueue 12 newcomer"))
                assert await expect_end(reader) == b""
            assert manager.statistics().workers_refused == 1
            report = await asyncio.to_thread(query_status, "127.0.0.1", manager.port)
            assert report.queue["workers_blocked"] == ["newcomer"]

    asyncio.run(run())


def test_silent_connections__cost_nothing(programs: Programs) -> None:
    async def run() -> None:
        async with Manager(ManagerOptions(password=PASSWORD)) as manager:
            silent = [await asyncio.open_connection("127.0.0.1", manager.port) for _ in range(300)]
            try:
                programs.start("ours", manager.port)
                manager.submit(Task(command="echo fine"))
                result = await manager.wait(SECONDS)
                assert result is not None
                assert result.output == b"fine\n"
            finally:
                for _, writer in silent:
                    writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("kind", [pytest.param("debian", marks=pytest.mark.workqueue), "ours"])
def test_chaos__workers_die_all_the_time__every_task_ends_once(
    kind: str, programs: Programs, tmp_path: Path
) -> None:
    count, seed = 600, 20261122
    chance = random.Random(seed)
    (tmp_path / "input").write_text("x" * 10_000)
    given = (InputFile("input", str(tmp_path / "input")),)

    def make(number: int) -> Task:
        command = f"wc -c < input; echo {number}"
        return Task(command=command, inputs=given, resources=Resources(1, 50, 50), max_retries=None)

    async def run() -> list[TaskResult]:
        options = ManagerOptions(password=PASSWORD, keepalive_interval=1.0, keepalive_timeout=2.0)
        async with Manager(options) as manager:
            workers = [programs.start(kind, manager.port) for _ in range(2)]
            for number in range(1, count + 1):
                manager.submit(make(number))
            results: list[TaskResult] = []
            deaths = 0
            async with asyncio.timeout(4 * SECONDS):
                while len(results) < count:
                    result = await manager.wait(0.2)
                    if result is not None:
                        results.append(result)
                    if deaths < 6 and len(results) > 60 * deaths:
                        deaths += 1
                        workers.pop(chance.randrange(len(workers))).kill()
                    # One that is taken for dead, because it was not heard for too long, leaves by itself.
                    workers = [worker for worker in workers if worker.poll() is None]
                    workers += [programs.start(kind, manager.port) for _ in range(2 - len(workers))]
            assert await manager.wait(0.1) is None
            assert deaths == 6
            return results

    results = asyncio.run(run())
    assert Counter(result.task_id for result in results) == Counter(range(1, count + 1))
    assert {result.code for result in results} == {ResultCode.SUCCESS}
    assert all(result.output == b"10000\n%d\n" % result.task_id for result in results)


def test_disk__output_cannot_be_stored__that_task_fails_alone(programs: Programs, tmp_path: Path) -> None:
    full = OutputFile("out", "/dev/full/out")
    fine = OutputFile("out", str(tmp_path / "fine"))

    async def run() -> None:
        async with Manager(ManagerOptions(password=PASSWORD)) as manager:
            programs.start("ours", manager.port)
            bad = manager.submit(Task(command="echo x > out", resources=SMALL, outputs=(full,)))
            good = manager.submit(Task(command="echo x > out", resources=SMALL, outputs=(fine,)))
            results = {}
            for _ in range(2):
                result = await manager.wait(SECONDS)
                assert result is not None
                results[result.task_id] = result
            assert results[bad].code is ResultCode.OUTPUT_MISSING
            assert "`/dev/full/out` cannot be stored" in results[bad].message
            assert results[good].is_success

    asyncio.run(run())
    assert (tmp_path / "fine").read_text() == "x\n"


DIALECT = GREETING.replace(b"info worker-id worker-1\n", b"info worker-id worker-1\nfeature wq-package-1\n")


@pytest.mark.parametrize("word", [b"name", b"available_results"])
def test_hostile_worker__asks_without_end_and_reads_nothing__is_dropped_alone(word: bytes) -> None:
    async def run() -> None:
        options = ManagerOptions(name="n" * 200, password=None)
        async with (
            Manager(options) as manager,
            connect(manager) as (reader, writer),
            connect(manager) as (_, liar),
        ):
            writer.write(GREETING)
            liar.write(DIALECT + (word + b"\n") * 150_000)
            manager.submit(Task(command="true", resources=Resources(cores=1), max_retries=None))
            await serve_one(manager, reader, writer)
            async with asyncio.timeout(SECONDS):
                while manager.statistics().workers_connected > 1:  # noqa: ASYNC110 - nothing to wait for
                    await asyncio.sleep(0.05)

    asyncio.run(run())


def test_hostile_worker__goes_in_the_middle_of_a_deep_folder__its_task_runs_elsewhere(tmp_path: Path) -> None:
    async def run() -> None:
        async with Manager(ManagerOptions(password=None)) as manager:
            async with connect_for_output(manager, tmp_path / "got") as (reader, writer):
                folders = (b"dir out-1-0-0" + b"/a" * levels + b" 0\n" for levels in range(1300))
                writer.write(b"".join(folders) + b"garbage\n")
                await expect_end(reader)
            async with connect(manager) as (reader, writer):
                writer.write(GREETING)
                async with asyncio.timeout(SECONDS):
                    await reader.readuntil(b"task 1\n")

    asyncio.run(run())
    assert list(tmp_path.iterdir()) == []


def test_worker__sends_a_body_slowly__is_heard(tmp_path: Path) -> None:
    """In the middle of a body nobody can say `alive`: what comes of it is the answer, and another question follows."""

    async def run() -> None:
        options = ManagerOptions(password=None, keepalive_interval=0.1, keepalive_timeout=SECONDS / 2)
        async with (
            Manager(options) as manager,
            connect_for_output(manager, tmp_path / "got") as (reader, writer),
        ):
            writer.write(b"file out-1-0-0 3\n")
            for _ in range(3):
                async with asyncio.timeout(SECONDS / 2):
                    await reader.readuntil(b"check\n")
                writer.write(b"x")
            writer.write(b"end\n")
            result = await manager.wait(SECONDS)
            assert result is not None
            assert result.code is ResultCode.SUCCESS

    asyncio.run(run())


@pytest.mark.parametrize("word", [b"alive\n", b"file out-1-0-0/%d 0\n"], ids=["no answer", "endless answer"])
def test_hostile_worker__owes_an_output_for_ever__is_dropped(word: bytes, tmp_path: Path) -> None:
    async def run() -> None:
        options = ManagerOptions(password=None, min_transfer_timeout=1.0)
        async with (
            Manager(options) as manager,
            connect_for_output(manager, tmp_path / "got") as (reader, writer),
        ):
            ended = asyncio.create_task(expect_end(reader))
            writer.write(b"dir out-1-0-0 0\n")
            for number in range(1000):
                if ended.done():
                    break
                writer.write(word % number if b"%d" in word else word)
                await asyncio.wait({ended}, timeout=0.5)
            await ended
            assert manager.statistics().tasks_left == 1
        assert not (tmp_path / "got").exists()

    asyncio.run(run())


def test_worker__sends_a_body_too_slowly__is_dropped(tmp_path: Path) -> None:
    async def run() -> None:
        options = ManagerOptions(password=None, min_transfer_timeout=1.0)
        async with (
            Manager(options) as manager,
            connect_for_output(manager, tmp_path / "got") as (reader, writer),
        ):
            writer.write(b"file out-1-0-0 6\nx")
            await expect_end(reader)
            statistics = manager.statistics()
            assert (statistics.tasks_done, statistics.tasks_left, statistics.workers_lost) == (0, 1, 1)

    asyncio.run(run())

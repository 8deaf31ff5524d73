"""Our manager with Debian's `work_queue_worker`, and with our own worker: the same tasks, the same results."""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from manager_programs import NEWER, PASSWORD, SECONDS, SMALL, Programs, make_call
from wq_package.manager import Manager, ManagerOptions
from wq_package.task import InputFile, OutputFile, Resources, ResultCode, Task, TaskResult

KINDS = [pytest.param("debian", marks=pytest.mark.workqueue), "ours", *["newer"] * bool(NEWER)]


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path)
    yield programs
    programs.stop()


@asynccontextmanager
async def run_manager(**options: Any) -> AsyncIterator[Manager]:
    async with Manager(ManagerOptions(password=PASSWORD, **options)) as manager:
        yield manager


async def wait_result(manager: Manager) -> TaskResult:
    result = await manager.wait(SECONDS)
    assert result is not None, "no result came"
    return result


async def run_tasks(manager: Manager, *tasks: Task) -> list[TaskResult]:
    """Run tasks, and give their results in the order of the tasks."""
    task_ids = [manager.submit(task) for task in tasks]
    results = {result.task_id: result for result in [await wait_result(manager) for _ in tasks]}
    return [results[task_id] for task_id in task_ids]


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.01)


async def wait_until_running(manager: Manager, count: int = 1) -> None:
    await wait_until(lambda: manager.statistics().tasks_running >= count)


async def wait_for_workers(manager: Manager, count: int) -> None:
    await wait_until(lambda: manager.statistics().workers_connected == count)


@pytest.mark.parametrize("kind", KINDS)
def test_files__every_kind__arrives_and_comes_back(kind: str, programs: Programs, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    (folder / "sub dir").mkdir(parents=True)
    (folder / "sub dir" / "b c.txt").write_text("BBBB")
    (folder / "link").symlink_to("run.sh")
    (folder / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "empty").mkdir()
    (tmp_path / "plain.txt").write_text("plain")
    (tmp_path / "blank name é.txt").write_text("odd")
    command = """
        cat plain.txt in/plain2.txt 'in/odd é.txt' buffer; ./folder/run.sh; ./folder/link; cat 'folder/sub dir/b c.txt'
        test -d folder/empty && echo made; echo "$VARIABLE"
        mkdir -p out/deep out/void; echo one > out/deep/x; echo two > 'out/y z'; printf result > result.txt
    """
    task = Task(
        command=command,
        resources=SMALL,
        inputs=(
            InputFile("plain.txt", str(tmp_path / "plain.txt")),
            InputFile("in/plain2.txt", str(tmp_path / "plain.txt"), cache=False),
            InputFile("in/odd é.txt", str(tmp_path / "blank name é.txt")),
            InputFile("buffer", content=b"buffer"),
            InputFile("folder", str(folder)),
        ),
        outputs=(
            OutputFile("out", str(tmp_path / "got")),
            OutputFile("result.txt", str(tmp_path / "deep" / "got blank.txt")),
        ),
        variables=(("VARIABLE", "a=b 'c'\nd"),),
    )

    async def run() -> None:
        async with run_manager() as manager:
            programs.start(kind, manager.port)
            for result in await run_tasks(manager, task, task):
                expected = b"plainplainoddbufferran\nran\nBBBBmade\na=b 'c'\nd\n"
                assert (result.code, result.exit_code, result.output) == (ResultCode.SUCCESS, 0, expected), (
                    result
                )

    asyncio.run(run())
    got = tmp_path / "got"
    assert sorted(str(path.relative_to(got)) for path in got.rglob("*")) == ["deep", "deep/x", "void", "y z"]
    assert (got / "y z").read_text() == "two\n"
    assert (tmp_path / "deep" / "got blank.txt").read_text() == "result"
    # Not below the worker's own folder, which it may be clearing at this moment.
    places = (tmp_path, tmp_path / "deep", *(path for path in (got, *got.rglob("*")) if path.is_dir()))
    assert [path for place in places for path in place.iterdir() if "partial" in path.name] == []


@pytest.mark.parametrize("kind", KINDS)
def test_input__not_cached_and_written_to__is_whole_for_the_next_task(
    kind: str, programs: Programs, tmp_path: Path
) -> None:
    original = tmp_path / "input.txt"
    original.write_text("whole")
    task = Task(
        command="cat input.txt; echo spoilt > input.txt",
        resources=SMALL,
        inputs=(InputFile("input.txt", str(original), cache=False),),
    )

    async def run() -> None:
        async with run_manager() as manager:
            programs.start(kind, manager.port)
            assert [result.output for result in await run_tasks(manager, *[task] * 5)] == [b"whole"] * 5

    asyncio.run(run())
    assert original.read_text() == "whole"


@pytest.mark.parametrize("kind", KINDS)
def test_input__cached__is_sent_once_for_many_tasks(kind: str, programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(3_000_000))
    task = Task(
        command="wc -c < large", resources=SMALL, inputs=(InputFile("large", str(tmp_path / "large")),)
    )

    async def run() -> None:
        async with run_manager() as manager:
            programs.start(kind, manager.port)
            results = await run_tasks(manager, *[task] * 20)
            assert {result.output for result in results} == {b"3000000\n"}
            assert 3_000_000 <= manager.statistics().bytes_sent < 4_000_000

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_failures__each__has_its_own_result(kind: str, programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    tasks = (
        Task(command="exit 3", resources=SMALL),
        Task(command="no-such-command-at-all", resources=SMALL),
        Task(command="./script", resources=SMALL, inputs=(InputFile("script", str(tmp_path / "script")),)),
        Task(command="true", resources=SMALL, outputs=(OutputFile("never.txt", str(tmp_path / "never")),)),
        Task(command="true", resources=SMALL, inputs=(InputFile("a", str(tmp_path / "absent")),)),
    )

    async def run() -> list[TaskResult]:
        async with run_manager() as manager:
            programs.start(kind, manager.port)
            return await run_tasks(manager, *tasks)

    exited, unknown, forbidden, missing, absent = asyncio.run(run())
    assert (exited.code, exited.exit_code) == (ResultCode.SUCCESS, 3)
    assert (unknown.exit_code, b"not found" in unknown.output) == (127, True)
    assert forbidden.exit_code == 126
    assert (missing.code, missing.missing_outputs) == (ResultCode.OUTPUT_MISSING, ("never.txt",))
    assert absent.code is ResultCode.INPUT_MISSING
    assert "absent` cannot be read" in absent.message
    assert not (tmp_path / "never").exists()


def become_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def grow(path: Path) -> None:
    with path.open("a") as file:
        file.write("more")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("change", "words"), [(Path.unlink, "No such file"), (become_pipe, "not a file"), (grow, "has changed")]
)
def test_input__changes_after_submission__that_task_fails_alone(
    kind: str, change: Callable[[Path], None], words: str, programs: Programs, tmp_path: Path
) -> None:
    path = tmp_path / "input"
    path.write_text("here")
    task = Task(command="cat input", resources=SMALL, inputs=(InputFile("input", str(path)),))

    async def run() -> None:
        async with run_manager() as manager:
            first = manager.submit(task)
            await wait_until(lambda: manager.statistics().tasks_waiting == 1)
            change(path)
            other = manager.submit(Task(command="echo fine", resources=SMALL))
            programs.start(kind, manager.port)
            results = {result.task_id: result for result in [await wait_result(manager) for _ in range(2)]}
            assert results[first].code is ResultCode.INPUT_MISSING
            assert words in results[first].message
            assert results[other].output == b"fine\n"
            assert manager.statistics().workers_lost == 0

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_thousand_tasks__all_end_once(kind: str, programs: Programs) -> None:
    async def run() -> None:
        async with run_manager() as manager:
            programs.start(kind, manager.port, cores=4)
            tasks = [Task(command=f"echo {number}", resources=SMALL) for number in range(1000)]
            results = await run_tasks(manager, *tasks)
            assert [int(result.output) for result in results] == list(range(1000))
            assert await manager.wait(0.2) is None
            assert manager.statistics().retries == 0

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_cancel__running__ends_the_process(kind: str, programs: Programs, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    async def run() -> None:
        async with run_manager() as manager:
            programs.start(kind, manager.port)
            task_id = manager.submit(
                Task(command=f"echo $$ > {pid_file}.part; mv {pid_file}.part {pid_file}; exec sleep 300")
            )
            waiting = manager.submit(Task(command="echo next"))
            await wait_until(pid_file.exists)
            process = os.pidfd_open(
                int(pid_file.read_text())
            )  # its number may be somebody else's once it has ended
            manager.cancel(task_id)
            first, second = await wait_result(manager), await wait_result(manager)
            assert (first.task_id, first.code) == (task_id, ResultCode.CANCELLED)
            assert (second.task_id, second.output) == (waiting, b"next\n")
            try:
                ended, _, _ = await asyncio.to_thread(select.select, [process], [], [], SECONDS)
                assert ended
            finally:
                os.close(process)

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_wall_time__is_enforced_by_us(kind: str, programs: Programs) -> None:
    async def run() -> None:
        async with run_manager() as manager:
            programs.start(kind, manager.port)
            await wait_for_workers(manager, 1)
            slow, ended, quick = await run_tasks(
                manager,
                Task(command="sleep 300", resources=SMALL, wall_time=1.0),
                Task(command="sleep 300", resources=SMALL, end_time=time.time() + 1.5),
                Task(command="true", resources=SMALL, wall_time=300.0),
            )
            assert (slow.code, ended.code) == (ResultCode.WALL_TIME, ResultCode.END_TIME)
            assert quick.is_success

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_worker__killed_with_tasks_running__they_run_elsewhere(
    kind: str, programs: Programs, tmp_path: Path
) -> None:
    async def run() -> None:
        # Tasks of Debian's worker hold its connection open after its death: only silence tells.
        async with run_manager(keepalive_interval=1.0, keepalive_timeout=5.0) as manager:
            first = programs.start(kind, manager.port)
            command = f"test -e {tmp_path}/again && echo done && exit; touch {tmp_path}/began; exec sleep 300"
            task_ids = {manager.submit(Task(command=command, resources=SMALL)) for _ in range(4)}
            await wait_until((tmp_path / "began").exists)
            (tmp_path / "again").touch()
            first.kill()
            programs.start(kind, manager.port)
            results = [await wait_result(manager) for _ in task_ids]
            assert {result.task_id for result in results} == task_ids
            assert {result.output for result in results} == {b"done\n"}
            assert manager.statistics().workers_lost >= 1  # a slow one may have been taken for dead, too

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_poison_task__breaks_every_worker__is_given_up(kind: str, programs: Programs) -> None:
    command = "kill -9 $(basename $WORK_QUEUE_SANDBOX | cut -d- -f3)"  # worker-UID-PID

    async def run() -> TaskResult:
        async with run_manager() as manager:
            manager.submit(Task(command=command, max_retries=1))
            for _ in range(2):
                process = programs.start(kind, manager.port)
                await asyncio.to_thread(process.wait, SECONDS)
                programs.kill(process)
            return await wait_result(manager)

    result = asyncio.run(run())
    assert result.code is ResultCode.MAX_RETRIES
    assert result.message.startswith("2 workers were lost while they ran this task")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [b"sesame", b"other\n", None])
def test_password__wrong_or_missing__the_worker_gets_no_task(
    kind: str, wrong: bytes | None, programs: Programs, tmp_path: Path
) -> None:
    password_file = tmp_path / "wrong"
    password_file.write_bytes(wrong or b"")

    async def run() -> None:
        # Without a password of its own, the manager must not let in a worker that insists on one.
        password = None if wrong is None else PASSWORD
        async with Manager(ManagerOptions(password=password)) as manager:
            manager.submit(Task(command="true"))
            process = programs.start(kind, manager.port, password=password_file if wrong else None)
            if kind == "ours":
                assert await asyncio.to_thread(process.wait, SECONDS) != 0
            else:
                said = tmp_path / "worker0.out"
                await asyncio.to_thread(programs.wait_until, lambda: b"wrong password" in said.read_bytes())
            assert manager.statistics().dispatches == 0

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_stop__releases_the_worker_and_ends_what_is_left(kind: str, programs: Programs) -> None:
    async def run() -> list[TaskResult]:
        results: list[TaskResult] = []
        async with run_manager(on_result=results.append) as manager:
            process = programs.start(kind, manager.port)
            manager.submit(Task(command="sleep 300"))
            manager.submit(Task(command="true"))
            await wait_until_running(manager)
        await asyncio.to_thread(process.wait, SECONDS)
        return results

    assert [result.code for result in asyncio.run(run())] == [ResultCode.CANCELLED] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_worker__stopped_like_a_hung_machine__is_dropped_and_its_task_runs_elsewhere(
    kind: str, programs: Programs
) -> None:
    async def run() -> None:
        async with run_manager(keepalive_interval=1.0, keepalive_timeout=5.0) as manager:
            hung = programs.start(kind, manager.port)
            task_id = manager.submit(Task(command="sleep 2; echo done"))
            await wait_until_running(manager)
            os.killpg(hung.pid, signal.SIGSTOP)
            await wait_for_workers(manager, 0)
            programs.start(kind, manager.port)
            result = await wait_result(manager)
            assert (result.task_id, result.output) == (task_id, b"done\n")

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_call__no_environment__runs_in_the_workers_own_python(kind: str, programs: Programs) -> None:
    # Debian's worker runs /usr/bin/python3, which has no cloudpickle: a builtin needs none.
    async def run() -> None:
        async with run_manager() as manager:
            programs.start(kind, manager.port)
            task = make_call(divmod, 17, 5)
            (result,) = await run_tasks(manager, task)
            assert (result.code, result.exit_code) == (ResultCode.SUCCESS, 0), result
            assert pickle.loads(result.value) == (True, (3, 2))
            (result,) = await run_tasks(manager, make_call(divmod, 17, 0))
            assert (result.code, result.exit_code) == (ResultCode.SUCCESS, 1), result
            is_returned, bundle = pickle.loads(result.value)
            assert (is_returned, bundle["type"]) == (False, "ZeroDivisionError")

    asyncio.run(run())


def test_calls__many_on_our_worker__all_end_once(programs: Programs) -> None:
    async def run() -> None:
        async with run_manager() as manager:
            programs.start("ours", manager.port)
            results = await run_tasks(manager, *[make_call(divmod, number, 7) for number in range(2000)])
            assert all(result.is_success for result in results)
            assert manager.statistics().bytes_sent < 1_000_000

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["call", "command"])
def test_tasks__behind_one_that_turns_out_long__are_run_by_another_worker(
    kind: str, programs: Programs, tmp_path: Path
) -> None:
    ended = tmp_path / "ended"

    def make(number: int, wait_for: Path | None = None) -> Task:
        """One that notes its number, and before that waits for a file if it is told to."""
        if kind == "command":
            wait = f"while ! test -e {wait_for}; do sleep 0.05; done; " if wait_for else ""
            return Task(command=f"{wait}echo {number} >> {ended}", resources=SMALL)
        return make_call(note_number, str(ended), number, str(wait_for) if wait_for else None)

    async def run() -> None:
        async with run_manager() as manager:
            programs.start("ours", manager.port, cores=1)
            await run_tasks(manager, *[make(number) for number in range(100)])  # they are short, it is learnt
            long = manager.submit(make(100, tmp_path / "go"))
            behind = {manager.submit(make(number)) for number in range(101, 105)}
            await wait_until(lambda: manager.statistics().tasks_left == 5)
            await wait_until_running(manager)
            sent_ahead = manager.statistics().tasks_running - 1  # all four, unless this machine is very slow
            await wait_until(lambda: manager.statistics().tasks_recalled == sent_ahead)
            programs.start("ours", manager.port, cores=1)
            results = [await wait_result(manager) for _ in behind]
            assert {result.task_id for result in results} == behind
            (tmp_path / "go").touch()
            assert (await wait_result(manager)).task_id == long

    asyncio.run(run())
    assert sorted(map(int, ended.read_text().split())) == list(range(105))  # none ran twice


def note_number(path: str, number: int, wait_for: str | None) -> None:
    while wait_for and not Path(wait_for).exists():
        time.sleep(0.05)
    with Path(path).open("a") as file:
        file.write(f"{number}\n")


@pytest.mark.parametrize("kind", KINDS)
def test_fast_abort__worker_like_a_hung_one__its_task_runs_elsewhere(
    kind: str, programs: Programs, tmp_path: Path
) -> None:
    # The first attempt of the last task hangs, and only that one: as on a machine that has a fault.
    command = f"mkdir {tmp_path}/first 2> /dev/null && exec sleep 600; echo done"

    async def run() -> None:
        async with run_manager(fast_abort_multiplier=40.0) as manager:
            programs.start(kind, manager.port, cores=1)
            await run_tasks(manager, *[Task(command="sleep 0.1", resources=SMALL)] * 10)
            slow = manager.submit(Task(command=command, resources=SMALL))
            await wait_until((tmp_path / "first").exists)
            programs.start(kind, manager.port, cores=1)
            result = await wait_result(manager)
            assert (result.task_id, result.output) == (slow, b"done\n")
            assert manager.statistics().retries >= 1

    asyncio.run(run())


def test_resources__unservable__is_counted_and_others_go_on(programs: Programs) -> None:
    async def run() -> None:
        async with run_manager() as manager:
            programs.start("ours", manager.port)
            manager.submit(Task(command="true", resources=Resources(64, 10, 10)))
            fine = manager.submit(Task(command="true", resources=SMALL))
            assert (await wait_result(manager)).task_id == fine
            await wait_until(lambda: manager.statistics().tasks_unservable == 1)

    asyncio.run(run())

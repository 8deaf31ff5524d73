"""Our worker, run as a process, with calls from a manager of a few lines."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from worker_peers import SECONDS, FakeManager, RunningWorker, make_environment, pair, start_worker
from wq_package.protocol import messages as m

MODES = pytest.mark.parametrize("mode", ["in-place", "fork"])


def add(a: int, b: int) -> int:
    return a + b


def shout(text: str) -> int:
    sys.stdout.write(text + "\n")
    os.write(2, b"and this\n")
    return len(text)


def fail(text: str) -> None:
    raise ValueError(text)


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def leave(code: int) -> None:
    os._exit(code)


def get_pid() -> int:
    return os.getpid()


def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


def wait_for_file(path: str) -> int:
    Path(path).with_suffix(".begun").touch()
    while not Path(path).exists():
        time.sleep(0.005)
    return os.getpid()


def spawn_daemon(path: str) -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        Path(path).write_text(str(os.getpid()))
        time.sleep(600)
        os._exit(0)
    while not Path(path).exists() or not Path(path).read_text():
        time.sleep(0.005)


def keep_child(path: str) -> bool:
    """Leave a process to whoever adopts it, as shells do, and tell whether it runs still when a file is there."""
    out, into = os.pipe()
    if os.fork() == 0:
        pid = os.fork()
        if pid == 0:
            os.close(out)
            time.sleep(600)
        os.write(into, str(pid).encode())
        os._exit(0)
    pid = int(os.read(out, 20))
    os.wait()
    wait_for_file(path)
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"


def draw() -> float:
    return random.random()  # the module is loaded with the function, before the forks


def fork_with_a_thread() -> list[str]:
    """Fork while another thread runs, and tell which threads the child believes in."""
    import threading

    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    out, into = os.pipe()
    if os.fork() == 0:
        os.write(into, " ".join(each.name for each in threading.enumerate()).encode())
        os._exit(0)
    names = os.read(out, 1000).decode().split()
    go.set()
    thread.join()
    os.wait()
    return names


def join_files() -> tuple[list[str], str]:
    text = Path("in.txt").read_text()
    with Path("in.txt").open("a") as file:
        file.write("spoiled")
    Path("out").mkdir()
    Path("out/copy.txt").write_text(text.upper())
    return sorted(path.name for path in Path.cwd().iterdir()), text


def get_variable(name: str) -> str | None:
    return os.environ.get(name)


def import_greeting() -> str:
    import greeting  # type: ignore[import-not-found] # it is in the environment only

    text: str = greeting.TEXT
    return text


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in "ZX"


async def settle(condition: Any, seconds: float = SECONDS) -> None:
    """Wait for something that only the system can tell."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        await asyncio.sleep(0.01)


async def leave_well(manager: FakeManager, worker: RunningWorker) -> None:
    manager.send(m.Exit())
    assert await worker.wait() == 0, worker.errors
    assert list(worker.workdir.iterdir()) == []


@MODES
def test_call__returns__its_value_comes_back(tmp_path: Path, mode: str) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            answer = await manager.run(add, 2, 3, mode=mode)
            assert (answer.value, answer.result.status, answer.result.exit_code) == (5, "success", 0)
            assert answer.printed == b""
            assert answer.result.usec > 0
            assert 0 <= answer.result.memory_mb < 20  # what the interpreter itself holds does not count
            await leave_well(manager, worker)

    asyncio.run(run())


@MODES
def test_call__prints__is_captured_for_that_call_alone(tmp_path: Path, mode: str) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            loud = manager.call(shout, "hello", mode=mode)
            quiet = manager.call(add, 1, 2, mode=mode)
            long = manager.call(shout, "x" * 300_000, mode=mode)
            assert sorted((await manager.answer(loud)).printed.split(b"\n")) == [b"", b"and this", b"hello"]
            assert (await manager.answer(quiet)).printed == b""
            answer = await manager.answer(long)
            assert answer.value == 300_000
            assert len(answer.printed) == 300_001 + len(b"and this\n")
            await leave_well(manager, worker)

    asyncio.run(run())


@MODES
def test_call__raises__the_exception_comes_back_whole(tmp_path: Path, mode: str) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            answer = await manager.run(fail, "no good", mode=mode)
            assert (answer.result.status, answer.result.exit_code) == ("success", 1)
            assert (answer.error["type"], answer.error["text"]) == ("ValueError", "no good")
            assert "raise ValueError(text)" in answer.error["traceback"]
            assert "run_call.py" not in answer.error["traceback"]
            await leave_well(manager, worker)

    asyncio.run(run())


@MODES
def test_call__result_cannot_be_pickled__says_so(tmp_path: Path, mode: str) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            answer = await manager.run(lambda: iter(os.scandir("/")), mode=mode)
            assert answer.error["type"] == "PicklingError"
            assert "ScandirIterator" in answer.error["text"]
            await leave_well(manager, worker)

    asyncio.run(run())


@MODES
@pytest.mark.parametrize(
    ("function", "argument", "number", "code", "words"),
    [(die, signal.SIGSEGV, signal.SIGSEGV, 0, "SIGSEGV"), (leave, 3, 0, 3, "exit code 3")],
)
def test_call__kills_its_interpreter__fails_alone(
    tmp_path: Path, mode: str, function: Any, argument: int, number: int, code: int, words: str
) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            before = [manager.call(add, index, 1, mode=mode) for index in range(20)]
            lost = manager.call(function, argument, mode=mode)
            after = [manager.call(add, index, 2, mode=mode) for index in range(20)]
            answer = await manager.answer(lost) if lost in manager.answers else None
            await manager.wait_for(
                lambda: any(
                    isinstance(event, m.CallResult) and event.task_id == lost for event in manager.seen
                )
            )
            result = next(e for e in manager.seen if isinstance(e, m.CallResult) and e.task_id == lost)
            assert answer is None or answer.result == result
            assert result.status == "the call ended its interpreter"
            assert (result.signal, result.exit_code) == (number, code)
            assert words in result.message
            assert [(await manager.answer(each)).value for each in before] == [
                index + 1 for index in range(20)
            ]
            assert [(await manager.answer(each)).value for each in after] == [
                index + 2 for index in range(20)
            ]
            await leave_well(manager, worker)

    asyncio.run(run())


@MODES
def test_call__over_its_wall_time__is_killed_and_others_go_on(tmp_path: Path, mode: str) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            began = time.monotonic()
            slow = manager.call(sleep, 600, mode=mode, wall_time=0.3)
            quick = manager.call(add, 1, 1, mode=mode)
            assert (await manager.answer(quick)).value == 2
            answer = await manager.answer(slow)
            assert answer.result.status == "wall time exceeded"
            assert time.monotonic() - began >= 0.3
            assert (await manager.run(add, 2, 2, mode=mode)).value == 4
            await leave_well(manager, worker)

    asyncio.run(run())


@MODES
def test_call__killed_by_the_manager__gives_no_result_and_frees_its_place(tmp_path: Path, mode: str) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            begun = tmp_path / "never.begun"
            stuck = [manager.call(wait_for_file, str(tmp_path / "never"), mode=mode, cores=2.0)]
            waiting = manager.call(add, 1, 1, mode=mode)
            await settle(begun.exists)
            for number in stuck:
                manager.send(m.Kill(number))
            assert (await manager.answer(waiting)).value == 2
            assert not any(number in manager.answers for number in stuck)
            await leave_well(manager, worker)

    asyncio.run(run())


def test_calls__short_ones_behind_a_long_one__are_taken_to_the_free_host(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            digest = manager.define(add)
            warm = [manager.call(digest, index, 0) for index in range(200)]
            for number in warm:
                await manager.answer(number)
            # Both hosts have been quick, so calls are sent ahead: some wait behind the long one.
            long = manager.call(wait_for_file, str(tmp_path / "go"))
            short = [manager.call(digest, index, 5) for index in range(50)]
            assert [(await manager.answer(number)).value for number in short] == [
                index + 5 for index in range(50)
            ]
            (tmp_path / "go").touch()
            await manager.answer(long)
            await leave_well(manager, worker)

    asyncio.run(run())


def test_calls__in_place__run_in_two_hosts_that_stay(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            digest = manager.define(get_pid)
            numbers = [manager.call(digest) for _ in range(50)]
            pids = {(await manager.answer(number)).value for number in numbers}
            assert 1 <= len(pids) <= 2
            await leave_well(manager, worker)
            assert not any(is_alive(pid) for pid in pids)

    asyncio.run(run())


def test_calls__forked__each_in_a_process_of_its_own(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            digest = manager.define(get_pid)
            numbers = [manager.call(digest, mode="fork") for _ in range(10)]
            pids = [(await manager.answer(number)).value for number in numbers]
            assert len(set(pids)) == 10
            await leave_well(manager, worker)

    asyncio.run(run())


def test_calls__forked__waiting_child_is_killed__the_next_call_runs_all_the_same(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            host = (await manager.run(os.getppid, mode="fork")).value
            for _ in range(3):
                children = list_children(host)
                for child in children:
                    os.kill(child, signal.SIGKILL)
                await settle(lambda gone=children: not any(map(is_alive, gone)))
                assert (await manager.run(add, 1, 2, mode="fork")).value == 3
            await leave_well(manager, worker)

    asyncio.run(run())


def list_children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_calls__forked__random_numbers_differ_and_forks_of_their_own_are_sound(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            drawn = [(await manager.run(draw, mode="fork")).value for _ in range(5)]
            assert len(set(drawn)) == 5
            assert (await manager.run(fork_with_a_thread, mode="fork")).value == ["MainThread"]
            await leave_well(manager, worker)

    asyncio.run(run())


def test_call__forked__daemon_of_it_is_killed_while_younger_calls_run(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            daemon = manager.call(spawn_daemon, str(tmp_path / "pid"), mode="fork")
            await manager.answer(daemon)
            await asyncio.sleep(
                0.05
            )  # the system does not tell which began first of what began in the same tick
            younger = manager.call(wait_for_file, str(tmp_path / "go"), mode="fork")
            pid = int((tmp_path / "pid").read_text())
            await settle(lambda: not is_alive(pid))
            (tmp_path / "go").touch()
            await manager.answer(younger)
            await leave_well(manager, worker)

    asyncio.run(run())


def test_call__forked__its_own_background_process_is_left_alone_while_it_runs(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path, "--cores", "2") as (manager, worker):
            quick, slow = manager.define(add), manager.define(keep_child)
            await manager.run(quick, 1, 2, mode="fork")
            for turn in range(5):  # of a tick of the system, where it begins is chance
                place = tmp_path / f"go{turn}"
                number = manager.call(slow, str(place), mode="fork")
                await settle(place.with_suffix(".begun").exists)
                for _ in range(3):
                    await manager.run(quick, 1, 2, mode="fork")
                    await asyncio.sleep(0.06)  # what calls leave behind is looked for now and then
                place.touch()
                assert (await manager.answer(number)).value is True
            await leave_well(manager, worker)

    asyncio.run(run())


def test_call__forked__what_it_leaves_behind_is_killed(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            await manager.run(spawn_daemon, str(tmp_path / "pid"), mode="fork")
            pid = int((tmp_path / "pid").read_text())
            await settle(lambda: not is_alive(pid))
            await leave_well(manager, worker)

    asyncio.run(run())


@MODES
def test_call__large_argument_and_result__travel_as_files(tmp_path: Path, mode: str) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            body = os.urandom(1 << 20) * 20
            number = manager.call(lambda data: data[::-1], body, mode=mode)
            manager.send(m.Check())
            answer = await manager.answer(number)
            assert hashlib.sha256(answer.value).digest() == hashlib.sha256(body[::-1]).digest()
            await leave_well(manager, worker)

    asyncio.run(run())


@MODES
def test_call__files_and_variables__are_its_own(tmp_path: Path, mode: str) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            manager.send(m.Put("in", 5, 0o644), b"hello")
            options: dict[str, Any] = {
                "inputs": (m.TaskFile("in", "in.txt", m.FileFlags.CACHE),),
                "outputs": (m.TaskFile("o1", "out"), m.TaskFile("o2", "never")),
                "mode": mode,
            }
            for _ in range(2):  # the second sees that the first has not altered the cached file
                answer = await manager.run(join_files, **options)
                assert answer.value == (["in.txt", "out"], "hello")
                assert answer.result.missing == ("never",)
            manager.send(m.Get("o1"))
            await manager.wait_for_message(m.End)
            assert (m.File("o1/copy.txt", 5), b"HELLO") in manager.bodies
            assert (
                await manager.run(get_variable, "FOO", variables=(("FOO", "bar"),), mode=mode)
            ).value == "bar"
            assert (await manager.run(get_variable, "FOO", mode=mode)).value is None
            await leave_well(manager, worker)

    asyncio.run(run())


def test_call__missing_input__fails_alone(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            number = manager.call(add, 1, 1, inputs=(m.TaskFile("nothing", "in.txt"),))
            assert (await manager.answer(number)).result.status == "input missing"
            assert (await manager.run(add, 1, 1)).value == 2
            await leave_well(manager, worker)

    asyncio.run(run())


def test_call__larger_than_the_worker__is_given_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            answer = await manager.run(add, 1, 1, cores=64.0)
            assert answer.result.status == "no worker can run it"
            await leave_well(manager, worker)

    asyncio.run(run())


def test_environment__offered__calls_run_in_it_and_it_stays_for_the_next_worker(tmp_path: Path) -> None:
    async def run() -> None:
        environment = make_environment(
            {"greeting.py": b"TEXT = 'hello from inside'\n"}, imports=("greeting",)
        )
        async with pair(tmp_path) as (manager, worker):
            assert await manager.offer(environment) == m.EnvironmentReady(environment.digest)
            answer = await manager.run(import_greeting, environment=environment.digest)
            assert answer.value == "hello from inside"
            assert (
                await manager.run(get_variable, "CONDA_PREFIX", environment=environment.digest)
            ).value == str(tmp_path / "store" / "envs" / environment.digest)
            await leave_well(manager, worker)
        async with pair(tmp_path) as (manager, worker):
            manager.send(environment.offer)
            assert await manager.wait_for_message(m.LayersWanted) == m.LayersWanted(environment.digest, ())
            await manager.wait_for_message(m.EnvironmentReady)
            await leave_well(manager, worker)

    asyncio.run(run())


def test_environment__call_sent_before_it_is_ready__waits_for_it(tmp_path: Path) -> None:
    async def run() -> None:
        environment = make_environment({"greeting.py": b"TEXT = 'late'\n"})
        async with pair(tmp_path) as (manager, worker):
            manager.send(environment.offer)
            number = manager.call(import_greeting, environment=environment.digest)
            wanted = await manager.wait_for_message(m.LayersWanted)
            for digest in wanted.digests:
                body = environment.bodies[digest]
                manager.send(m.Layer(digest, len(body)), body)
            assert (await manager.answer(number)).value == "late"
            await leave_well(manager, worker)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"files": {"greeting.py": b"import nowhere_to_be_found\n"}, "imports": ("greeting",)},
            "nowhere_to_be_found",
        ),
        ({"files": {"greeting.py": b"import os; os.abort()\n"}, "imports": ("greeting",)}, "SIGABRT"),
        ({"files": {}, "machine": "sparc64"}, "sparc64"),
        ({"files": {}, "glibc": (99, 1)}, "99.1"),
    ],
    ids=["import fails", "import kills", "other machine", "newer C library"],
)
def test_environment__cannot_be_used__its_calls_fail_with_one_sentence(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    async def run() -> None:
        environment = make_environment(**options)
        async with pair(tmp_path) as (manager, worker):
            found = await manager.offer(environment)
            assert isinstance(found, m.EnvironmentFailed)
            assert words in found.message
            assert "\n" not in found.message
            answer = await manager.run(add, 1, 1, environment=environment.digest)
            assert answer.result.status == "environment cannot be used"
            assert words in answer.result.message
            assert (await manager.run(add, 1, 1)).value == 2
            await leave_well(manager, worker)

    asyncio.run(run())


def test_environment__layer_arrives_damaged__is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    async def run() -> None:
        environment = make_environment({"greeting.py": b"TEXT = 'x'\n"})
        async with pair(tmp_path) as (manager, worker):
            manager.send(environment.offer)
            wanted = await manager.wait_for_message(m.LayersWanted)
            for digest in wanted.digests:
                body = environment.bodies[digest][:-9]
                manager.send(m.Layer(digest, len(body)), body)
            failed = await manager.wait_for_message(m.EnvironmentFailed)
            assert "\n" not in failed.message
            assert list((tmp_path / "store" / "layers").iterdir()) == []
            assert await manager.offer(environment) == m.EnvironmentReady(environment.digest)
            await leave_well(manager, worker)

    asyncio.run(run())


def test_worker__connection_lost_in_a_layer__leaves_no_half_of_it(tmp_path: Path) -> None:
    async def run() -> None:
        environment = make_environment({"greeting.py": os.urandom(1 << 20).hex().encode()})
        async with pair(tmp_path) as (manager, worker):
            manager.send(environment.offer)
            wanted = await manager.wait_for_message(m.LayersWanted)
            digest = wanted.digests[-1]
            body = environment.bodies[digest]
            manager.send(m.Layer(digest, len(body)), body[: len(body) // 2])
            await manager.link.drain()
            manager.link.abort()
            assert await worker.wait() == 0, worker.errors
        assert list((tmp_path / "store" / "layers").glob("*")) == []

    asyncio.run(run())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "SIGINT"])
def test_worker__ends_any_way__leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            places = [tmp_path / "in-place", tmp_path / "fork"]
            for place in places:
                manager.call(wait_for_file, str(place), mode=place.name)
            for place in places:
                await settle(place.with_suffix(".begun").exists)
            ours = [pid for pid in list_processes(str(tmp_path)) if pid != worker.process.pid]
            assert len(ours) >= 2
            worker.process.send_signal(number)
            await worker.wait()
            await settle(lambda: not any(map(is_alive, ours)))

    asyncio.run(run())


def list_processes(word: str) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if word in read_command(pid)]


def read_command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def test_worker__drained__finishes_what_runs_and_leaves(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            running = manager.call(wait_for_file, str(tmp_path / "go"))
            await settle((tmp_path / "go.begun").exists)
            worker.process.send_signal(signal.SIGTERM)
            await manager.wait_for(lambda: m.Resource("cores", 0, 0, 0) in manager.seen)
            late = manager.call(add, 1, 1)
            assert (await manager.answer(late)).result.status == "no worker can run it"
            (tmp_path / "go").touch()
            assert (await manager.answer(running)).result.status == "success"
            assert await worker.wait() == 0

    asyncio.run(run())


def test_worker__idle__leaves_by_itself(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path, "--idle-timeout", "1") as (manager, worker):
            assert await worker.wait() == 0
            await manager.wait_for(lambda: any(e == m.Info("idle-disconnecting", "1") for e in manager.seen))

    asyncio.run(run())


def test_worker__manager_of_another_protocol__is_found_out_and_served(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            FakeManager(speaks_dialect=False, only_protocol=11) as manager,
            start_worker(manager.port, tmp_path, "--cores", "2") as worker,
        ):
            await manager.wait_for_worker()
            assert [event.version for event in manager.greeting if isinstance(event, m.Workqueue)] == [11]
            manager.send(m.Putcmd("echo made > %%", "made", 5, 0o644))
            manager.send(m.Putcmd("exit 3", "not-made", 5, 0o644))
            assert (await manager.wait_for_message(m.CacheUpdate)).size == 5
            assert "exit code 3" in (await manager.wait_for_message(m.CacheInvalid)).message
            for number, name in ((1, "made"), (2, "not-made")):
                given = (m.TaskFile(name, "in"),)
                manager.send(m.TaskDescription(number, "cat in", cores=1, inputs=given))
            statuses: dict[int, int] = {}
            while len(statuses) < 2:
                await manager.wait_for_message(m.AvailableResults)
                manager.send(m.SendResults(-1))
                await manager.wait_for_message(m.End)
                results = [event for event in manager.seen if isinstance(event, m.Result)]
                statuses = {result.task_id: result.status for result in results}
            assert statuses == {1: 0, 2: 1}
            assert [body for header, body in manager.bodies if isinstance(header, m.Result) and body] == [
                b"made\n"
            ]
            manager.send(m.Exit())
            assert await worker.wait() == 0

    asyncio.run(run())


def test_worker__idle_while_a_file_arrives__stays_for_its_task(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path, "--idle-timeout", "1") as (manager, worker):
            manager.link.send(m.Put("file-1", 2, 0o644))
            manager.link.send_body(b"o")
            await asyncio.sleep(4)  # more than it stays idle; the longer, the better
            manager.link.send_body(b"k")
            manager.send(m.TaskDescription(1, "cat in", cores=1, inputs=(m.TaskFile("file-1", "in"),)))
            await manager.wait_for(lambda: manager.bodies)
            assert manager.bodies[0][1] == b"ok"
            assert await worker.wait() == 0

    asyncio.run(run())


def test_worker__drained_while_a_file_arrives__leaves(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            manager.send(m.Put("file-1", 2, 0o644), b"o")
            worker.process.send_signal(signal.SIGTERM)
            assert await worker.wait() == 0
            await manager.wait_for(lambda: m.Info("vacating", "15") in manager.seen)

    asyncio.run(run())


def test_environment__large_one_arrives__checks_are_answered_before_it_is_ready(tmp_path: Path) -> None:
    async def run() -> None:
        files = {f"package/part_{index}.py": os.urandom(4000).hex().encode() for index in range(4000)}
        environment = make_environment(files)
        async with pair(tmp_path) as (manager, worker):
            manager.send(environment.offer)
            wanted = await manager.wait_for_message(m.LayersWanted)
            for digest in wanted.digests:
                body = environment.bodies[digest]
                manager.send(m.Layer(digest, len(body)), body)
            manager.send(m.Check())  # right behind the layers: all that is left is to compose the environment
            await manager.wait_for(
                lambda: any(isinstance(event, m.EnvironmentReady) for event in manager.seen)
            )
            assert m.Alive() in manager.seen
            await leave_well(manager, worker)

    asyncio.run(run())


def test_worker__signalled_twice__leaves_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            manager.call(wait_for_file, str(tmp_path / "never"))
            await settle((tmp_path / "never.begun").exists)
            worker.process.send_signal(signal.SIGTERM)
            await manager.wait_for(lambda: m.Resource("cores", 0, 0, 0) in manager.seen)
            worker.process.send_signal(signal.SIGTERM)
            assert await worker.wait() == 0
            await manager.wait_for(lambda: m.Info("vacating", "15") in manager.seen)
            assert list(worker.workdir.iterdir()) == []

    asyncio.run(run())


def test_worker__wall_time_over__says_so_before_and_leaves(tmp_path: Path) -> None:
    async def run() -> None:
        began = time.time()
        async with pair(tmp_path, "--wall-time", "3") as (manager, worker):
            told = next(e for e in manager.greeting if isinstance(e, m.Info) and e.key == "worker-end-time")
            assert began + 2 <= int(told.value) <= time.time() + 4  # in whole seconds
            manager.call(sleep, 600)
            assert await worker.wait() == 0
            await manager.wait_for(lambda: m.Info("wall_time_exhausted", "3") in manager.seen)

    asyncio.run(run())


def test_worker__manager_goes_and_comes_back__is_served_from_the_same_store(tmp_path: Path) -> None:
    async def run() -> None:
        environment = make_environment({"greeting.py": b"TEXT = 'again'\n"})
        async with (
            FakeManager() as manager,
            start_worker(manager.port, tmp_path, single_shot=False) as worker,
        ):
            await manager.wait_for_worker()
            await manager.offer(environment)
            lost = manager.call(wait_for_file, str(tmp_path / "never"), environment=environment.digest)
            await settle((tmp_path / "never.begun").exists)
            manager.greeting = []
            manager.link.abort()
            await manager.wait_for_worker()
            manager.send(environment.offer)
            assert await manager.wait_for_message(m.LayersWanted) == m.LayersWanted(environment.digest, ())
            answer = await manager.run(import_greeting, environment=environment.digest)
            assert answer.value == "again"
            assert lost not in manager.answers
            await leave_well(manager, worker)

    asyncio.run(run())


def test_worker__never_any_manager__one_sentence_and_code_6(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeManager() as manager:
            port = manager.port
        async with start_worker(port, tmp_path, "--connect-timeout", "0") as worker:
            assert await worker.wait() == 6
            assert worker.errors.startswith(f"error: no manager answers at 127.0.0.1:{port}")
            assert "hint: " in worker.errors
            assert list(worker.workdir.iterdir()) == []

    asyncio.run(run())


def test_worker__own_managers_password__is_proved_both_ways(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / "secret").write_bytes(b"sesame\n")
        async with FakeManager(password=b"sesame\n") as manager:
            option = ("--password-file", str(tmp_path / "secret"))
            async with start_worker(manager.port, tmp_path, *option) as worker:
                await manager.wait_for_worker()
                assert (await manager.run(add, 1, 2)).value == 3
                await leave_well(manager, worker)

    asyncio.run(run())


def test_host__killed_while_it_works__the_call_alone_is_lost_and_the_host_comes_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with pair(tmp_path) as (manager, worker):
            digest = manager.define(get_pid)
            for turn in range(10):
                pid = (await manager.run(digest)).value
                victim = manager.call(wait_for_file, str(tmp_path / f"never{turn}"), cores=2.0)
                await settle((tmp_path / f"never{turn}.begun").exists)
                for process in list_processes("host.py"):
                    if str(tmp_path) in read_command(process):
                        os.kill(process, signal.SIGKILL)
                assert (await manager.answer(victim)).result.signal == signal.SIGKILL
                assert (await manager.run(digest)).value != pid
            await leave_well(manager, worker)

    asyncio.run(run())


def mark(folder: str, name: str) -> str:
    descriptor = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, b"x")
    os.close(descriptor)
    return name


@MODES
def test_hosts__killed_at_any_moment__no_call_is_lost_or_runs_twice(tmp_path: Path, mode: str) -> None:
    async def run() -> None:
        marks = tmp_path / "marks"
        marks.mkdir()
        async with pair(tmp_path) as (manager, worker):
            digest = manager.define(mark)
            count = 2000 if mode == "in-place" else 100
            numbers = [manager.call(digest, str(marks), str(index), mode=mode) for index in range(count)]
            lost: list[m.CallResult] = []

            def find_ended() -> dict[int, m.CallResult]:
                return {event.task_id: event for event in manager.seen if isinstance(event, m.CallResult)}

            for turn in range(8):
                share = len(numbers) * turn // 10
                await manager.wait_for(lambda share=share: len(find_ended()) >= share)  # type: ignore[misc]
                for process in list_processes("host.py"):
                    if str(tmp_path) in read_command(process):
                        os.kill(process, signal.SIGKILL)
                        break
            await manager.wait_for(lambda: len(find_ended()) == len(numbers))
            results = [event for event in manager.seen if isinstance(event, m.CallResult)]
            assert sorted(event.task_id for event in results) == numbers  # each is told once
            lost = [event for event in results if event.status != "success"]
            assert all(event.signal == signal.SIGKILL for event in lost)
            assert len(lost) < len(numbers) / 2
            written = {path.name: path.read_text() for path in marks.iterdir()}
            assert set(written.values()) <= {"", "x"}  # none ran twice
            assert all(
                written[str(event.task_id - 1)] == "x" for event in results if event.status == "success"
            )
            await leave_well(manager, worker)

    asyncio.run(run())

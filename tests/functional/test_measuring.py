"""What our worker says that tasks have used, and what it does about those that use too much.

A program that is told to hold 100 MB touches pages until its own resident size is 100 MB, so its interpreter counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker_peers import FakeManager, make_environment, pair
from wq_package.protocol import messages as m
from wq_package.worker.measure.processes import kill_followed

HOLD = """
import mmap, os, sys, time

def hold(megabytes):
    wanted = megabytes << 20
    area = mmap.mmap(-1, wanted)
    for start in range(0, wanted, 1 << 18):
        with open("/proc/self/statm") as file:
            if int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >= wanted:
                break
        area[start : start + (1 << 18)] = bytes(1 << 18)
    return area

area = hold(int(sys.argv[1]))
for place in sys.argv[3:4]:  # its own, then that of the other
    open(place, "w").close()
while not all(map(os.path.exists, sys.argv[3:])):
    time.sleep(0.01)
time.sleep(float(sys.argv[2]))
"""


def make_hold(folder: Path) -> str:
    """The start of a command that holds so many MB for so many seconds; then it may name what to wait for before."""
    script = folder / "hold.py"
    script.write_text(HOLD)
    return f"{shlex.quote(sys.executable)} -I -S {shlex.quote(str(script))}"


async def run_command(manager: FakeManager, command: str, **more: Any) -> m.Result:
    description = m.TaskDescription(1, command, cores=1, **more)
    manager.send(description)
    await manager.wait_for(lambda: manager.bodies, 120)  # it need not be asked for
    result, _ = manager.bodies[-1]
    assert isinstance(result, m.Result)
    return result


def measure(folder: Path, command: str, **more: Any) -> m.Result:
    async def scenario() -> m.Result:
        async with pair(folder) as (manager, _):
            result = await run_command(manager, command, **more)
            async with asyncio.timeout(180):  # the worker is still there: it is it that ends what is left
                while find_processes(folder):  # noqa: ASYNC110 - only the system can tell
                    await asyncio.sleep(0.01)
            return result

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("{hold} 100 {long}", id="itself"),
        pytest.param("{hold} 100 0", id="itself for a moment"),
        pytest.param("{hold} 100 {long}; true", id="child"),
        pytest.param("sh -c '{hold} 100 {long}; true'; true", id="grandchild"),
        pytest.param("{hold} 100 0; sleep {long}", id="one that ended before"),
        pytest.param(
            "{hold} 100 0 $PWD/a & while [ ! -e a ]; do sleep 0.05; done", id="one that nobody waited for"
        ),
        # They share some 5 MB of libraries.
        pytest.param("{hold} 45 2.5 $PWD/a $PWD/b & {hold} 60 2.5 $PWD/b $PWD/a; wait", id="two at once"),
        pytest.param("{hold} 100 0; {hold} 90 0; {hold} 95 0", id="one after the other"),
    ],
)
def test_memory__held_by_any_process__is_told_within_5_percent(tmp_path: Path, command: str) -> None:
    hold = make_hold(tmp_path)
    result = measure(tmp_path, command.format(hold=hold, long=1))
    assert result.memory_mb == pytest.approx(100, rel=0.05)


def test_figures__of_a_command__are_all_there(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(
        "import time\nopen('kept', 'wb').write(bytes(8 << 20))\n"
        "while time.process_time() < 0.5: pass\nprint('x' * (1 << 20))\n"
    )
    result = measure(tmp_path, f"{shlex.quote(sys.executable)} -I -S {script}; sleep 0.01", disk_mb=1)
    assert result.cpu_usec >= 500_000
    assert result.disk_mb == pytest.approx(9, rel=0.05)  # what it wrote and what it printed
    assert 0 < result.cores <= 1.5
    assert result.written_mb >= 0
    assert result.processes >= 1
    assert (result.limit, result.status) == ("", 0)  # nobody asked for its limits to be enforced


def test_memory_limit__exceeded__ends_every_process_and_says_by_how_much(tmp_path: Path) -> None:
    command = f"setsid sleep 600 & {make_hold(tmp_path)} 200 600 & sleep 600; true"
    result = measure(tmp_path, command, memory_mb=100, disk_mb=100, is_enforced=True)
    assert (result.status, result.exit_code) == (16, 9)
    assert (result.limit, result.allowed) == ("memory", 100)
    assert 100 < result.used <= 210
    assert result.memory_mb >= result.used - 1


def test_memory_limit__not_enforced__is_passed(tmp_path: Path) -> None:
    result = measure(tmp_path, f"{make_hold(tmp_path)} 100 0.3", memory_mb=50, disk_mb=100)
    assert (result.status, result.limit) == (0, "")


def test_memory_limit__over_before_it_can_be_caught__keeps_its_result_and_is_told(tmp_path: Path) -> None:
    """The system tells of it afterwards; if the program is slow enough to be caught, it is ended instead."""
    result = measure(tmp_path, f"{make_hold(tmp_path)} 100 0", memory_mb=50, is_enforced=True)
    assert (result.limit, result.allowed) == ("memory", 50)
    assert result.status in (0, 16)


def test_disk_limit__exceeded__ends_the_task(tmp_path: Path) -> None:
    command = "head -c 30m /dev/zero > large; sleep 600"
    result = measure(tmp_path, command, memory_mb=1000, disk_mb=20, is_enforced=True)
    assert (result.status, result.limit, result.allowed) == (16, "disk", 20)
    assert result.used == pytest.approx(30, rel=0.05)


def test_wall_time__over__is_told_with_its_limit(tmp_path: Path) -> None:
    result = measure(tmp_path, "sleep 600", wall_time=0.5)
    assert (result.status, result.limit, result.allowed) == (56, "wall_time", 0.5)
    assert result.used >= 0.5


def test_cores__enforced__are_processors_of_its_own(tmp_path: Path) -> None:
    async def scenario() -> bytes:
        async with pair(tmp_path) as (manager, _):
            await run_command(manager, "grep Cpus_allowed_list /proc/self/status", is_enforced=True)
            return manager.bodies[-1][1]

    printed = asyncio.run(scenario())
    assert printed.split()[-1].isdigit()


def test_gpus__of_tasks_that_run_together__are_cards_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")  # what a batch system has given the worker

    async def scenario() -> list[bytes]:
        async with pair(tmp_path, "--cores", "2", "--gpus", "2") as (manager, _):
            for mine, other in ((1, 2), (2, 1)):
                meet = f"touch {tmp_path}/{mine}; until [ -e {tmp_path}/{other} ]; do sleep 0.05; done"
                command = f"echo $CUDA_VISIBLE_DEVICES; {meet}"
                manager.send(m.TaskDescription(mine, command, cores=1, gpus=1))
            await manager.wait_for(lambda: len(manager.bodies) == 2, 120)
            return sorted(body for _, body in manager.bodies)

    assert asyncio.run(scenario()) == [b"3\n", b"GPU-5\n"]


@pytest.mark.parametrize("mode", ["in-place", "fork"])
def test_gpus__of_a_call__are_in_its_variables(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")

    async def scenario() -> object:
        async with pair(tmp_path, "--gpus", "1") as (manager, _):
            answer = await manager.run(get_variable, "CUDA_VISIBLE_DEVICES", mode=mode, gpus=1)
            return answer.value

    assert asyncio.run(scenario()) == "7"


def find_processes(folder: Path) -> list[str]:
    """Find processes that were started for this test: its folder is in their variables."""
    mark = str(folder).encode()
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if place.name.isdigit() and mark in (place / "environ").read_bytes():
                found.append(place.name)
    return found


def hold_memory(megabytes: int, seconds: float) -> int:
    area = bytearray(megabytes << 20)
    area[:: 1 << 12] = b"x" * (len(area) >> 12)
    time.sleep(seconds)
    return len(area)


def run_child(command: str) -> int:
    return subprocess.run(shlex.split(command), check=True, stdin=subprocess.DEVNULL).returncode


def write_to_inherited(megabytes: int, seconds: float) -> int:
    """Write to what the interpreter held before the call."""
    import ballast  # type: ignore[import-not-found]  # it is in the environment only

    ballast.AREA[: megabytes << 20 : 1 << 12] = b"x" * (megabytes << 8)
    time.sleep(seconds)
    return megabytes


def test_kill_followed__process_of_the_same_number_only__is_killed() -> None:
    gone, other = (subprocess.Popen(["sleep", "600"]) for _ in range(2))
    followed = [os.open(f"/proc/{process.pid}/stat", os.O_RDONLY) for process in (gone, other)]
    try:
        gone.kill()
        gone.wait()
        kill_followed(other.pid, followed[0])  # as if the other had got the number of the one that is gone
        other.terminate()
        assert other.wait() == -signal.SIGTERM
        with subprocess.Popen(["sleep", "600"]) as third:
            followed.append(os.open(f"/proc/{third.pid}/stat", os.O_RDONLY))
            kill_followed(third.pid, followed[2])
        assert third.returncode == -signal.SIGKILL
    finally:
        for file in followed:
            os.close(file)


def get_variable(name: str) -> str | None:
    return os.environ.get(name)


def get_processors() -> int:
    return len(os.sched_getaffinity(0))


def call(folder: Path, function: Callable[..., Any], *arguments: Any, **more: Any) -> m.CallResult:
    async def scenario() -> m.CallResult:
        async with pair(folder) as (manager, _):
            answer = await manager.run(function, *arguments, **more)
            return answer.result

    return asyncio.run(scenario())


@pytest.mark.parametrize("mode", ["in-place", "fork"])
@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_call__holds_memory__is_told_without_what_its_interpreter_held(
    tmp_path: Path, mode: str, seconds: float
) -> None:
    result = call(tmp_path, hold_memory, 200, seconds, mode=mode)
    assert result.memory_mb == pytest.approx(200, rel=0.05)
    assert result.cpu_usec > 0


@pytest.mark.parametrize("mode", ["in-place", "fork"])
def test_call__holds_next_to_nothing__does_not_count_what_an_earlier_one_held(
    tmp_path: Path, mode: str
) -> None:
    async def scenario() -> m.CallResult:
        async with pair(tmp_path, "--cores", "1") as (manager, _):
            await manager.run(hold_memory, 100, 0, mode=mode)
            answer = await manager.run(hold_memory, 1, 0, mode=mode)
            return answer.result

    assert 0 <= asyncio.run(scenario()).memory_mb < 10


@pytest.mark.parametrize("mode", ["in-place", "fork"])
def test_call__child_process_holds_memory__counts(tmp_path: Path, mode: str) -> None:
    result = call(tmp_path, run_child, f"{make_hold(tmp_path)} 100 0.2", mode=mode)
    assert result.memory_mb == pytest.approx(100, rel=0.1)


def test_call__writes_to_what_its_interpreter_held__counts_the_copies(tmp_path: Path) -> None:
    async def scenario() -> m.CallResult:
        environment = make_environment(
            {"ballast.py": b"AREA = bytearray(b'y' * (120 << 20))\n"}, imports=("ballast",)
        )
        async with pair(tmp_path) as (manager, _):
            assert isinstance(await manager.offer(environment), m.EnvironmentReady)
            answer = await manager.run(write_to_inherited, 60, 0, mode="fork", environment=environment.digest)
            return answer.result

    assert asyncio.run(scenario()).memory_mb == pytest.approx(60, abs=8)


@pytest.mark.parametrize("mode", ["in-place", "fork"])
def test_call_limit__exceeded__ends_it_and_says_by_how_much(tmp_path: Path, mode: str) -> None:
    result = call(tmp_path, hold_memory, 200, 600, mode=mode, memory_mb=100, disk_mb=10, is_enforced=True)
    assert (result.status, result.limit, result.allowed) == ("resource exhaustion", "memory", 100)
    assert 100 < result.used <= 210
    assert result.message.startswith("the call used ")
    assert result.message.endswith(" MB of memory, and its limit is 100 MB")


def test_call_limit__not_reached__is_of_what_the_call_holds_itself(tmp_path: Path) -> None:
    result = call(tmp_path, hold_memory, 15, 0.3, memory_mb=20, disk_mb=10, is_enforced=True)
    assert (result.status, result.limit) == ("success", "")


def test_call_cores__enforced__are_processors_of_its_own(tmp_path: Path) -> None:
    async def scenario() -> int:
        async with pair(tmp_path) as (manager, _):
            answer = await manager.run(get_processors, memory_mb=100, disk_mb=10, is_enforced=True)
            count: int = answer.value
            return count

    assert asyncio.run(scenario()) == 1

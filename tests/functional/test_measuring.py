"""What our worker says that tasks have used, and what it does about those that use too much.

A program that is told to hold 100 MB touches pages until its own resident size is 100 MB, so its interpreter counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from worker_peers import FakeManager, pair
from wq_package.protocol import messages as m

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
            async with asyncio.timeout(60):  # the worker is still there: it is it that ends what is left
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


def find_processes(folder: Path) -> list[str]:
    """Find processes that were started for this test: its folder is in their variables."""
    mark = str(folder).encode()
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if place.name.isdigit() and mark in (place / "environ").read_bytes():
                found.append(place.name)
    return found

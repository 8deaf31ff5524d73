"""Tasks with limits in cgroups of their own, where this machine lets us make some; see `docs/reference-measuring.md`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from wq_package.worker.process import Program, ProgramEnd, Spawner

LIMIT_MB = 60
HOLD = "import sys; n = int(sys.argv[1]); area = bytearray(n << 20); area[::4096] = b'x' * (n << 8)"


async def run_in(spawner: Spawner, folder: Path, command: str) -> ProgramEnd:
    """Run a command that has a limit."""
    ended: asyncio.Future[ProgramEnd] = asyncio.get_running_loop().create_future()
    argv = ("/bin/sh", "-c", command)
    program = Program(
        argv, str(folder), output=str(folder / "out"), is_watched=True, memory_limit_mb=LIMIT_MB
    )
    spawner.start(program, ended.set_result)
    return await ended


def read_group(folder: Path) -> str:
    lines = (folder / "group").read_text().splitlines()
    return next((line for line in lines if line.startswith("0::")), "")


def is_in_group(folder: Path) -> bool:
    """Whether a program was in a group of its own, which has its number for a name."""
    return re.search(r"/wq-package\.[^/]+/[0-9]+$", read_group(folder)) is not None


def run_with_groups(folder: Path, test: Callable[[Spawner], Awaitable[None]]) -> None:
    """Run with a spawner, if it makes groups."""

    async def run() -> None:
        spawner = Spawner(folder)
        try:
            await run_in(spawner, folder, "cat /proc/self/cgroup > group")
            if not is_in_group(folder):
                pytest.skip("this worker may not make cgroups with control over memory")
            await test(spawner)
        finally:
            spawner.close()
        assert not find_group(folder).exists()

    asyncio.run(run())


def find_group(folder: Path) -> Path:
    """Find the folder of the groups of the spawner that was here first."""
    name = read_group(folder).partition("/wq-package.")[2].partition("/")[0]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    roots = [line.split()[4] for line in mounts if " - cgroup2 " in line]
    found = [place for root in roots for place in Path(root).rglob(f"wq-package.{name}")]
    return found[0] if found else Path(roots[0], "gone")


def hold(megabytes: int) -> str:
    return f"{shlex.quote(sys.executable)} -I -S -c {shlex.quote(HOLD)} {megabytes}"


def test_group__program_that_takes_too_much_at_once__never_has_it(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        end = await run_in(spawner, tmp_path, f"{hold(400)} & sleep 600; wait")
        assert end.signal == signal.SIGKILL
        assert end.excess_mb > LIMIT_MB
        assert end.memory_mb < LIMIT_MB * 1.02 + 16 + 4

    run_with_groups(tmp_path, test)


def test_group__program_below_its_limit__goes_on(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        end = await run_in(spawner, tmp_path, f"{hold(30)}; head -c 200m /dev/zero > large; exit 3")
        assert (end.exit_code, end.signal, end.excess_mb) == (3, 0, 0)

    run_with_groups(tmp_path, test)


def test_group__daemon_without_parent_group_and_variables__ends_with_the_program(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        await run_in(
            spawner,
            tmp_path,
            "(exec env -i setsid sh -c 'sleep 600 & echo $! > pid; wait' &) ; until [ -s pid ]; do sleep 0.01; done",
        )
        await wait_until_gone(int((tmp_path / "pid").read_text()))

    run_with_groups(tmp_path, test)


def test_group__spawner_was_killed__is_cleared_by_the_next(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        running = asyncio.ensure_future(
            run_in(spawner, tmp_path, "echo $$ > made; mv made pid; exec sleep 600")
        )
        async with asyncio.timeout(120):
            while not (tmp_path / "pid").exists():  # noqa: ASYNC110 - only the file tells
                await asyncio.sleep(0.01)
        os.kill(spawner.pid, signal.SIGKILL)  # it is started anew
        assert (await running).signal == signal.SIGKILL
        await wait_until_gone(int((tmp_path / "pid").read_text()))

    run_with_groups(tmp_path, test)


def test_group__not_wanted__is_not_made(tmp_path: Path) -> None:
    async def run() -> None:
        spawner = Spawner(tmp_path, uses_cgroups=False)
        try:
            end = await run_in(spawner, tmp_path, f"cat /proc/self/cgroup > group; {hold(1)}")
            assert end.exit_code == 0
        finally:
            spawner.close()
        assert not is_in_group(tmp_path)

    asyncio.run(run())


async def wait_until_gone(pid: int) -> None:
    async with asyncio.timeout(120):
        while is_running(pid):  # noqa: ASYNC110 - only the system can tell
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False

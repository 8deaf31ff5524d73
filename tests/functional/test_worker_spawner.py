"""The helper that starts processes for our worker, driven as a worker does."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it has no stubs

from processes import wait_until_ended
from wq_package.worker.process import Program, ProgramEnd, Spawner

SECONDS = 300.0
TRUE = Program(("/bin/true",), "/")


def run_with_spawner(folder: Path, test: Callable[[Spawner], Awaitable[None]]) -> None:
    async def run() -> None:
        spawner = Spawner(folder)
        try:
            async with asyncio.timeout(SECONDS):
                await test(spawner)
        finally:
            spawner.close()

    asyncio.run(run())


def kill_helper(spawner: Spawner) -> None:
    os.kill(spawner.pid, signal.SIGKILL)
    os.waitid(os.P_PID, spawner.pid, os.WEXITED | os.WNOWAIT)


def wait_for_file(path: Path) -> None:
    limit = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < limit
        time.sleep(0.01)


class Ends:
    """Gathers the ends of programs."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.found: list[ProgramEnd] = []
        self.are_all = asyncio.Event()

    def add(self, end: ProgramEnd) -> None:
        self.found.append(end)
        if len(self.found) == self.wanted:
            self.are_all.set()


def test_start__more_programs_at_once_than_its_socket_holds__all_run(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        ends = Ends(1500)
        for _ in range(ends.wanted):  # the loop has no turn: their ends are not read meanwhile
            spawner.start(TRUE, ends.add)
        await ends.are_all.wait()
        assert ends.found == [
            end for end in ends.found if (end.exit_code, end.signal, end.errno) == (0, 0, 0)
        ]

    run_with_spawner(tmp_path, test)


def test_start__sockets_that_wait_their_turn__reach_the_program_though_we_have_closed_ours(
    tmp_path: Path,
) -> None:
    async def test(spawner: Spawner) -> None:
        ends = Ends(601)
        os.kill(spawner.pid, signal.SIGSTOP)
        for _ in range(600):
            spawner.start(TRUE, ends.add)
        ours, theirs = socket.socketpair()
        command = ("/bin/sh", "-c", "echo hello >&3")
        spawner.start(Program(command, "/", sockets=(theirs.fileno(),)), ends.add)
        theirs.close()
        os.kill(spawner.pid, signal.SIGCONT)
        await ends.are_all.wait()
        with ours:
            assert ours.recv(100) == b"hello\n"
            assert ours.recv(100) == b""

    run_with_spawner(tmp_path, test)


def test_start__helper_has_just_been_killed__the_program_is_told_as_killed_and_later_ones_run(
    tmp_path: Path,
) -> None:
    async def test(spawner: Spawner) -> None:
        victims, ends = Ends(1), Ends(1)
        kill_helper(spawner)
        spawner.start(TRUE, victims.add)
        await victims.are_all.wait()
        assert [end.signal for end in victims.found] == [signal.SIGKILL]
        spawner.start(TRUE, ends.add)
        await ends.are_all.wait()
        assert (ends.found[0].exit_code, ends.found[0].signal) == (0, 0)

    run_with_spawner(tmp_path, test)


def test_helper__is_killed__what_it_ran_is_killed_too_wherever_it_went(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        ends = Ends(1)
        command = "setsid sleep 100000 & echo $! $$ >pids.part; mv pids.part pids; wait"
        spawner.start(Program(("/bin/sh", "-c", command), str(tmp_path)), ends.add)
        await asyncio.to_thread(wait_for_file, tmp_path / "pids")
        started = [psutil.Process(int(word)) for word in (tmp_path / "pids").read_text().split()]
        kill_helper(spawner)
        await ends.are_all.wait()
        assert ends.found[0].signal == signal.SIGKILL
        await asyncio.to_thread(wait_until_ended, started)

    run_with_spawner(tmp_path, test)


def test_start__message_too_large_for_a_packet_and_nowhere_to_write_it__is_told(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        ends = Ends(1)
        (tmp_path / "gone").rmdir()
        spawner.start(Program(("/bin/echo", "x" * 200_000), "/"), ends.add)
        assert ends.found == []  # not before `start` has returned
        await ends.are_all.wait()
        assert os.strerror(ends.found[0].errno) == "No such file or directory"

    (tmp_path / "gone").mkdir()
    run_with_spawner(tmp_path / "gone", test)

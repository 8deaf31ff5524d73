"""Warm interpreters of our worker, driven as its calls' room does."""

from __future__ import annotations

import asyncio
import hashlib
import os
import pickle
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from wq_package.task import ResultCode
from wq_package.worker.cache import remove_tree
from wq_package.worker.events import CallEnded
from wq_package.worker.functions import InterpreterPool
from wq_package.worker.hosts import HostCall, HostKey, find_own_python, make_packet
from wq_package.worker.process import Spawner

SECONDS = 300.0
LARGE = 300_000
MODES = pytest.mark.parametrize("is_forked", [False, True], ids=["in-place", "fork"])


class Pool:
    """A pool, and what it has told."""

    def __init__(self, folder: Path) -> None:
        self.functions = folder / "functions"
        self.functions.mkdir()
        (folder / "hosts").mkdir()
        self.spawner = Spawner(folder)
        self.pool = InterpreterPool(
            self.spawner, folder / "hosts", self.functions, self._take, self._forget_folder
        )
        self.pool.register("", find_own_python())
        self.gone: list[str] = []
        self.ended: dict[int, CallEnded] = {}
        self._changed = asyncio.Condition()
        self._last = 0

    def start(self, function: Callable[..., Any], *args: Any, is_forked: bool, **extra: object) -> int:
        body = cloudpickle.dumps(function)
        digest = hashlib.sha256(body).hexdigest()
        (self.functions / digest).write_bytes(body)
        self._last += 1
        packet = make_packet(self._last, digest, pickle.dumps((args, {})), extra)
        self.pool.start(HostCall(self._last, HostKey("", is_forked, 1.0), packet))
        return self._last

    async def run(self, function: Callable[..., Any], *args: Any, is_forked: bool, **extra: object) -> Any:
        """Run a call; give what it returned, or its error."""
        serial = self.start(function, *args, is_forked=is_forked, **extra)
        await self.wait_for(lambda: serial in self.ended)
        event = self.ended[serial]
        assert event.code is ResultCode.SUCCESS, event
        return pickle.loads(event.body[event.output_size :])[1]

    async def wait_for(self, condition: Callable[[], object]) -> None:
        async with self._changed:
            await self._changed.wait_for(condition)

    def _take(self, event: CallEnded) -> None:
        self.ended[event.serial] = event
        self._notify()

    def _forget_folder(self, folder: str) -> None:
        remove_tree(folder)
        self.gone.append(folder)
        self._notify()

    def _notify(self) -> None:
        async def notify() -> None:
            async with self._changed:
                self._changed.notify_all()

        self._notifying = asyncio.create_task(notify())


def run_with_pool(folder: Path, test: Callable[[Pool], Awaitable[None]]) -> None:
    async def run() -> None:
        pool = Pool(folder)
        try:
            async with asyncio.timeout(SECONDS):
                await test(pool)
        finally:
            pool.pool.close()
            pool.spawner.close()

    asyncio.run(run())


def read(path: str) -> bytes:
    return Path(path).read_bytes()


@MODES
def test_answer__large_and_its_host_ends__can_still_be_read(tmp_path: Path, is_forked: bool) -> None:
    async def test(pool: Pool) -> None:
        large = pool.start(lambda: b"x" * LARGE, is_forked=is_forked)
        await pool.wait_for(lambda: large in pool.ended)
        pool.pool.forget("")
        await pool.wait_for(lambda: pool.gone)

        event = pool.ended[large]
        body = read(event.path)
        assert pickle.loads(body) == (True, b"x" * LARGE)
        assert event.size == len(body)

    run_with_pool(tmp_path, test)


def test_answer__large_and_cannot_be_kept__fails_that_call_alone(tmp_path: Path) -> None:
    async def test(pool: Pool) -> None:
        (tmp_path / "hosts" / "answer.1").mkdir()
        lost = pool.start(lambda: b"x" * LARGE, is_forked=False)
        await pool.wait_for(lambda: lost in pool.ended)
        assert pool.ended[lost].code is ResultCode.UNKNOWN
        assert "answer is gone" in pool.ended[lost].message
        assert await pool.run(lambda: 3, is_forked=False) == 3

    run_with_pool(tmp_path, test)


def test_call__after_one_that_has_removed_its_folder__runs_in_the_same_host(tmp_path: Path) -> None:
    place = str(tmp_path / "gone")

    def go_and_remove() -> int:
        Path(place).mkdir()
        os.chdir(place)
        Path(place).rmdir()
        return os.getpid()

    async def test(pool: Pool) -> None:
        host = await pool.run(go_and_remove, is_forked=False)
        (tmp_path / "box").mkdir()
        found = await pool.run(
            lambda: (os.getpid(), str(Path.cwd()), os.environ["NAME"]),
            is_forked=False,
            variables={"NAME": "x"},
            sandbox=str(tmp_path / "box"),
        )
        assert found == (host, str(tmp_path / "box"), "x")
        assert await pool.run(lambda: str(Path.cwd()), is_forked=False) == str(tmp_path / "hosts" / "1")

    run_with_pool(tmp_path, test)


@MODES
@pytest.mark.parametrize(
    ("extra", "kind"),
    [
        ({"variables": {"NA=ME": "x"}}, "ValueError"),
        ({"variables": {"NAME": "x\0y"}}, "ValueError"),
        ({"sandbox": "/nowhere/at/all"}, "FileNotFoundError"),
        ({"arguments": "/nowhere/at/all"}, "FileNotFoundError"),
    ],
)
def test_call__cannot_be_settled__says_so_and_its_host_goes_on(
    tmp_path: Path, is_forked: bool, extra: dict[str, object], kind: str
) -> None:
    async def test(pool: Pool) -> None:
        assert (await pool.run(os.getpid, is_forked=is_forked, **extra))["type"] == kind
        assert await pool.run(os.getenv, "NAME", is_forked=is_forked) is None
        assert pool.gone == []

    run_with_pool(tmp_path, test)


def test_call__forked__module_whose_hook_for_forks_raises__hurts_no_call(tmp_path: Path) -> None:
    def register(moment: str) -> int:
        def fail() -> None:
            raise RuntimeError(moment)

        os.register_at_fork(**{moment: fail})
        return 3

    class Registers:
        def __init__(self, moment: str) -> None:
            self.moment = moment

        def __reduce__(self) -> tuple[Any, ...]:
            return register, (self.moment,)

    values = [Registers(moment) for moment in ("before", "after_in_parent", "after_in_child")]

    async def test(pool: Pool) -> None:
        for _ in range(6):
            assert await pool.run(lambda: values, is_forked=True) == [3, 3, 3]
        assert pool.gone == []

    run_with_pool(tmp_path, test)

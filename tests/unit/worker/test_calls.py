from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from wq_package.protocol import messages as m
from wq_package.task import ResultCode
from wq_package.worker import actions as act
from wq_package.worker import events as ev
from wq_package.worker.cache import EntryStore
from wq_package.worker.calls import CallRoom
from wq_package.worker.measure.disk import DiskWatch

PATIENCE = 120.0
CALL = m.CallTask(1, "", "ab" * 32, 0, cores=1.0, outputs=(m.TaskFile("c", "out"),))
START = act.StartCall(7, CALL, b"", "", (), is_ahead=False)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), PATIENCE))


class Bench:
    """A room of calls whose sandboxes are made when that is let go on, and whose interpreters only note what they get."""

    def __init__(self, folder: Path) -> None:
        self.may_make = threading.Event()
        self.is_making = threading.Event()
        self.given: list[Any] = []
        self.killed: list[int] = []
        self.left_behind: list[str] = []
        self.told: list[ev.Event] = []
        self.is_told = asyncio.Event()
        self.threads = threads = ThreadPoolExecutor(2)
        self.worker = worker = SimpleNamespace(
            workspace=folder,
            threads=threads,
            runs=SimpleNamespace(make_sandbox=self.make_sandbox),
            calls=SimpleNamespace(start=self.give, kill=self.killed.append),
            disks=DiskWatch(threads),
            entries=EntryStore(folder / "cache"),
            leave_behind=lambda serial, sandbox: self.left_behind.append(sandbox),
        )
        self.room = CallRoom(cast(Any, worker), self.tell, lambda keys: None)

    def make_sandbox(self, folder: str, inputs: object, folders: object) -> None:
        self.is_making.set()
        assert self.may_make.wait(PATIENCE)
        Path(folder).mkdir()

    def give(self, call: Any) -> None:
        self.given.append(call)
        self.is_told.set()

    def tell(self, event: ev.Event) -> None:
        self.told.append(event)
        self.is_told.set()


def test_kill__while_the_sandbox_is_made__the_call_never_begins_and_its_end_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        bench = Bench(tmp_path)
        bench.room.start(START)
        assert await asyncio.to_thread(bench.is_making.wait, PATIENCE)

        bench.room.kill(START.serial)
        bench.may_make.set()
        await bench.is_told.wait()

        (ended,) = bench.told
        assert isinstance(ended, ev.CallEnded)
        assert (ended.serial, ended.code, ended.missing) == (7, ResultCode.CANCELLED, ("out",))
        assert (bench.given, bench.killed) == ([], [])

    run(test)


def test_kill__call_was_given_to_an_interpreter__is_passed_on(tmp_path: Path) -> None:
    async def test() -> None:
        bench = Bench(tmp_path)
        bench.may_make.set()
        bench.room.start(START)
        await bench.is_told.wait()

        bench.room.kill(START.serial)

        assert [call.serial for call in bench.given] == bench.killed == [7]
        await bench.room.close()
        assert bench.left_behind == [str(tmp_path / "t.7")]

    run(test)


def test_close__while_the_sandbox_is_made__it_does_not_stay(tmp_path: Path) -> None:
    async def test() -> None:
        bench = Bench(tmp_path)
        bench.room.start(START)
        assert await asyncio.to_thread(bench.is_making.wait, PATIENCE)

        await bench.room.close()
        bench.may_make.set()
        await asyncio.to_thread(bench.threads.shutdown)

        assert bench.left_behind == [str(tmp_path / "t.7")]
        assert not (tmp_path / "t.7").exists()
        assert (bench.given, bench.told) == ([], [])

    run(test)


class SlowStore(EntryStore):
    """A cache that makes no second entry until it may."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.may_make = threading.Event()
        self.is_making = threading.Event()

    def make_key(self) -> int:
        key = super().make_key()
        if key == 2:
            self.is_making.set()
            assert self.may_make.wait(PATIENCE)
        return key


def test_close__while_outputs_are_collected__they_do_not_stay(tmp_path: Path) -> None:
    async def test() -> None:
        bench = Bench(tmp_path)
        bench.worker.entries = entries = SlowStore(tmp_path / "cache")
        bench.may_make.set()
        call = replace(CALL, outputs=(m.TaskFile("c", "out"), m.TaskFile("d", "more")))
        bench.room.start(replace(START, call=call))
        await bench.is_told.wait()
        (tmp_path / "t.7" / "out").write_text("x")
        bench.room.end(ev.CallEnded(7))
        assert await asyncio.to_thread(entries.is_making.wait, PATIENCE)

        await bench.room.close()
        entries.may_make.set()
        await asyncio.to_thread(bench.threads.shutdown)
        await asyncio.sleep(0)  # what the threads have done is heard

        assert list_names(tmp_path) == ["cache"]
        assert list_names(tmp_path / "cache") == []

    run(test)


def list_names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]

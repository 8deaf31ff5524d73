from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from connection_pair import greeting
from wq_package.link import Link, connect, serve
from wq_package.manager.archives import Archives
from wq_package.manager.session import Session
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.protocol import messages as m
from wq_package.task import ResultCode

LOOPBACK = "127.0.0.1"
PATIENCE = 120.0


def test_put_folder__file_goes_while_it_is_sent__the_task_fails_and_the_worker_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    (tmp_path / "first").write_text("1")
    with socket.socket(socket.AF_UNIX) as listener:  # has the looks of an empty file until it is opened
        listener.bind("odd")
    entries = (
        e.FolderEntry("first", str(tmp_path / "first"), 1, 0o644),
        e.FolderEntry("inner", str(tmp_path), 0, 0o755, is_folder=True),
        e.FolderEntry("inner/odd", str(tmp_path / "odd"), 0, 0o644),
        e.FolderEntry("last", str(tmp_path / "first"), 1, 0o644),
    )
    staged = e.StagedInput("folder-1", "in", str(tmp_path), entries=entries)
    dispatch = a.Dispatch(1, m.TaskDescription(7, "true"), puts=(staged,))
    posted: list[e.Event] = []

    async def test() -> list[m.Event]:
        accepted: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        is_over = asyncio.Event()

        async def hold(link: Link) -> None:
            accepted.set_result(link)
            await is_over.wait()

        async with await serve(hold, LOOPBACK, 0) as server, await connect(LOOPBACK, server.port) as worker:
            worker.send(greeting())
            link = await accepted
            session = Session(1, link, Archives(), posted.extend, PATIENCE)
            session.carry_out(dispatch)
            session.carry_out(a.Send(1, m.Check()))
            events: list[m.Event] = []
            while m.Check() not in events:
                events += await worker.receive()
            assert not link.is_closed
            session.discard()
            is_over.set()
        return events

    events = asyncio.run(asyncio.wait_for(test(), PATIENCE))

    assert [event for event in events if not isinstance(event, m.Data | m.EndOfBody)] == [
        m.Dir("folder-1"), m.Put("first", 1, 0o644), m.Dir("inner"), m.End(), m.End(), m.Unlink("folder-1"), m.Check(),
    ]  # fmt: skip
    (failed,) = posted
    assert isinstance(failed, e.DispatchFailed)
    assert (failed.task_id, failed.cache_name, failed.code) == (7, "folder-1", ResultCode.INPUT_MISSING)
    assert f"`{tmp_path / 'odd'}` cannot be read: " in failed.message

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from connection_pair import greeting
from wq_package.errors import RemoteProtocolError
from wq_package.link import Link, connect, serve
from wq_package.manager.archives import Archives
from wq_package.manager.inbox import Inbox
from wq_package.manager.session import Session
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.protocol import messages as m
from wq_package.task import Function, ResultCode

LOOPBACK = "127.0.0.1"
PATIENCE = 120.0


def send_to_worker(
    dispatch: a.Dispatch,
    meanwhile: Callable[[], object] = lambda: None,
    *,
    is_ours: bool = False,
    sessions: list[Session] | None = None,
) -> tuple[list[m.Event], list[e.Event]]:
    """Send a task and then a question; give what the worker hears, and what is told of it.

    The worker takes nothing more from its first message on until something was done meanwhile.
    """
    posted: list[e.Event] = []

    async def test() -> list[m.Event]:
        accepted: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        is_over = asyncio.Event()

        async def hold(link: Link) -> None:
            accepted.set_result(link)
            await is_over.wait()

        async with await serve(hold, LOOPBACK, 0) as server, await connect(LOOPBACK, server.port) as worker:
            worker.send(greeting())
            if is_ours:
                worker.send(m.Feature(m.DIALECT_FEATURE))
            link = await accepted
            session = Session(1, link, Archives(), posted.extend, PATIENCE)
            if sessions is not None:
                sessions.append(session)
            if is_ours:
                while not link.is_dialect_offered:
                    await link.receive()
                session.carry_out(a.Send(1, m.Hello(1, "s")))
            session.carry_out(dispatch)
            session.carry_out(a.Send(1, m.Check()))
            events = await worker.receive()
            meanwhile()
            while m.Check() not in events:
                events += await worker.receive()
            assert not link.is_closed
            session.discard()
            is_over.set()
        return events

    events = asyncio.run(asyncio.wait_for(test(), PATIENCE))
    return events, posted


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
    events, (failed,) = send_to_worker(dispatch)

    assert [event for event in events if not isinstance(event, m.Data | m.EndOfBody)] == [
        m.Dir("folder-1"), m.Put("first", 1, 0o644), m.Dir("inner"), m.End(), m.End(), m.Unlink("folder-1"), m.Check(),
    ]  # fmt: skip
    assert isinstance(failed, e.DispatchFailed)
    assert (failed.task_id, failed.cache_name, failed.code) == (7, "folder-1", ResultCode.INPUT_MISSING)
    assert f"`{tmp_path / 'odd'}` cannot be read: " in failed.message


LARGE = 64 * 2**20
"""More than both ends hold while nobody receives."""


def cut(path: Path) -> None:
    os.truncate(path, 1000)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"other")


@pytest.mark.parametrize("change", [cut, lengthen, overwrite])
@pytest.mark.parametrize("is_in_folder", [False, True])
def test_put__file_changes_while_it_is_sent__the_task_fails_and_the_worker_stays(
    change: Callable[[Path], None], is_in_folder: bool, tmp_path: Path
) -> None:
    path = tmp_path / "input"
    path.touch()
    os.truncate(path, LARGE)
    staged = e.StagedInput("file-1", "in", str(path), size=LARGE)
    if is_in_folder:
        entries = (e.FolderEntry("input", str(path), LARGE, 0o644),)
        staged = e.StagedInput("file-1", "in", str(tmp_path), entries=entries)
    dispatch = a.Dispatch(1, m.TaskDescription(7, "true"), puts=(staged,))

    events, (failed,) = send_to_worker(dispatch, lambda: change(path))

    assert sum(len(event.body) for event in events if isinstance(event, m.Data)) == LARGE
    said = [event for event in events if not isinstance(event, m.Data | m.EndOfBody)]
    assert said[-2:] == [m.Unlink("file-1"), m.Check()]
    assert isinstance(failed, e.DispatchFailed)
    assert (failed.task_id, failed.cache_name, failed.code) == (7, "file-1", ResultCode.INPUT_MISSING)
    assert f"`{path}` has changed" in failed.message


def test_put__file_that_is_shorter_than_the_system_says__the_task_fails_and_the_worker_stays() -> None:
    path = Path("/sys/devices/system/cpu/online")  # said to be as large as a page
    size = path.stat().st_size
    staged = e.StagedInput("file-1", "in", str(path), size=size)
    dispatch = a.Dispatch(1, m.TaskDescription(7, "true"), puts=(staged,))

    events, (failed,) = send_to_worker(dispatch)

    assert [event for event in events if not isinstance(event, m.Data | m.EndOfBody)] == [
        m.Put("file-1", size, 0o644), m.Unlink("file-1"), m.Check(),
    ]  # fmt: skip
    assert isinstance(failed, e.DispatchFailed)
    assert "could not be read to its end" in failed.message


@pytest.mark.parametrize("is_in_folder", [False, True])
def test_put__file_has_become_a_pipe__the_task_fails_and_nobody_waits(
    is_in_folder: bool, tmp_path: Path
) -> None:
    path = tmp_path / "input"
    os.mkfifo(path)
    staged = e.StagedInput("file-1", "in", str(path), size=1)
    if is_in_folder:
        entries = (e.FolderEntry("input", str(path), 0, 0o644),)
        staged = e.StagedInput("file-1", "in", str(tmp_path), entries=entries)
    dispatch = a.Dispatch(1, m.TaskDescription(7, "true"), puts=(staged,))

    events, (failed,) = send_to_worker(dispatch)

    assert not [event for event in events if isinstance(event, m.Put)]
    assert isinstance(failed, e.DispatchFailed)
    assert f"`{path}` cannot be read: it is not a file" in failed.message


def test_call__its_input_is_gone__its_function_comes_all_the_same() -> None:
    function = Function("f" * 64, b"function")
    gone = e.StagedInput("once-7-0-0", "in", "/no/such/file", cache=False)
    call = m.CallTask(7, "", function.digest, 1, inputs=(m.TaskFile("once-7-0-0", "in"),))

    events, (failed,) = send_to_worker(a.Dispatch(1, call, b"x", function, (gone,)), is_ours=True)

    assert [event for event in events if not isinstance(event, m.EndOfBody | m.Hello)] == [
        m.FunctionDefinition(function.digest, 8), m.Data(b"function"), m.Check(),
    ]  # fmt: skip
    assert isinstance(failed, e.DispatchFailed)


def test_session__an_input_of_one_task_is_gone__others_are_still_sent_at_once() -> None:
    gone = e.StagedInput("once-7-0-0", "in", "/no/such/file", cache=False)
    first = a.Dispatch(1, m.TaskDescription(7, "true"), puts=(gone,))
    sessions: list[Session] = []

    send_to_worker(first, sessions=sessions)

    assert sessions[0].is_quick(a.Dispatch(1, m.TaskDescription(8, "true")))


def test_task__that_cannot_be_said__fails_once() -> None:
    staged = e.StagedInput("file-1", "in", content=b"x")

    _, posted = send_to_worker(a.Dispatch(1, m.TaskDescription(7, "\0"), puts=(staged,)))

    assert [type(event) for event in posted] == [e.DispatchFailed]


def test_offered_inputs__only_those_that_are_wanted_are_sent() -> None:
    names = ("file-a", "file-b", "file-c")
    puts = (
        *(
            e.StagedInput(name, name, content=name.encode(), size=6, cache=True, is_offered=True)
            for name in names
        ),
        e.StagedInput("small", "small", content=b"small!", size=6),
    )
    dispatch = a.Dispatch(1, m.TaskDescription(7, "true"), puts=puts)

    def answer(session: Session, event: m.Event) -> None:
        if isinstance(event, m.FileOffer) and event.cache_name == "file-c":
            session.inbox.translate([m.FileAnswer("file-c", is_wanted=True)])
            session.inbox.translate([m.FileAnswer("file-b", is_wanted=False)])
        elif isinstance(event, m.Put) and event.name == "file-c":
            session.inbox.translate([m.FileAnswer("file-a", is_wanted=True)])

    events = asyncio.run(asyncio.wait_for(_converse(dispatch, PATIENCE, answer), PATIENCE))

    assert [event for event in events if not isinstance(event, m.Data | m.EndOfBody)] == [
        *(m.FileOffer(name, 6) for name in names),
        *(m.Put(name, 6, 0o644) for name in ("small", "file-c", "file-a")),
        m.TaskDescription(7, "true"), m.Check(),
    ]  # fmt: skip


def test_offered_inputs__no_answer_in_time__are_sent_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"abc")
    staged = e.StagedInput("file-a", "in", str(tmp_path / "source"), size=3, is_offered=True)
    dispatch = a.Dispatch(1, m.TaskDescription(7, "true"), puts=(staged,))
    events = asyncio.run(asyncio.wait_for(_converse(dispatch, 0.05), PATIENCE))
    assert m.Put("file-a", 3, 0o644) in events
    assert events[-1] == m.Check()


def test_offered_input__cannot_be_read__the_worker_is_told_not_to_wait_for_it(tmp_path: Path) -> None:
    staged = e.StagedInput("file-a", "in", str(tmp_path / "gone"), size=3, stamp=1, is_offered=True)
    dispatch = a.Dispatch(1, m.TaskDescription(7, "true"), puts=(staged,))
    events = asyncio.run(asyncio.wait_for(_converse(dispatch, 0.05), PATIENCE))
    assert events == [m.FileOffer("file-a", 3), m.Unlink("file-a"), m.Check()]


def test_answer_about_a_file_that_was_not_offered__is_refused() -> None:
    async def test() -> None:
        inbox = Inbox(1, PATIENCE)
        with pytest.raises(RemoteProtocolError, match="not offered"):
            inbox.translate([m.FileAnswer("file-a", is_wanted=True)])

    asyncio.run(test())


async def _converse(
    dispatch: a.Dispatch, least_time: float, answer: Callable[[Session, m.Event], None] = lambda *_: None
) -> list[m.Event]:
    """Let a session carry out a dispatch; give what the worker hears until it is asked whether it is there."""
    accepted: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
    is_over = asyncio.Event()

    async def hold(link: Link) -> None:
        accepted.set_result(link)
        await is_over.wait()

    events: list[m.Event] = []
    async with await serve(hold, LOOPBACK, 0) as server, await connect(LOOPBACK, server.port) as worker:
        worker.send(greeting(), m.Feature(m.DIALECT_FEATURE))
        link = await accepted
        while m.Feature(m.DIALECT_FEATURE) not in await link.receive():
            pass
        link.send(m.Hello(1, ""))
        session = Session(1, link, Archives(), lambda _: None, least_time)
        session.carry_out(dispatch)
        session.carry_out(a.Send(1, m.Check()))
        while m.Check() not in events:
            for event in await worker.receive():
                answer(session, event)
                events += [] if isinstance(event, m.Hello) else [event]
        session.discard()
        is_over.set()
    return events

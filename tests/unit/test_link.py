"""The link over sockets of this process."""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from connection_pair import greeting, join_bodies
from wq_package.errors import (
    AuthenticationError,
    LocalProtocolError,
    ManagerUnreachableError,
    QueueError,
    RemoteProtocolError,
)
from wq_package.link import Link, ServeOptions, Server, ask_status, asking, connect, serve
from wq_package.link import wire as wire_module
from wq_package.link.serving import MOST_FILES
from wq_package.protocol import messages as m

LOOPBACK = "127.0.0.1"
PATIENCE = 120.0


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), PATIENCE))


@asynccontextmanager
async def pair(password: bytes | None = None) -> AsyncIterator[tuple[Link, Link]]:
    """Give the manager's and the worker's link of a worker that has greeted."""
    accepted: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
    is_over = asyncio.Event()

    async def hold(link: Link) -> None:
        accepted.set_result(link)
        await is_over.wait()

    async with await serve(hold, LOOPBACK, 0, password=password) as server:
        async with await connect(LOOPBACK, server.port, password=password) as worker:
            worker.send(greeting(), m.Feature(m.DIALECT_FEATURE))
            manager = await accepted
            yield manager, worker
        is_over.set()


async def wait_until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110  # it gives the loop a turn; there is no event to wait for
        await asyncio.sleep(0)


async def receive_until(link: Link, kind: type[m.Event]) -> list[m.Event]:
    events: list[m.Event] = []
    while not events or not isinstance(events[-1], kind):
        events += await link.receive()
    return join_bodies(events)


def test_pair__messages_and_bodies__arrive_both_ways() -> None:
    async def test() -> None:
        async with pair(b"sesame\n") as (manager, worker):
            manager.send(m.Put("a", 3, 0o644))
            manager.send_body(b"abc")
            manager.send(m.Check())
            assert await receive_until(worker, m.Check) == [
                m.Put("a", 3, 0o644), m.Data(b"abc"), m.EndOfBody(), m.Check(),
            ]  # fmt: skip
            worker.send(m.Alive())
            assert (await receive_until(manager, m.Alive))[-1] == m.Alive()
            assert manager.is_authenticated
            assert worker.is_authenticated
            assert manager.peer_version == 9
            assert manager.is_dialect_offered
            assert manager.peer_address.startswith(f"{LOOPBACK}:")
            worker.close()
            assert await receive_until(manager, m.ConnectionClosed) == [m.ConnectionClosed()]
            assert await manager.receive() == [m.ConnectionClosed()]
            assert await worker.receive() == [m.ConnectionClosed()]

    run(test)


def test_pair__dialect__is_known_to_both() -> None:
    async def test() -> None:
        async with pair() as (manager, worker):
            await receive_until(manager, m.Feature)
            manager.send(m.Hello(1, "session"))
            await receive_until(worker, m.Hello)
            assert manager.speaks_dialect
            assert worker.speaks_dialect
            assert not worker.is_authenticated

    run(test)


def test_receive__header_larger_than_what_may_wait__arrives() -> None:
    async def test() -> None:
        async with pair() as (manager, worker):
            await receive_until(manager, m.Feature)
            offer = m.EnvironmentOffer("a" * 64, (), (), "x" * (wire_module.MAX_WAITING_BYTES + 2**20))
            manager.send(m.Hello(1, "session"), offer)
            assert await receive_until(worker, m.EnvironmentOffer) == [m.Hello(1, "session"), offer]

    run(test)


def test_deliver__consumer_gives_back_what_has_to_wait__it_is_received_in_order() -> None:
    taken: list[m.Event] = []

    def take(events: list[m.Event]) -> list[m.Event]:
        while events and events[0] != m.Release():
            taken.append(events.pop(0))
        return events

    async def test() -> None:
        async with pair() as (manager, worker):
            worker.deliver(take)
            waiting = asyncio.create_task(worker.receive())
            await asyncio.sleep(0)  # it waits now
            manager.send(m.Check(), m.Kill(1))
            await wait_until(lambda: taken == [m.Check(), m.Kill(1)])
            assert not waiting.done()
            manager.send(m.Kill(2), m.Release(), m.Kill(3))
            assert await waiting == [m.Release(), m.Kill(3)]
            assert taken[2:] == [m.Kill(2)]
            manager.send(m.Kill(4))  # nobody waits for it yet: it is not taken out of order
            await worker.wait_events()
            assert await worker.receive() == [m.Kill(4)]
            assert len(taken) == 3

    run(test)


def test_deliver__consumer_fails__is_raised_where_events_are_received() -> None:
    def refuse(events: list[m.Event]) -> list[m.Event]:
        raise OSError("the disk is full")

    async def test() -> None:
        async with pair() as (manager, worker):
            worker.deliver(refuse)
            waiting = asyncio.create_task(worker.receive())
            await asyncio.sleep(0)
            manager.send(m.Check())
            with pytest.raises(OSError, match="disk is full"):
                await waiting
            assert await receive_until(manager, m.ConnectionClosed)

    run(test)


def test_divert_body__large_body__goes_by_and_the_rest_is_received() -> None:
    body = os.urandom(5 * wire_module.READ_SIZE + 7)
    found = hashlib.sha256()
    seen: list[m.Event] = []

    async def test() -> None:
        async with pair() as (manager, worker):

            def take(events: list[m.Event]) -> list[m.Event]:
                for event in events:
                    if isinstance(event, m.Put):
                        worker.divert_body(found.update)
                    elif isinstance(event, m.Data):
                        found.update(event.body)
                    elif isinstance(event, m.EndOfBody):
                        worker.divert_body(None)
                    seen.append(event)
                return []

            worker.deliver(take)
            waiting = asyncio.create_task(worker.receive())
            manager.send(m.Put("a", len(body), 0o644))
            for start in range(0, len(body), 2**20):
                manager.send_body(body[start : start + 2**20])
                await manager.drain()
            manager.send(m.Put("b", 2, 0o644))
            manager.send_body(b"xy")
            manager.send(m.Check())
            await wait_until(lambda: m.Check() in seen)
            waiting.cancel()

    run(test)
    assert found.digest() == hashlib.sha256(body + b"xy").digest()
    assert sum(len(event.body) for event in seen if isinstance(event, m.Data)) < len(body)
    assert [event for event in seen if not isinstance(event, m.Data)] == [
        m.Put("a", len(body), 0o644), m.EndOfBody(), m.Put("b", 2, 0o644), m.EndOfBody(), m.Check(),
    ]  # fmt: skip


def test_divert_body__disk_is_full__is_raised_where_events_are_received() -> None:
    seen: list[m.Event] = []

    def refuse(piece: memoryview) -> None:
        raise OSError("the disk is full")

    async def test() -> None:
        async with pair() as (manager, worker):
            began = asyncio.Event()

            def take(events: list[m.Event]) -> list[m.Event]:
                seen.extend(events)
                worker.divert_body(refuse)
                began.set()
                return []

            worker.deliver(take)
            waiting = asyncio.create_task(worker.receive())
            await asyncio.sleep(0)
            manager.send(m.Put("a", 6, 0o644))
            await began.wait()
            manager.send_body(b"abcdef")
            with pytest.raises(OSError, match="disk is full"):
                await waiting
            assert await receive_until(manager, m.ConnectionClosed)

    run(test)
    assert m.EndOfBody() not in seen  # or a file would be taken for complete


def test_send__illegal__raises_and_sends_what_came_before() -> None:
    async def test() -> None:
        async with pair() as (manager, worker):
            with pytest.raises(LocalProtocolError):
                manager.send(m.Check(), m.End(), m.Release())
            manager.send(m.Kill(1))
            assert await receive_until(worker, m.Kill) == [m.Check(), m.Kill(1)]

    run(test)


def test_receive__garbage__gives_what_came_before_then_the_error() -> None:
    async def test() -> None:
        async with pair() as (manager, worker):
            worker._wire.transport.write(b"alive\nnonsense\nalive\n")
            assert (await receive_until(manager, m.Alive))[-1] == m.Alive()
            for _ in range(2):
                with pytest.raises(RemoteProtocolError, match="nonsense"):
                    await manager.receive()
            assert manager.is_closed
            assert await receive_until(worker, m.ConnectionClosed) == [m.ConnectionClosed()]

    run(test)


def test_receive__nobody_consumes__reading_stops_and_goes_on() -> None:
    async def test() -> None:
        size = 64 * 2**20
        async with pair() as (manager, worker):
            manager.send(m.Put("a", size, 0o644))
            sending = asyncio.create_task(send_zeros(manager, size))
            await wait_until(lambda: not worker._wire.transport.is_reading())
            waiting = sum(len(event.body) for event in worker._wire.events if isinstance(event, m.Data))
            assert waiting <= wire_module.MAX_WAITING_BYTES + wire_module.READ_SIZE
            for _ in range(10 * size // 2**20):  # whoever did not wait would have sent all by then
                await asyncio.sleep(0)
            assert not sending.done()
            assert manager.buffered > 0
            events = await receive_until(worker, m.EndOfBody)
            assert sum(len(event.body) for event in events if isinstance(event, m.Data)) == size
            await sending

    run(test)


async def send_zeros(link: Link, size: int) -> None:
    piece = bytes(2**20)
    for _ in range(size // len(piece)):
        link.send_body(piece)
        assert link.buffered <= 3 * len(piece) + wire_module.WRITE_HIGH_WATER
        await link.drain()


def test_drain__peer_gone__returns_at_once() -> None:
    async def test() -> None:
        async with pair() as (manager, worker):
            worker.abort()
            await receive_until(manager, m.ConnectionClosed)
            manager.send(m.Check())
            await manager.drain()

    run(test)


def test_drain__peer_goes_while_waiting__returns() -> None:
    async def test() -> None:
        async with pair() as (manager, worker):
            manager.send(m.Put("a", 2**30, 0o644))
            manager.send_body(bytes(32 * 2**20))
            draining = asyncio.create_task(manager.drain())
            await asyncio.sleep(0)
            assert not draining.done()
            worker.abort()
            await draining

    run(test)


class NoDescriptor(io.BytesIO):
    """A file that the system cannot send by itself."""


@pytest.fixture
def content() -> bytes:
    return os.urandom(1000) * 2000


def open_real(folder: Path, content: bytes) -> BinaryIO:
    (folder / "file").write_bytes(content)
    return (folder / "file").open("rb")


@pytest.mark.parametrize("kind", ["real", "in memory"])
def test_send_file__part_of_a_file__arrives_between_other_messages(
    tmp_path: Path, content: bytes, kind: str
) -> None:
    async def test() -> None:
        async with pair() as (manager, worker):
            with open_real(tmp_path, content) if kind == "real" else NoDescriptor(content) as file:
                manager.send(m.Check(), m.Put("a", len(content) - 5, 0o644))
                sending = asyncio.create_task(manager.send_file(file, 5, len(content) - 5))
                events = await receive_until(worker, m.EndOfBody)
                await sending
            assert events[2] == m.Data(content[5:])
            manager.send(m.Check())
            assert await receive_until(worker, m.Check) == [m.Check()]

    run(test)


@pytest.mark.parametrize("kind", ["real", "in memory"])
def test_send_file__shorter_than_announced__closes_the_link(
    tmp_path: Path, content: bytes, kind: str
) -> None:
    async def test() -> None:
        async with pair() as (manager, worker):
            with open_real(tmp_path, content) if kind == "real" else NoDescriptor(content) as file:
                manager.send(m.Put("a", len(content) + 1, 0o644))
                sending = asyncio.create_task(manager.send_file(file, 0, len(content) + 1))
                with pytest.raises(RemoteProtocolError, match="in the middle"):
                    await receive_until(worker, m.EndOfBody)
                with pytest.raises(QueueError, match="ended after"):
                    await sending
            assert manager.is_closed

    run(test)


@pytest.mark.parametrize("kind", ["real", "in memory"])
def test_send_file__shorter_than_announced_and_filled_up__stays_in_step(
    tmp_path: Path, content: bytes, kind: str
) -> None:
    more = 3 * 2**20

    async def test() -> None:
        async with pair() as (manager, worker):
            with open_real(tmp_path, content) if kind == "real" else NoDescriptor(content) as file:
                size = len(content) + more
                manager.send(m.Put("a", size, 0o644))
                sending = asyncio.create_task(manager.send_file(file, 0, size, is_filled_up=True))
                events = await receive_until(worker, m.EndOfBody)
                with pytest.raises(QueueError, match=f"ended after {len(content)} of the {size} bytes"):
                    await sending
            assert events[1] == m.Data(content + bytes(more))
            manager.send(m.Check())
            assert await receive_until(worker, m.Check) == [m.Check()]

    run(test)


@pytest.mark.parametrize("kind", ["real", "in memory"])
def test_send_file__peer_goes__is_a_clear_error(tmp_path: Path, kind: str) -> None:
    async def test() -> None:
        content = bytes(64 * 2**20)
        async with pair() as (manager, worker):
            with open_real(tmp_path, content) if kind == "real" else NoDescriptor(content) as file:
                manager.send(m.Put("a", len(content), 0o644))
                sending = asyncio.create_task(manager.send_file(file, 0, len(content)))
                await worker.receive()
                worker.abort()
                with pytest.raises(QueueError, match="lost while a file was sent"):
                    await sending
                manager.abort()
                with pytest.raises(QueueError, match="lost while a file was sent"):
                    await send_again(manager, file)

    run(test)


@pytest.mark.parametrize("kind", ["real", "in memory"])
def test_send_file__peer_speaks_meanwhile__is_heard_at_once(tmp_path: Path, kind: str) -> None:
    async def test() -> None:
        content = bytes(64 * 2**20)  # more than both ends hold while nobody receives
        async with pair() as (manager, worker):
            await receive_until(manager, m.Feature)
            with open_real(tmp_path, content) if kind == "real" else NoDescriptor(content) as file:
                manager.send(m.Put("a", len(content), 0o644))
                sending = asyncio.create_task(manager.send_file(file, 0, len(content)))
                worker.send(m.Alive())
                assert await manager.receive() == [m.Alive()]
                assert not sending.done()
                events = await receive_until(worker, m.EndOfBody)
                await sending
            assert events[1] == m.Data(content)

    run(test)


async def send_again(link: Link, file: BinaryIO) -> None:
    link._wire.connection._unsent_body = 1
    await link.send_file(file, 0, 1)


def test_socket__of_either_side__is_prompt_kept_alive_and_not_inherited() -> None:
    async def test() -> None:
        async with pair() as links:
            for link in links:
                sock = link._wire.transport.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert not os.get_inheritable(sock.fileno())

    run(test)


# -- connect -----------------------------------------------------------------------------------------------------------


def find_closed_port() -> int:
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        port: int = sock.getsockname()[1]
        return port


def test_connect__nobody_listens__says_what_to_check() -> None:
    async def test() -> None:
        with pytest.raises(ManagerUnreachableError, match="no manager answers at") as raised:
            await connect(LOOPBACK, find_closed_port())
        assert "port" in str(raised.value.hint)

    run(test)


def test_connect__host_of_no_such_name__says_what_to_check() -> None:
    async def test() -> None:
        with pytest.raises(ManagerUnreachableError, match="no manager answers at"):
            await connect("no such host.invalid", 1)

    run(test)


def test_connect__manager_says_nothing__times_out() -> None:
    async def test() -> None:
        silent = socket.create_server((LOOPBACK, 0))
        with silent, pytest.raises(ManagerUnreachableError, match=r"within 0\.05 s"):
            await connect(LOOPBACK, silent.getsockname()[1], password=b"x", timeout=0.05)

    run(test)


async def ignore(link: Link) -> None:
    await receive_until(link, m.ConnectionClosed)


@pytest.mark.parametrize(("ours", "theirs"), [(b"a", b"b"), (b"a", None)], ids=["another", "none"])
def test_connect__password_differs__is_an_authentication_error(ours: bytes, theirs: bytes | None) -> None:
    async def test() -> None:
        async with await serve(ignore, LOOPBACK, 0, password=theirs) as server:
            with pytest.raises(AuthenticationError):
                await connect(LOOPBACK, server.port, password=ours)

    run(test)


def test_connect__somebody_who_does_not_know_the_password__learns_nothing_of_us() -> None:
    heard = bytearray()

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"auth password sha1\n" + b"n" * 63 + b"\n" + b"0" * 40 + b"\nok\n")
        heard.extend(await reader.read())  # until the other side closes
        writer.close()

    async def test() -> None:
        server = await asyncio.start_server(pretend, LOOPBACK, 0)
        async with server:
            with pytest.raises(AuthenticationError):
                await connect(LOOPBACK, server.sockets[0].getsockname()[1], password=b"secret\n")
            await wait_until(lambda: heard.endswith(b"failure\n"))

    run(test)
    opening, nonce, proof, verdict = bytes(heard).splitlines()
    assert (opening, len(nonce), verdict) == (b"auth password sha1", 63, b"failure")
    assert proof == hashlib.sha1(b"secret\n " + b"n" * 63).hexdigest().encode()


def test_receive__manager_wants_a_password__is_an_authentication_error() -> None:
    async def test() -> None:
        server = await serve(ignore, LOOPBACK, 0, password=b"x")
        async with server, await connect(LOOPBACK, server.port) as worker:
            with pytest.raises(AuthenticationError, match="asks for a password"):
                await worker.receive()

    run(test)


# -- serve -------------------------------------------------------------------------------------------------------------


async def wait_for_end(sock: socket.socket) -> None:
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(sock, 4096):
        pass


def open_silent(server: Server) -> socket.socket:
    return socket.create_connection((LOOPBACK, server.port))


@pytest.mark.parametrize(
    ("password", "options"),
    [(b"x", ServeOptions(password_timeout=0.05)), (None, ServeOptions(greeting_timeout=0.05))],
    ids=["no password in time", "no greeting in time"],
)
def test_serve__connection_that_says_nothing__is_dropped(
    password: bytes | None, options: ServeOptions
) -> None:
    async def test() -> None:
        async with await serve(ignore, LOOPBACK, 0, password=password, options=options) as server:
            with open_silent(server) as sock:
                await wait_for_end(sock)

    run(test)


def test_serve__crowd_that_says_nothing__lets_workers_through() -> None:
    async def test() -> None:
        async with await serve(ignore, LOOPBACK, 0, options=ServeOptions(max_silent=5)) as server:
            crowd = [open_silent(server) for _ in range(40)]
            async with await connect(LOOPBACK, server.port) as worker:
                worker.send(greeting())
                # The oldest is dropped: reset, or closed.
                with crowd[0], suppress(ConnectionResetError):
                    await wait_for_end(crowd[0])
                assert not worker.is_closed
                assert len(server._silent) <= 5
            for sock in crowd:
                sock.close()

    run(test)


def test_serve__silent_connection_closes__never_reaches_the_handler() -> None:
    async def test() -> None:
        reached = []

        async def handle(link: Link) -> None:
            reached.append(link)

        async with await serve(handle, LOOPBACK, 0) as server:
            open_silent(server).close()
            with open_silent(server) as sock:
                sock.sendall(b"workqueue 9 a b c d\n")
                await wait_for_end(sock)
        assert len(reached) == 1

    run(test)


@pytest.mark.parametrize("password", [None, b"x"])
@pytest.mark.parametrize("said", [b"", b"wor", b"auth password sha1\n"])
def test_serve__scan_of_ports__leaves_no_line_in_the_log(
    password: bytes | None, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with await serve(ignore, LOOPBACK, 0, password=password) as server:
            with open_silent(server) as sock:
                sock.sendall(said)
                sock.shutdown(socket.SHUT_WR)
                await wait_for_end(sock)

    run(test)
    is_clear = said.endswith(b"\n") and password is None
    assert [record.levelname for record in caplog.records] == (["WARNING"] if is_clear else [])


def test_serve__handler_fails__is_logged_and_the_link_closed(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async def fail(link: Link) -> None:
            await link.receive()
            raise failures.pop()

        failures: list[Exception] = [ValueError("a bug"), QueueError("a clear sentence")]
        async with await serve(fail, LOOPBACK, 0) as server:
            for _ in range(2):
                async with await connect(LOOPBACK, server.port) as worker:
                    worker.send(greeting())
                    assert await receive_until(worker, m.ConnectionClosed) == [m.ConnectionClosed()]

    run(test)
    clear, bug = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "a clear sentence" in clear.getMessage()
    assert clear.exc_info is None
    assert bug.exc_info is not None


def test_serve__closed_with_handlers_at_work__ends_them() -> None:
    async def test() -> None:
        async with await serve(ignore, LOOPBACK, 0) as server:
            worker = await connect(LOOPBACK, server.port)
            worker.send(greeting())
            await wait_until(lambda: bool(server._tasks))
        assert await receive_until(worker, m.ConnectionClosed) == [m.ConnectionClosed()]
        await worker.aclose()

    run(test)


def test_serve__few_files_allowed__allows_itself_more() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def test() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        async with await serve(ignore, LOOPBACK, 0):
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(before[1], MOST_FILES)

    try:
        run(test)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_serve__port_taken__is_a_clear_error() -> None:
    async def test() -> None:
        async with await serve(ignore, LOOPBACK, 0) as server:
            with pytest.raises(QueueError, match=f"cannot listen on {LOOPBACK}:{server.port}"):
                await serve(ignore, LOOPBACK, server.port)

    run(test)


def test_serve__every_address__has_one_port() -> None:
    async def test() -> None:
        async with await serve(ignore, None, 0) as server:
            assert {port for _, port in server.addresses} == {server.port}
            async with await connect("localhost", server.port) as worker:
                worker.send(greeting())
                await worker.drain()

    run(test)


def test_serve__status_tool_that_closes_its_half__gets_the_answer() -> None:
    async def answer(link: Link) -> None:
        (query, *_) = await link.receive()
        assert query == m.StatusQuery("queue_status")
        await receive_until(link, m.ConnectionClosed)
        link.send(m.StatusAnswer("[]"))

    async def test() -> None:
        async with await serve(answer, LOOPBACK, 0) as server:
            reader, writer = await asyncio.open_connection(LOOPBACK, server.port)
            writer.write(b"queue_status\n")
            writer.write_eof()
            assert await reader.read() == b"[]"
            writer.close()
            await writer.wait_closed()

    run(test)


# -- status ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", [None, b"sesame\n"])
def test_ask_status__large_answer__comes_whole(password: bytes | None) -> None:
    text = '["' + "x" * 5_000_000 + '"]'

    async def answer(link: Link) -> None:
        assert await link.receive() == [m.StatusQuery("task_status")]
        link.send(m.StatusAnswer(text))

    async def test() -> None:
        async with await serve(answer, LOOPBACK, 0, password=password) as server:
            assert await ask_status(LOOPBACK, server.port, "task_status", password=password) == [
                "x" * 5_000_000
            ]

    run(test)


def test_ask_status__no_answer__is_a_clear_error() -> None:
    async def test() -> None:
        async with await serve(ignore, LOOPBACK, 0) as server:
            with pytest.raises(ManagerUnreachableError, match=r"did not answer within 0\.1 s"):
                await ask_status(LOOPBACK, server.port, "queue_status", timeout=0.1)

    run(test)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "closed the connection"), ("<html>", "answer is no JSON"), ("{}", "answer is no list")],
)
def test_ask_status__answer_of_something_else__is_a_clear_error(text: str, problem: str) -> None:
    async def answer(link: Link) -> None:
        link.send(m.StatusAnswer(text))

    async def test() -> None:
        async with await serve(answer, LOOPBACK, 0) as server:
            with pytest.raises(RemoteProtocolError, match=problem):
                await ask_status(LOOPBACK, server.port, "queue_status")

    run(test)


def test_ask_status__endless_answer__is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MAX_ANSWER", 1000)

    async def answer(link: Link) -> None:
        link.send(m.StatusAnswer("x" * 100_000))

    async def test() -> None:
        async with await serve(answer, LOOPBACK, 0) as server:
            with pytest.raises(RemoteProtocolError, match="longer than"):
                await ask_status(LOOPBACK, server.port, "queue_status")

    run(test)


# -- trace -------------------------------------------------------------------------------------------------------------


def test_trace__at_debug__shows_what_went_over_the_wire(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with pair() as (manager, worker):
            manager.send(m.Put("a", 3, 0o644))
            manager.send_body(b"abc")
            await receive_until(worker, m.EndOfBody)
            worker._wire.transport.write(b"nonsense\n")
            with pytest.raises(RemoteProtocolError):
                await receive_until(manager, m.ConnectionClosed)

    caplog.set_level(logging.DEBUG, logger="wq_package.link")
    run(test)
    text = caplog.text
    for expected in ("> ", "< ", "Put(name='a', size=3, mode=420)", "Data of 3 bytes", "! ", "x "):
        assert expected in text


def test_trace__off__costs_nothing() -> None:
    async def test() -> None:
        async with pair() as (manager, _worker):
            assert not manager._wire.is_traced

    logging.getLogger("wq_package.link").setLevel(logging.INFO)
    run(test)


def test_connect__manager_goes_during_the_dialogue__is_worth_another_try() -> None:
    async def go_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"auth password sha1\nwqp1.nonce\n")
        await reader.readline()
        writer.close()

    async def run() -> None:
        async with await asyncio.start_server(go_away, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ManagerUnreachableError, match="password dialogue"):
                await connect("127.0.0.1", port, password=b"secret")

    asyncio.run(run())

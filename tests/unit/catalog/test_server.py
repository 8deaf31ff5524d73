"""The catalog, the advertiser and the look-up, with each other, over loopback."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from wq_package.catalog import Advertiser, CatalogAddress, CatalogServer, find_managers
from wq_package.catalog import server as server_module
from wq_package.catalog.advertiser import UpdateProtocol
from wq_package.catalog.lookup import query_catalog
from wq_package.errors import ManagerUnreachableError, QueueError

LOOPBACK = "127.0.0.1"
PATIENCE = 120.0
RECORD: dict[str, object] = {"type": "wq_master", "project": "mine", "port": 9123, "uuid": "1"}


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), PATIENCE))


def find_address(server: CatalogServer) -> CatalogAddress:
    return CatalogAddress(LOOPBACK, server.port)


async def find_ports(address: CatalogAddress, count: int) -> list[int]:
    """Ask until so many managers are known; an update is not answered, so there is nothing else to wait for."""
    while len(managers := await find_managers([address], "mine")) != count:
        pass
    return sorted(manager.port for manager in managers)


@pytest.mark.parametrize("protocol", list(UpdateProtocol))
@pytest.mark.parametrize("padding", [0, 100_000], ids=["small", "packed"])
def test_advertiser__either_way_and_size__is_found(protocol: UpdateProtocol, padding: int) -> None:
    async def test() -> None:
        async with CatalogServer() as server:
            address = find_address(server)
            record = {**RECORD, "padding": "x" * padding}
            await Advertiser([address], lambda: record, protocol=protocol).update()
            assert await find_ports(address, 1) == [9123]
            (manager,) = await find_managers([address], "mi.*")
            assert manager.hosts == (LOOPBACK,)

    run(test)


def test_advertiser__record_too_large_for_a_datagram__goes_by_tcp() -> None:
    async def test() -> None:
        async with CatalogServer() as server:
            noise = "".join(chr(33 + number * number * 7919 % 90) for number in range(200_000))
            record = {**RECORD, "noise": [hash((noise, number)) for number in range(10_000)]}
            await Advertiser([find_address(server)], lambda: record).update()
            assert await find_ports(find_address(server), 1) == [9123]

    run(test)


def test_advertiser__run__repeats_and_says_goodbye() -> None:
    async def test() -> None:
        async with CatalogServer() as server:
            address = find_address(server)
            ports = itertools.count(1)
            advertising = asyncio.create_task(
                Advertiser([address], lambda: {**RECORD, "port": next(ports)}, interval=0.01).run()
            )
            while len(await find_managers([address], "mine")) < 3:
                pass
            advertising.cancel()
            with pytest.raises(asyncio.CancelledError):
                await advertising

    run(test)


def test_advertiser__after_its_end__is_soon_forgotten() -> None:
    async def test() -> None:
        async with CatalogServer() as server:
            address = find_address(server)
            advertising = asyncio.create_task(Advertiser([address], lambda: RECORD).run())
            assert await find_ports(address, 1) == [9123]
            advertising.cancel()
            assert await find_ports(address, 0) == []

    run(test)


def find_closed_port() -> int:
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        port: int = sock.getsockname()[1]
        return port


def test_advertiser__catalog_gone__is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with CatalogServer() as server:
            address = find_address(server)
        advertiser = Advertiser([address], lambda: RECORD, protocol=UpdateProtocol.TCP)
        await advertiser.update()
        await advertiser.update()

    caplog.set_level(logging.WARNING)
    run(test)
    assert [record.name for record in caplog.records] == ["wq_package.catalog.advertiser"]


def test_find_managers__first_catalog_gone__asks_the_next() -> None:
    async def test() -> None:
        gone = CatalogAddress(LOOPBACK, find_closed_port())
        async with CatalogServer() as server:
            await Advertiser([find_address(server)], lambda: RECORD).update()
            await find_ports(find_address(server), 1)
            assert len(await find_managers([gone, find_address(server)], "mine")) == 1

    run(test)


@pytest.mark.parametrize("is_named", [True, False])
def test_find_managers__no_catalog_answers__says_what_to_do(is_named: bool) -> None:
    catalogs = [CatalogAddress(LOOPBACK, find_closed_port())] if is_named else []
    with pytest.raises(ManagerUnreachableError, match="no catalog answers") as raised:
        asyncio.run(find_managers(catalogs, "mine"))
    reason = f"{catalogs[0]} (Connection refused)" if catalogs else "none was named"
    assert str(raised.value) == f"no catalog answers: {reason}"
    assert "CATALOG_HOST" in str(raised.value.hint)


async def answer_with(body: bytes) -> tuple[asyncio.Server, CatalogAddress]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, LOOPBACK, 0)
    return server, CatalogAddress(LOOPBACK, server.sockets[0].getsockname()[1])


@pytest.mark.parametrize("body", [b"{}", b"<html>", b""])
def test_find_managers__answer_of_something_else__is_a_clear_error(body: bytes) -> None:
    async def test() -> None:
        server, address = await answer_with(body)
        async with server:
            with pytest.raises(ManagerUnreachableError, match="no catalog answers"):
                await find_managers([address], "mine")

    run(test)


def test_query__not_understood__is_an_error_at_the_tool() -> None:
    async def test() -> None:
        async with CatalogServer() as server:
            with pytest.raises(OSError, match="400"):
                await asyncio.to_thread(query_catalog, find_address(server), "a =")

    run(test)


async def exchange(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(data)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("request_text", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
        (b"POST / HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 "),
        (b"\r\n\r\n", b"HTTP/1.1 405 "),
        (b"GET /" + b"x" * 100_000 + b"\r\n\r\n", b""),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 100_000 + b"\r\n\r\n", b""),
    ],
    ids=["page", "another method", "nothing", "endless line", "endless header"],
)
def test_server__request__is_answered_or_dropped(request_text: bytes, answer: bytes) -> None:
    async def test() -> None:
        async with CatalogServer() as server:
            answered = await exchange(server.port, request_text)
            assert answered.startswith(answer)
            assert bool(answered) is bool(answer)

    run(test)


def test_server__slow_request__is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "TIMEOUT", 0.05)

    async def test() -> None:
        async with CatalogServer() as server:
            assert await exchange(server.port, b"GET / HT") == b""

    run(test)


def test_server__too_many_connections__are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 1)

    async def test() -> None:
        async with CatalogServer() as server:
            _, first = await asyncio.open_connection(LOOPBACK, server.port)
            try:
                assert await exchange(server.port, b"GET / HTTP/1.1\r\n\r\n") == b""
            finally:
                first.close()

    run(test)


def test_server__garbage_by_either_way__is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with CatalogServer() as server:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"garbage", (LOOPBACK, server.port))
            _, writer = await asyncio.open_connection(LOOPBACK, server.port + 1)
            writer.write(b"x" * 2**21)
            writer.close()
            await Advertiser([find_address(server)], lambda: RECORD).update()
            assert await find_ports(find_address(server), 1) == [9123]

    caplog.set_level(logging.INFO)
    run(test)
    assert "no JSON" in caplog.text


def test_start__port_taken__is_a_clear_error() -> None:
    async def test() -> None:
        async with CatalogServer() as server:
            with pytest.raises(QueueError, match="cannot listen"):
                await CatalogServer(port=server.port).start()

    run(test)


def test_start__next_port_taken__nothing_is_left_open() -> None:
    async def test() -> None:
        async with CatalogServer() as probe:
            port = probe.port
        with socket.create_server((LOOPBACK, port + 1)), pytest.raises(QueueError, match="cannot listen"):
            await CatalogServer(port=port).start()
        async with CatalogServer(port=port):
            pass

    run(test)

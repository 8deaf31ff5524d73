"""Layers from one worker's server to another worker: who is let in, what is given, and what a bad peer can do."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from wq_package.link import Link, connect, serve
from wq_package.protocol import messages as m
from wq_package.worker import peers
from wq_package.worker.layer_feed import LayerFeed
from wq_package.worker.peers import PeerError, PeerLinks, PeerRoom

DIGEST, OTHER = "1" * 64, "2" * 64
BODY = os.urandom(3_000_000)
TLS = pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "tls"])


class GatheringFeed(LayerFeed):
    """Keeps the pieces."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.body = bytearray()

    def feed(self, piece: bytes) -> None:
        self.body += piece


def keep(room: PeerRoom, digest: str, body: bytes) -> None:
    copy = room.open_copy(digest, len(body))
    assert copy is not None
    with copy:
        copy.write(body)
    assert room.keep_copy(digest, len(body))


async def fetch(order: m.FetchLayer, size: int, feed: LayerFeed, *, is_encrypted: bool) -> None:
    links = PeerLinks(is_encrypted=is_encrypted)
    try:
        await links.fetch(order, size, feed)
    finally:
        await links.aclose()


def run_with_room(
    folder: Path, is_encrypted: bool, test: Callable[[PeerRoom, m.FetchLayer], Awaitable[None]]
) -> None:
    async def run() -> None:
        room = PeerRoom(folder / "served")
        try:
            address = await room.start("127.0.0.1", 0, is_encrypted=is_encrypted)
            keep(room, DIGEST, BODY)
            order = m.FetchLayer(DIGEST, "127.0.0.1", address.port, address.secret, address.fingerprint)
            await test(room, order)
        finally:
            await room.close()

    asyncio.run(run())
    assert list(folder.iterdir()) == []


@TLS
def test_fetch__by_who_was_sent__gets_the_layer_as_it_arrived(tmp_path: Path, is_encrypted: bool) -> None:
    async def test(_room: PeerRoom, order: m.FetchLayer) -> None:
        feeds = [GatheringFeed() for _ in range(3)]
        await asyncio.gather(*(fetch(order, len(BODY), feed, is_encrypted=is_encrypted) for feed in feeds))
        assert all(feed.body == BODY for feed in feeds)

    run_with_room(tmp_path, is_encrypted, test)


@TLS
def test_fetch__one_after_the_other__takes_one_connection(
    tmp_path: Path, is_encrypted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = 0

    async def count(*args: Any, **kwargs: Any) -> Link:
        nonlocal opened
        opened += 1
        return await connect(*args, **kwargs)

    monkeypatch.setattr(peers, "connect", count)
    monkeypatch.setattr(peers, "_KEEP_SECONDS", 3600.0)

    async def test(room: PeerRoom, order: m.FetchLayer) -> None:
        keep(room, OTHER, BODY[:10])
        links = PeerLinks(is_encrypted=is_encrypted)
        for _ in range(2):
            for digest, body in ((DIGEST, BODY), (OTHER, BODY[:10])):
                feed = GatheringFeed()
                await links.fetch(dataclasses.replace(order, digest=digest), len(body), feed)
                assert feed.body == body
        assert opened == 1
        with pytest.raises(PeerError):
            await links.fetch(dataclasses.replace(order, digest="3" * 64), 10, GatheringFeed())
        # A refusal ends a connection, and the next is new.
        await links.fetch(order, len(BODY), GatheringFeed())
        assert opened == 2
        await links.aclose()

    run_with_room(tmp_path, is_encrypted, test)


@TLS
def test_fetch__with_another_secret__is_refused(tmp_path: Path, is_encrypted: bool) -> None:
    async def test(_room: PeerRoom, order: m.FetchLayer) -> None:
        wrong = dataclasses.replace(order, secret="0" * 64)
        with pytest.raises(PeerError) as caught:
            await fetch(wrong, len(BODY), GatheringFeed(), is_encrypted=is_encrypted)
        assert not caught.value.is_lie

    run_with_room(tmp_path, is_encrypted, test)


def test_fetch__layer_that_is_not_kept__fails(tmp_path: Path) -> None:
    async def test(room: PeerRoom, order: m.FetchLayer) -> None:
        room.open_copy(OTHER, 10).close()  # type: ignore[union-attr]  # there is room for ten bytes
        for digest in (OTHER, "3" * 64):
            wanted = dataclasses.replace(order, digest=digest)
            with pytest.raises(PeerError, match="no such layer"):
                await fetch(wanted, 10, GatheringFeed(), is_encrypted=False)
        room.drop_copy(OTHER)

    run_with_room(tmp_path, False, test)


def test_fetch__from_a_peer_without_tls_though_the_manager_has_it__is_not_tried(tmp_path: Path) -> None:
    async def test(_room: PeerRoom, order: m.FetchLayer) -> None:
        with pytest.raises(PeerError, match="no TLS"):
            await fetch(order, len(BODY), GatheringFeed(), is_encrypted=True)

    run_with_room(tmp_path, False, test)


def test_fetch__certificate_of_somebody_else__is_refused(tmp_path: Path) -> None:
    async def test(_room: PeerRoom, order: m.FetchLayer) -> None:
        wrong = dataclasses.replace(order, fingerprint="0" * 64)
        with pytest.raises(PeerError, match="fingerprint"):
            await fetch(wrong, len(BODY), GatheringFeed(), is_encrypted=True)

    run_with_room(tmp_path, True, test)


@pytest.mark.parametrize(
    ("given", "is_lie"),
    [(m.Layer(DIGEST, len(BODY) + 1), True), (m.Layer(OTHER, len(BODY)), True), (m.Exit(), False)],
)
def test_fetch__peer_that_gives_something_else__fails(given: m.ToWorker, is_lie: bool) -> None:
    async def lie(link: Link) -> None:
        while True:
            for event in await link.receive():
                if isinstance(event, m.Feature):
                    link.send(m.Hello(1, ""))
                elif isinstance(event, m.LayerRequest):
                    link.send(given)
                elif isinstance(event, m.ConnectionClosed):
                    return

    async def run() -> None:
        async with await serve(lie, "127.0.0.1", 0, password=b"secret") as server:
            order = m.FetchLayer(DIGEST, "127.0.0.1", server.port, "secret")
            with pytest.raises(PeerError) as caught:
                await fetch(order, len(BODY), GatheringFeed(), is_encrypted=False)
            assert caught.value.is_lie is is_lie

    asyncio.run(run())


def test_fetch__nobody_there_or_secret_that_is_no_text__fails() -> None:
    async def run() -> None:
        async with await serve(_ignore, "127.0.0.1", 0, password=b"secret") as server:
            port = server.port
        for secret in ("secret", "\ud800"):
            order = m.FetchLayer(DIGEST, "127.0.0.1", port, secret)
            with pytest.raises(PeerError):
                await fetch(order, 10, GatheringFeed(), is_encrypted=False)

    asyncio.run(run())


async def _ignore(link: Link) -> None:
    await link.receive()


def test_open_copy__two_fetches_of_one_layer__have_one_copy_between_them(tmp_path: Path) -> None:
    async def test(room: PeerRoom, _order: m.FetchLayer) -> None:
        first = room.open_copy(OTHER, 10)
        assert first is not None
        with first:
            assert room.open_copy(OTHER, 10) is None
            first.write(b"whole copy")
        assert room.keep_copy(OTHER, 10)
        assert (tmp_path / "served" / OTHER).read_bytes() == b"whole copy"

    run_with_room(tmp_path, False, test)


def test_fetch__peer_that_greets_again_and_again__is_asked_once_and_fails() -> None:
    asked: list[m.LayerRequest] = []

    async def chatter(link: Link) -> None:
        link.send(*[m.Hello(1, "")] * 50)
        while True:
            for event in await link.receive():
                if isinstance(event, m.ConnectionClosed):
                    return
                if isinstance(event, m.LayerRequest):
                    asked.append(event)

    async def run() -> None:
        async with await serve(chatter, "127.0.0.1", 0, password=b"secret") as server:
            order = m.FetchLayer(DIGEST, "127.0.0.1", server.port, "secret")
            with pytest.raises(PeerError):
                await fetch(order, len(BODY), GatheringFeed(), is_encrypted=False)

    asyncio.run(run())
    assert len(asked) <= 1


def test_attend__client_that_greets_again_and_again__is_greeted_once(tmp_path: Path) -> None:
    async def test(_room: PeerRoom, order: m.FetchLayer) -> None:
        address = (order.host, order.port)
        async with await connect(*address, password=order.secret.encode()) as link:
            link.send(m.Workqueue(9, "peer", "Linux", "unknown", "x"), *[m.Feature(m.DIALECT_FEATURE)] * 50)
            greetings = 0
            while True:
                for event in await link.receive():
                    if isinstance(event, m.Hello):
                        greetings += 1
                        link.send(m.LayerRequest(DIGEST))
                    if isinstance(event, m.EndOfBody | m.ConnectionClosed):
                        assert greetings == 1
                        return

    run_with_room(tmp_path, False, test)

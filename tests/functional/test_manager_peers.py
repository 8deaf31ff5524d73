"""Workers that fetch layers from each other: it works, with and without TLS, and bad peers cost nothing but time."""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager_programs import PASSWORD, SECONDS, Programs, make_call
from small_archives import make_archive, make_layer
from wq_package.archive.reader import ArchiveReader
from wq_package.link import Link, connect, serve
from wq_package.manager import BlockingManager, Manager, ManagerOptions
from wq_package.protocol import messages as m
from wq_package.task import Environment, Resources
from wq_package.worker.actions import Box
from wq_package.worker.greeting import render_greeting

WHOLE = Resources(2, 50, 50)
SIZE = 6 * 300_000


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment of seven layers that do not compress, whose Python is this one."""
    python = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'.encode()
    layers = [make_layer({"bin/python3": python}, "python")]
    layers += [make_layer({f"data/{n}": os.urandom(300_000)}, f"data-{n}") for n in range(6)]
    path, index = make_archive(tmp_path_factory.mktemp("environment"), layers)
    return Environment(index.environment, str(path))


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path)
    yield programs
    programs.stop()


def start_worker(programs: Programs, port: int, *more: str) -> None:
    """Start a worker with a store of its own."""
    store = programs.folder / f"store{len(programs.processes)}"
    programs.start("ours", port, "--store", str(store), *more)


def wait_for_file(path: str) -> int:
    import time

    Path(path).with_suffix(".begun").touch()
    while not Path(path).exists():
        time.sleep(0.01)
    return os.getpid()


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "tls"])
def test_peers__second_worker__has_its_layers_from_the_first(
    environment: Environment, programs: Programs, is_encrypted: bool
) -> None:
    options = ManagerOptions(password=PASSWORD, peers=True, tls=is_encrypted)
    with BlockingManager(options) as manager:
        more = ("--tls-fingerprint", manager.tls_fingerprint) if is_encrypted else ()
        start_worker(programs, manager.port, *more)
        path = programs.folder / "go"
        call = make_call(wait_for_file, str(path), environment=environment, resources=WHOLE)
        manager.submit(call)
        programs.wait_until(path.with_suffix(".begun").exists)  # so it has said that it has each layer
        start_worker(programs, manager.port, *more)  # the first one is busy, and keeps its layers
        manager.submit(make_call(os.getpid, environment=environment, resources=WHOLE))
        second = manager.wait(SECONDS)
        path.touch()
        first = manager.wait(SECONDS)
        assert first is not None
        assert second is not None
        assert first.is_success, first
        assert second.is_success, second
        assert SIZE < manager.statistics().bytes_sent < 1.2 * SIZE


async def _lie(link: Link, asked: list[str], sizes: dict[str, int]) -> None:
    """Serve layers of the right size with nothing in them."""
    while True:
        for event in await link.receive():
            if isinstance(event, m.Feature):
                link.send(m.Hello(1, ""))
            elif isinstance(event, m.LayerRequest):
                asked.append(event.digest)
                link.send(m.Layer(event.digest, sizes[event.digest]))
                link.send_body(bytes(sizes[event.digest]))
            elif isinstance(event, m.ConnectionClosed):
                return


async def _join_as_peer(port: int, address: m.PeerAddress, digests: list[str]) -> Link:
    """Connect as a worker that gets every layer from the manager, says that it serves them, and is never ready."""
    link = await connect("127.0.0.1", port, password=PASSWORD)
    identity = m.Workqueue(9, "bad", "Linux", "x86_64", "test")
    link.send(*render_greeting(identity, "bad", (m.DIALECT_FEATURE,), Box(2, 50, 50, 0), 0.0))
    coming: list[str] = []
    left = set(digests)
    while left:
        for event in await link.receive():
            assert not isinstance(event, m.ConnectionClosed)
            if isinstance(event, m.ServePeers):
                link.send(address)
            elif isinstance(event, m.EnvironmentOffer):
                link.send(m.LayersWanted(event.digest, tuple(digests)))
            elif isinstance(event, m.Layer):
                coming.append(event.digest)
            elif isinstance(event, m.EndOfBody):
                left.remove(coming[-1])
                link.send(m.LayerStored(coming[-1], is_served=True))
    await link.drain()
    return link


@pytest.mark.parametrize("is_there", [True, False], ids=["liar", "unreachable"])
def test_peers__that_lie_or_cannot_be_reached__the_manager_sends_instead(
    environment: Environment, programs: Programs, is_there: bool
) -> None:
    with ArchiveReader(Path(environment.archive)) as reader:
        sizes = {layer.digest: layer.stored_size for layer in reader.index.layers}

    async def run() -> None:
        asked: list[str] = []
        server = await serve(lambda link: _lie(link, asked, sizes), "127.0.0.1", 0, password=b"secret")
        address = m.PeerAddress(server.port, "secret")
        if not is_there:
            await server.aclose()
        async with server, Manager(ManagerOptions(password=PASSWORD, peers=True)) as manager:
            for _ in range(2):  # more than the bad one has room for
                manager.submit(make_call(os.getpid, environment=environment, resources=WHOLE))
            joining = _join_as_peer(manager.port, address, list(sizes))
            bad = await asyncio.wait_for(joining, SECONDS)
            start_worker(programs, manager.port)
            result = await manager.wait(SECONDS)
            assert result is not None
            assert result.is_success, result
            assert pickle.loads(result.value)[0]
            assert manager.statistics().bytes_sent > 2 * SIZE
            assert len(asked) <= 3, "a liar was asked again"
            assert bool(asked) is is_there
            await bad.aclose()

    asyncio.run(run())

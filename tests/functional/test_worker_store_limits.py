"""What a worker leaves in its store: what the limits allow, or nothing."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from worker_peers import FakeManager, SmallEnvironment, make_environment, start_worker
from wq_package.protocol import messages as m
from wq_package.worker import WorkerOptions, run_worker

SECONDS = 180.0


def make_large() -> SmallEnvironment:
    return make_environment({"large.bin": os.urandom(3_000_000)})


async def serve_one(folder: Path, environment: SmallEnvironment, *options: str) -> None:
    """Let a worker prepare an environment, and leave it."""
    async with FakeManager() as manager, start_worker(manager.port, folder, *options) as worker:
        await manager.wait_for_worker()
        assert isinstance(await manager.offer(environment), m.EnvironmentReady)
        manager.send(m.Release())
        assert await worker.wait(SECONDS) == 0


def list_layers(store: Path) -> set[str]:
    return {path.name for path in (store / "layers").iterdir() if path.is_dir()}


def test_store__without_a_limit__keeps_what_it_had(tmp_path: Path) -> None:
    environment = make_large()
    asyncio.run(serve_one(tmp_path, environment))
    assert list_layers(tmp_path / "store") == set(environment.bodies)


def find_large(environment: SmallEnvironment) -> str:
    return max(environment.bodies, key=lambda digest: len(environment.bodies[digest]))


@pytest.mark.parametrize("options", [("--store-limit", "2"), ("--store-free", str(10**9))])
def test_store__beyond_its_limits__loses_what_is_unused(tmp_path: Path, options: tuple[str, str]) -> None:
    environment = make_large()
    asyncio.run(serve_one(tmp_path, environment, *options))
    assert find_large(environment) not in list_layers(tmp_path / "store")
    assert not list((tmp_path / "store" / "envs").iterdir())


def test_store__limit__the_last_used_stays(tmp_path: Path) -> None:
    first, second = make_large(), make_large()
    asyncio.run(serve_one(tmp_path, first))
    asyncio.run(serve_one(tmp_path, second, "--store-limit", "4"))
    assert find_large(first) not in list_layers(tmp_path / "store")
    assert set(second.bodies) <= list_layers(tmp_path / "store")


def test_private_store__next_manager__finds_nothing_of_the_one_before(tmp_path: Path) -> None:
    async def run() -> None:
        environment = make_large()
        workdir = tmp_path / "workdir"
        async with FakeManager() as manager:
            options = ("--private-store", "--connect-timeout", "180")
            async with start_worker(manager.port, tmp_path, *options, single_shot=False) as worker:
                for _ in range(2):
                    await manager.wait_for_worker()
                    assert isinstance(await manager.offer(environment), m.EnvironmentReady)
                    assert list(workdir.glob("*/store.*/layers/*.json"))
                    manager.greeting = []
                    manager.seen.clear()
                    manager.link.close()
                await manager.wait_for_worker()
                assert not list(workdir.glob("*/store.*"))
                manager.send(m.Exit())
                assert await worker.wait(SECONDS) == 0
        assert not list(workdir.iterdir())

    asyncio.run(run())


def answer(number: int) -> int:
    return number


def wait_until_gone(*paths: Path) -> None:
    limit = time.monotonic() + SECONDS
    while any(path.exists() for path in paths):
        assert time.monotonic() < limit, "it is still there"
        time.sleep(0.05)


def test_environment__unused_for_long__may_go_and_comes_back_when_called(tmp_path: Path) -> None:
    async def run() -> None:
        environment = make_large()
        store = tmp_path / "store"
        async with FakeManager() as manager:
            options = WorkerOptions(
                "127.0.0.1",
                manager.port,
                store=store,
                workdir=tmp_path,
                store_limit_mb=2,
                single_shot=True,
                connect_timeout=SECONDS,
                interpreter_idle=0.0,
            )
            serving = asyncio.create_task(run_worker(options))
            await manager.wait_for_worker()
            assert isinstance(await manager.offer(environment), m.EnvironmentReady)
            unused = (store / "envs" / environment.digest, store / "layers" / find_large(environment))
            await asyncio.to_thread(wait_until_gone, *unused)
            call = manager.call(answer, 42, environment=environment.digest)
            wanted = await manager.wait_for_message(m.LayersWanted)
            assert find_large(environment) in wanted.digests
            for digest in wanted.digests:
                body = environment.bodies[digest]
                manager.send(m.Layer(digest, len(body)), body)
            assert (await manager.answer(call, SECONDS)).value == 42
            manager.send(m.Exit())
            await serving

    asyncio.run(run())


def test_environment__without_a_call_when_another_needs_its_room__goes_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        first, second = make_large(), make_large()
        store = tmp_path / "store"
        options = ("--store-limit", "4", "--cores", "1")
        async with FakeManager() as manager, start_worker(manager.port, tmp_path, *options):
            await manager.wait_for_worker()
            assert isinstance(await manager.offer(first), m.EnvironmentReady)
            assert (await manager.run(answer, 1, environment=first.digest)).value == 1
            assert isinstance(await manager.offer(second), m.EnvironmentReady)
            assert find_large(first) not in list_layers(store)
            assert (await manager.run(answer, 2, environment=second.digest)).value == 2
            call = manager.call(answer, 3, environment=first.digest)
            wanted = await manager.wait_for_message(m.LayersWanted)
            for digest in wanted.digests:
                body = first.bodies[digest]
                manager.send(m.Layer(digest, len(body)), body)
            assert (await manager.answer(call, SECONDS)).value == 3

    asyncio.run(run())


def test_environment__with_a_call_when_another_needs_its_room__stays(tmp_path: Path) -> None:
    async def run() -> None:
        first, second = make_large(), make_large()
        go, end = tmp_path / "go", tmp_path / "end"
        options = ("--store-limit", "4", "--cores", "2")
        async with FakeManager() as manager, start_worker(manager.port, tmp_path, *options):
            await manager.wait_for_worker()
            assert isinstance(await manager.offer(first), m.EnvironmentReady)
            call = manager.call(wait_for_file, str(go), environment=first.digest)
            assert isinstance(await manager.offer(second), m.EnvironmentReady)
            assert find_large(first) in list_layers(tmp_path / "store")
            other = manager.call(wait_for_file, str(end), environment=second.digest)
            go.touch()
            assert (await manager.answer(call, SECONDS)).value == str(go)
            # Over its limit, the store loses what has no call any more.
            await asyncio.to_thread(wait_until_gone, tmp_path / "store" / "layers" / find_large(first))
            end.touch()
            assert (await manager.answer(other, SECONDS)).value == str(end)

    asyncio.run(run())


def wait_for_file(path: str) -> str:
    import pathlib
    import time

    while not pathlib.Path(path).exists():
        time.sleep(0.01)
    return path

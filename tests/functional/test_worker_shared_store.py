"""Workers that share one store: a layer is fetched once, and whoever dies over it is followed by another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from worker_peers import FakeManager, RunningWorker, SmallEnvironment, make_environment, start_worker
from wq_package.protocol import messages as m

SECONDS = 180.0
Pair = tuple[FakeManager, RunningWorker]


@contextlib.asynccontextmanager
async def start_pairs(folder: Path, count: int) -> AsyncIterator[list[Pair]]:
    """Managers with one worker each; the workers share a store."""
    async with contextlib.AsyncExitStack() as stack:
        pairs = []
        for _ in range(count):
            manager = await stack.enter_async_context(FakeManager())
            worker = await stack.enter_async_context(start_worker(manager.port, folder, "--cores", "1"))
            pairs.append((manager, worker))
        for manager, _ in pairs:
            await manager.wait_for_worker()
        yield pairs


async def offer(manager: FakeManager, environment: SmallEnvironment) -> tuple[str, ...]:
    """Offer an environment and tell what the worker wants of it."""
    manager.send(environment.offer)
    wanted = await manager.wait_for_message(m.LayersWanted, SECONDS)
    assert isinstance(wanted, m.LayersWanted)
    return wanted.digests


def send_layers(manager: FakeManager, environment: SmallEnvironment, digests: tuple[str, ...]) -> None:
    for digest in digests:
        body = environment.bodies[digest]
        manager.send(m.Layer(digest, len(body)), body)


def test_shared_store__many_workers_at_once__a_layer_is_fetched_once(tmp_path: Path) -> None:
    async def run() -> None:
        environment = make_environment({"one.py": b"x = 1\n"})
        async with start_pairs(tmp_path, 3) as pairs:
            wanted = await asyncio.gather(*(offer(manager, environment) for manager, _ in pairs))
            assert sorted(digest for digests in wanted for digest in digests) == sorted(environment.bodies)
            for manager, _ in pairs:  # those that wait for others still answer
                manager.send(m.Check())
                await manager.wait_for_message(m.Alive, SECONDS)
            for (manager, _), digests in zip(pairs, wanted, strict=True):
                send_layers(manager, environment, digests)
            for manager, _ in pairs:
                await manager.wait_for_message(m.EnvironmentReady, SECONDS)
                assert not [event for event in manager.seen if isinstance(event, m.LayersWanted)]

    asyncio.run(run())


def test_shared_store__worker_dies_over_its_layers__another_fetches_them(tmp_path: Path) -> None:
    async def run() -> None:
        environment = make_environment({"one.py": b"x = 1\n"})
        async with start_pairs(tmp_path, 2) as ((first, dying), (second, _)):
            assert set(await offer(first, environment)) == set(environment.bodies)
            assert await offer(second, environment) == ()
            digest, body = next(iter(environment.bodies.items()))
            first.send(m.Layer(digest, len(body)), body[:1])  # it dies in the middle of one
            dying.process.kill()
            for _ in environment.bodies:
                wanted = await second.wait_for_message(m.LayersWanted, SECONDS)
                send_layers(second, environment, wanted.digests)
            await second.wait_for_message(m.EnvironmentReady, SECONDS)

    asyncio.run(run())


def test_shared_store__environments_claimed_in_opposite_order__both_get_ready(tmp_path: Path) -> None:
    async def run() -> None:
        one, two = (make_environment({f"{name}.py": b"x = 1\n"}) for name in ("one", "two"))
        async with start_pairs(tmp_path, 2) as ((first, _), (second, _)):
            assert set(await offer(first, one)) == set(one.bodies)
            of_second = await offer(second, two)  # all but the Python, which both have
            assert set(of_second) == set(two.bodies) - set(one.bodies)
            assert await offer(first, two) == ()
            assert await offer(second, one) == ()
            send_layers(second, two, of_second)
            send_layers(first, one, tuple(one.bodies))
            for manager in (first, second):
                for _ in (one, two):
                    await manager.wait_for_message(m.EnvironmentReady, SECONDS)

    asyncio.run(run())


def test_shared_store__manager_leaves_a_worker__its_claims_go_to_another(tmp_path: Path) -> None:
    async def run() -> None:
        environment = make_environment({"one.py": b"x = 1\n"})
        async with start_pairs(tmp_path, 2) as ((first, _), (second, _)):
            assert set(await offer(first, environment)) == set(environment.bodies)
            assert await offer(second, environment) == ()
            first.send(m.Release())
            for _ in environment.bodies:
                wanted = await second.wait_for_message(m.LayersWanted, SECONDS)
                send_layers(second, environment, wanted.digests)
            await second.wait_for_message(m.EnvironmentReady, SECONDS)

    asyncio.run(run())

"""A thousand workers at once, simulated in this process by real connections."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections import Counter

from wq_package.link import Link, connect
from wq_package.manager import Manager, ManagerOptions
from wq_package.protocol import messages as m
from wq_package.task import Resources, Task

WORKERS = 1000
SILENT = 3000
"""Six times as many as are let be; ten thousand are no different, and take longer."""
SECONDS = 300.0


async def serve_one(port: int, number: int) -> int:
    """Be a worker that ends every task at once; return how many it was given."""
    async with await connect("127.0.0.1", port, timeout=SECONDS) as link:
        link.send(m.Workqueue(9, f"host{number}", "Linux", "x86_64", "8.0.0"))
        for name, amount in (
            ("workers", 1),
            ("disk", 100),
            ("memory", 100),
            ("gpus", 0),
            ("cores", 1),
            ("tag", 0),
        ):
            link.send(m.Resource(name, amount, amount, amount))
        link.send(m.Info("worker-end-time", "0"))
        return await _obey(link)


async def _obey(link: Link) -> int:
    ended: list[int] = []
    count = 0
    while True:
        for event in await link.receive():
            match event:
                case m.TaskDescription(task_id):
                    count += 1
                    ended.append(task_id)
                    link.send(m.AvailableResults())
                case m.SendResults():
                    for task_id in ended:
                        link.send(m.Result(0, 0, 2, 1_000_000, task_id))
                        link.send_body(b"ok")
                    ended.clear()
                    link.send(m.End())
                case m.Release() | m.ConnectionClosed():
                    return count
                case _:
                    pass


async def connect_silently(port: int, count: int, sockets: list[socket.socket]) -> None:
    """Open connections and say nothing; the manager may close them."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        sock = socket.socket()
        sockets.append(sock)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))


def test_thousands_of_connections_that_say_nothing__a_worker_is_served() -> None:
    async def run(count: int) -> None:
        sockets: list[socket.socket] = []
        async with Manager(ManagerOptions(password=None)) as manager:
            try:
                async with asyncio.timeout(SECONDS):
                    await connect_silently(manager.port, count, sockets)
                    worker = asyncio.create_task(serve_one(manager.port, 1))
                    task_id = manager.submit(Task(command="true"))
                    result = await manager.wait(SECONDS)
                    assert result is not None
                    assert (result.task_id, result.is_success) == (task_id, True)
                    assert manager.statistics().workers_connected == 1
            finally:
                for sock in sockets:
                    sock.close()
        assert await worker == 1

    asyncio.run(run(min(SILENT, allow_files(SILENT + 2000) - 2000)))


def allow_files(count: int) -> int:
    """Let this process open more files; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = max(soft, min(hard, count))
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def test_thousand_workers__all_are_served() -> None:
    async def run() -> list[int]:
        async with Manager(ManagerOptions(password=None)) as manager:
            workers = [asyncio.create_task(serve_one(manager.port, number)) for number in range(WORKERS)]
            async with asyncio.timeout(SECONDS):
                while manager.statistics().workers_connected < WORKERS:  # noqa: ASYNC110 - others make it true
                    await asyncio.sleep(0.05)
            for _ in range(3 * WORKERS):
                manager.submit(Task(command="true", resources=Resources(1, 10, 10)))
            seen = Counter[int]()
            for _ in range(3 * WORKERS):
                result = await manager.wait(SECONDS)
                assert result is not None
                assert result.is_success
                seen[result.task_id] += 1
            assert set(seen.values()) == {1}
        return await asyncio.gather(*workers)

    allow_files(4 * WORKERS)
    counts = asyncio.run(run())
    assert sum(counts) == 3 * WORKERS
    assert min(counts) >= 1

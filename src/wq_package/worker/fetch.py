"""Cache entries that a worker gets by itself, from a URL, a command or a path (shell module).

Knows `Url` and `Thirdget`, which managers of protocol 9 and 10 send, and `Puturl` and `Putcmd` of protocol 11. Real workers stand
still meanwhile; here tasks go on, and the manager hears from us, though its next lines wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING

from wq_package.errors import RemoteProtocolError
from wq_package.protocol import messages as wire
from wq_package.worker.outbox import Outbox
from wq_package.worker.process import Program, ProgramEnd, Spawner

if TYPE_CHECKING:
    from wq_package.worker.client import Worker

__all__ = ["Source", "Sources", "fetch"]

Source = wire.Url | wire.Thirdget | wire.Puturl | wire.Putcmd
_HEARTBEAT_SECONDS = 10.0
"""Real managers drop a worker of which they have heard nothing for 30 s after they have asked."""


class Sources:
    """What the manager wants fetched, one after the other: the next lines may name it.

    Args:
        keep_key: told the key of an entry that is being made.
        store: told the name and the key of one that is there.
    """

    def __init__(
        self,
        worker: Worker,
        outbox: Outbox,
        keep_key: Callable[[int], None],
        store: Callable[[tuple[str, int]], None],
    ) -> None:
        self._worker = worker
        self._outbox = outbox
        self._keep_key = keep_key
        self._store = store
        self._waiting: deque[Source] = deque()

    def add(self, source: Source) -> None:
        """Have something fetched."""
        self._waiting.append(source)

    async def fetch_waiting(self) -> None:
        """Fetch what waits.

        Raises:
            RemoteProtocolError: it cannot be had, and there is no other way to tell the manager.
        """
        while self._waiting:
            source = self._waiting.popleft()
            worker, key, began = self._worker, self._worker.entries.make_key(), time.monotonic()
            self._keep_key(key)
            place = worker.entries.locate(key)
            async with self._keep_heard():
                failure = await fetch(source, place, worker.spawner, worker.threads)
            if not failure:
                self._store((source.name, key))
            if isinstance(source, wire.Puturl | wire.Putcmd):
                self._tell(source.name, place, time.monotonic() - began, failure)
            elif failure:
                raise RemoteProtocolError(f"`{source.name}` cannot be had: {failure}")

    def _tell(self, name: str, place: str, seconds: float, failure: str) -> None:
        if failure:
            self._outbox.send(wire.CacheInvalid(name, failure))
        else:
            self._outbox.send(wire.CacheUpdate(name, os.stat(place).st_size, int(seconds * 1e6)))

    @contextlib.asynccontextmanager
    async def _keep_heard(self) -> AsyncIterator[None]:
        async def speak() -> None:
            while True:
                await asyncio.sleep(_HEARTBEAT_SECONDS)
                self._outbox.send(wire.Alive())

        speaking = asyncio.create_task(speak())
        try:
            yield
        finally:
            speaking.cancel()


async def fetch(source: Source, place: str, spawner: Spawner, threads: Executor) -> str:
    """Make a cache entry at `place`; return what went wrong, or an empty text."""
    folder, failure = os.path.dirname(place), ""
    match source:
        case wire.Url(url=url) | wire.Puturl(source=url):
            command = ("/usr/bin/env", "curl", "-f", "-s", "-S", "-L", "-o", place, "--", url)
            failure = await _run(command, folder, spawner)
        case wire.Putcmd(source=line) | wire.Thirdget(mode=wire.TransferMode.COMMAND, path=line):
            failure = await _run(("/bin/sh", "-c", line.replace("%%", place)), folder, spawner)
        case wire.Thirdget():  # real workers fail to make the link that they are asked for; a copy serves as well
            loop = asyncio.get_running_loop()
            failure = await loop.run_in_executor(threads, partial(_copy, source.path, place))
    return failure or _finish(source, place)


async def _run(argv: tuple[str, ...], folder: str, spawner: Spawner) -> str:
    ended: asyncio.Future[ProgramEnd] = asyncio.get_running_loop().create_future()

    def finish(end: ProgramEnd) -> None:
        if not ended.done():  # we may have been cancelled
            ended.set_result(end)

    number = spawner.start(Program(argv, folder), finish)
    try:
        end = await ended
    finally:
        spawner.kill(number)
    if end.errno:
        return os.strerror(end.errno)
    if end.signal:
        return f"it was killed by signal {end.signal}"
    return f"it ended with exit code {end.exit_code}" if end.exit_code else ""


def _finish(source: Source, place: str) -> str:
    if not os.path.exists(place):
        return "it left nothing"
    if isinstance(source, wire.Puturl | wire.Putcmd) and os.path.isfile(place):
        os.chmod(place, source.mode & 0o777 | 0o600)
    return ""


def _copy(source: str, place: str) -> str:
    try:
        if os.path.isdir(source):
            shutil.copytree(source, place)
        else:
            shutil.copy(source, place)
    except (OSError, ValueError) as error:  # a NUL in the path is a ValueError
        return str(error)
    return ""

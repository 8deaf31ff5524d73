"""Cache entries that a worker gets by itself, from a URL, a command or a path (shell module).

Knows `Url` and `Thirdget`, which only managers of protocol 9 and 10 send. Real workers stand still meanwhile; here tasks go
on and checks wait only because the manager's lines are taken in order.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from concurrent.futures import Executor
from functools import partial

from wq_package.protocol import messages as wire
from wq_package.worker.process import Program, ProgramEnd, Spawner

__all__ = ["fetch"]


async def fetch(source: wire.Url | wire.Thirdget, place: str, spawner: Spawner, threads: Executor) -> str:
    """Make a cache entry at `place`; return what went wrong, or an empty text."""
    folder = os.path.dirname(place)
    if isinstance(source, wire.Url):
        command = ("curl", "-f", "-s", "-S", "-L", "-o", place, "--", source.url)
        failure = await _run(("/usr/bin/env", *command), folder, spawner)
    elif source.mode is wire.TransferMode.COMMAND:
        command_line = source.path.replace("%%", place)
        failure = await _run(("/bin/sh", "-c", command_line), folder, spawner)
    else:  # real workers fail to make the link that they are asked for; a copy serves as well
        loop = asyncio.get_running_loop()
        failure = await loop.run_in_executor(threads, partial(_copy, source.path, place))
    return failure or _find_nothing(place)


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


def _find_nothing(place: str) -> str:
    return "" if os.path.exists(place) else "it left nothing"


def _copy(source: str, place: str) -> str:
    try:
        if os.path.isdir(source):
            shutil.copytree(source, place)
        else:
            shutil.copy(source, place)
    except (OSError, ValueError) as error:  # a NUL in the path is a ValueError
        return str(error)
    return ""

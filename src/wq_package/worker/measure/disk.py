"""How much disk the folders of running tasks take (shell module).

Knows folders and an executor for what takes long; decides nothing. Blocks are counted, not sizes: a file with holes
takes what it takes, and a file with two names counts once. Looking costs time for every file, so it is done in another
thread, at the end and now and then before it: the longer it takes, the more rarely.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

__all__ = ["DiskWatch", "measure_disk"]

_MB = 2**20
_BLOCK = 512
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 30.0
_COST_FACTOR = 50
"""A folder is looked at again after at least so many times as long as it took to look at it."""


def measure_disk(places: Iterable[str]) -> float:
    """Add up the blocks of these files and of what is in these folders, in MB; what goes away meanwhile is left out."""
    blocks = 0
    seen: set[tuple[int, int]] = set()
    for status in _iter_statuses(places):
        identity = (status.st_dev, status.st_ino)
        if status.st_nlink == 1 or identity not in seen:
            seen.add(identity)
            blocks += status.st_blocks
    return blocks * _BLOCK / _MB


def _iter_statuses(places: Iterable[str]) -> Iterator[os.stat_result]:
    folders = []
    for place in places:
        with contextlib.suppress(OSError):
            status = os.lstat(place)
            if stat.S_ISDIR(status.st_mode):
                folders.append(place)
            else:
                yield status
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    yield status
                    if stat.S_ISDIR(status.st_mode):
                        folders.append(entry.path)


@dataclass(slots=True)
class _Watched:
    places: tuple[str, ...]
    limit: float
    on_excess: Callable[[], None]
    delay: float = _FIRST_DELAY
    peak: float = 0.0
    timer: asyncio.TimerHandle | None = None


class DiskWatch:
    """The folders of every task that runs.

    Args:
        threads: for looking.
    """

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self._watched: dict[int, _Watched] = {}
        self._looking: set[asyncio.Future[None]] = set()

    def begin(
        self, number: int, places: tuple[str, ...], limit_mb: float, on_excess: Callable[[], None]
    ) -> None:
        """Watch the files and folders of a task; `on_excess` is called, more than once perhaps, while they are over a limit.

        A limit of 0 is none.
        """
        watched = self._watched[number] = _Watched(places, limit_mb, on_excess)
        self._plan(number, watched)

    def end(self, number: int) -> float:
        """Stop watching; return the most that was seen, in MB."""
        watched = self._watched.pop(number, None)
        if watched is None:
            return 0.0
        if watched.timer is not None:
            watched.timer.cancel()
        return watched.peak

    def _plan(self, number: int, watched: _Watched) -> None:
        loop = asyncio.get_running_loop()
        watched.timer = loop.call_later(watched.delay, self._look, number, watched)

    def _look(self, number: int, watched: _Watched) -> None:
        looking = asyncio.ensure_future(self._measure(number, watched))
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)

    async def _measure(self, number: int, watched: _Watched) -> None:
        began = time.monotonic()
        found = await asyncio.get_running_loop().run_in_executor(self._threads, measure_disk, watched.places)
        if self._watched.get(number) is not watched:
            return
        watched.peak = max(watched.peak, found)
        if 0 < watched.limit < found:
            watched.on_excess()
        longest = _FIRST_DELAY if watched.limit else watched.delay * 2
        watched.delay = min(_LONGEST_DELAY, max(longest, (time.monotonic() - began) * _COST_FACTOR))
        self._plan(number, watched)

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
_GRID = 0.25
_QUICK = 0.01
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


@dataclass(slots=True, eq=False)
class _Watched:
    places: tuple[str, ...]
    limit: float
    on_excess: Callable[[], None]
    due: float
    delay: float = _FIRST_DELAY
    cost: float = 0.0
    peak: float = 0.0
    is_looked_at: bool = False


class DiskWatch:
    """The folders of every task that runs.

    Those that took little are looked at together, in one go: handing work to a thread costs more than a small folder.

    Args:
        threads: for looking.
    """

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self._watched: dict[int, _Watched] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._looking: set[asyncio.Future[None]] = set()

    def begin(
        self, number: int, places: tuple[str, ...], limit_mb: float, on_excess: Callable[[], None]
    ) -> None:
        """Watch the files and folders of a task; `on_excess` is called, more than once perhaps, while they are over a limit.

        A limit of 0 is none.
        """
        due = asyncio.get_running_loop().time() + _FIRST_DELAY
        self._watched[number] = _Watched(places, limit_mb, on_excess, due)
        self._plan()

    def end(self, number: int) -> float:
        """Stop watching; return the most that was seen, in MB."""
        watched = self._watched.pop(number, None)
        return 0.0 if watched is None else watched.peak

    def _plan(self) -> None:
        """See to it that there is a look within the grid while anything is watched."""
        if self._timer is None and self._watched:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_GRID, self._look)

    def _look(self) -> None:
        self._timer = None
        self._plan()
        now = asyncio.get_running_loop().time()
        due = [each for each in self._watched.values() if each.due <= now and not each.is_looked_at]
        quick = [each for each in due if each.cost <= _QUICK]
        for group in ([quick] * bool(quick)) + [[each] for each in due if each.cost > _QUICK]:
            looking = asyncio.ensure_future(self._measure(group))
            self._looking.add(looking)
            looking.add_done_callback(self._looking.discard)

    async def _measure(self, group: list[_Watched]) -> None:
        for each in group:
            each.is_looked_at = True
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _measure_all, [each.places for each in group])
        now = loop.time()
        current = set(self._watched.values())
        for each, (size, cost) in zip(group, found, strict=True):
            if each in current:
                each.is_looked_at = False
                _note(each, now, size, cost)


def _note(watched: _Watched, now: float, size: float, cost: float) -> None:
    watched.peak = max(watched.peak, size)
    watched.cost = cost
    if 0 < watched.limit < size:
        watched.on_excess()
    longest = _FIRST_DELAY if watched.limit else watched.delay * 2
    watched.delay = min(_LONGEST_DELAY, max(longest, cost * _COST_FACTOR))
    watched.due = now + watched.delay


def _measure_all(groups: list[tuple[str, ...]]) -> list[tuple[float, float]]:
    """Measure each group of places, and the seconds that it took."""
    found = []
    for places in groups:
        began = time.monotonic()
        size = measure_disk(places)
        found.append((size, time.monotonic() - began))
    return found

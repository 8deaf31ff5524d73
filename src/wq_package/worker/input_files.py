"""Input files of one session: taken in as they come, or found in the store, where they outlive their manager (shell module).

Knows the store's shelf, what a manager offers, and that a name of the form `file-DIGEST-MODE` says what is in a file. Two workers
of a store fetch a file once: who has claimed it asks for it, and the others wait until it is there. Knows nothing of tasks.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from wq_package.errors import WQPackageError
from wq_package.link import Link
from wq_package.protocol import messages as wire
from wq_package.worker.cache import EntryReceiver, SkippedEntry
from wq_package.worker.outbox import Outbox

if TYPE_CHECKING:
    from wq_package.worker.client import Worker
    from wq_package.worker.store.claims import Claims
    from wq_package.worker.store.files import FileName, FileShelf, IncomingFile

__all__ = ["Arrival", "InputFiles"]

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.1
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NAME = re.compile(r"file-([0-9a-f]{64})-(644|755)")
_T = TypeVar("_T")


class Arrival:
    """A file that arrives for the store."""

    def __init__(self, file: IncomingFile, digest: str, claims: Claims) -> None:
        self._file = file
        self._digest = digest
        self._claims = claims

    def write(self, piece: memoryview) -> int:
        """Write a piece, or the beginning of it, and return how much.

        Raises:
            OSError: the disk is full, or refuses.
        """
        self._claims.note_progress(self._digest)
        return self._file.write(piece)

    def finish(self) -> str | None:
        """Tell where the file is; `None` if it is another one than its name says."""
        path = self._file.finish()
        self._claims.give_back(self._digest)
        if path is None:
            _log.warning(
                "file %s arrived with other bytes than its name says: it is not used", self._digest[:12]
            )
        return path

    def abort(self) -> None:
        """Give the file up."""
        self._file.abort()
        self._claims.give_back(self._digest)


class InputFiles:
    """What a manager puts into the cache, and what it only offers.

    Args:
        make_room: makes room for so many bytes in the store, and tells whether there is enough.
        on_stored: told the name and the key of a file that is here.
        on_refused: told the name of what the disk has no room for.
    """

    def __init__(
        self,
        worker: Worker,
        link: Link,
        outbox: Outbox,
        make_room: Callable[[int], Awaitable[bool]],
        on_stored: Callable[[tuple[str, int]], None],
        on_refused: Callable[[str], None],
    ) -> None:
        self._worker = worker
        self._link = link
        self._receiver = EntryReceiver(worker.entries, self._open_kept)
        self._outbox = outbox
        self._make_room = make_room
        self._on_stored = on_stored
        self._on_refused = on_refused
        self._skipped: SkippedEntry | None = None
        self._shelf: FileShelf | None = None
        self._claims: Claims | None = None
        self._claimed: dict[str, FileName] = {}
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._lock = asyncio.Lock()

    def receive(self, message: wire.Put | wire.Dir | wire.Symlink | wire.End | wire.FileOffer) -> None:
        """Take in what comes for the cache.

        Raises:
            OSError: the disk refuses; or it is full, and the manager is not one that can be told so.
        """
        if isinstance(message, wire.FileOffer):
            self.forget(message.cache_name)
            task = asyncio.get_running_loop().create_task(self._answer(message))
            self._waiting[message.cache_name] = task
            return
        if isinstance(message, wire.Put):
            self._link.divert_body(self._write)
        if self._skipped is not None:
            self._skipped.receive(message)
            self._end_skipped()
            return
        try:
            self._take_in(message)
        except OSError as error:
            depth = self._receiver.depth + isinstance(message, wire.Dir)
            self._skip(error, SkippedEntry(depth, isinstance(message, wire.Put)))

    def _take_in(self, message: wire.Put | wire.Dir | wire.Symlink | wire.End) -> None:
        match message:
            case wire.Put():
                self._receiver.open_file(message)
            case wire.Dir():
                self._receiver.open_folder(message)
            case wire.Symlink():
                self._receiver.make_link(message)
            case wire.End():
                self._store(self._receiver.close_folder())

    def _write(self, piece: bytes | memoryview) -> None:
        if self._skipped is not None:
            return
        try:
            self._receiver.write(piece)
        except OSError as error:
            self._skip(error, SkippedEntry(self._receiver.depth, is_writing=True))

    def _skip(self, error: OSError, skipped: SkippedEntry) -> None:
        """Give an entry up that the disk has no room for, but not the connection, which others need."""
        if error.errno not in _FULL or not self._link.speaks_dialect:
            raise error
        name = self._receiver.name
        for key in self._receiver.abort():
            self._worker.threads.submit(self._worker.entries.remove, key)
        _log.warning("`%s` cannot be stored: %s", name, error.strerror)
        self._skipped = skipped
        self._on_refused(name)
        self._end_skipped()

    def _end_skipped(self) -> None:
        if self._skipped is not None and not self._skipped.is_open:
            self._skipped = None

    @property
    def is_open(self) -> bool:
        """Whether a file or folder is not complete."""
        return self._skipped is not None or self._receiver.is_open

    @property
    def is_waiting(self) -> bool:
        """Whether an offer is not answered."""
        return bool(self._waiting)

    @property
    def is_writing(self) -> bool:
        """Whether the body of a file is expected."""
        return self._receiver.is_writing if self._skipped is None else self._skipped.is_writing

    def write(self, piece: bytes) -> None:
        """Write a piece of the body.

        Raises:
            OSError: see `receive`.
        """
        self._write(piece)

    def end_file(self) -> None:
        """Count a file as complete."""
        self._link.divert_body(None)
        if self._skipped is None:
            self._store(self._receiver.close_file())
            return
        self._skipped.is_writing = False
        self._end_skipped()

    def _store(self, entry: tuple[str, int] | None) -> None:
        if entry is not None:
            self._on_stored(entry)

    def _open_kept(self, cache_name: str) -> Arrival | None:
        name = self._claimed.pop(cache_name, None)
        if name is None:
            self.forget(cache_name)  # our answer took too long
            return None
        assert self._shelf is not None
        assert self._claims is not None
        return Arrival(self._shelf.receive(name), name.digest, self._claims)

    def forget(self, cache_name: str) -> None:
        """Let another worker fetch a file into the store, if this one was to."""
        task = self._waiting.pop(cache_name, None)
        if task is not None:
            task.cancel()
        name = self._claimed.pop(cache_name, None)
        if name is not None and self._claims is not None:
            self._claims.give_back(name.digest)

    async def close(self) -> None:
        """Give up what is under way, and release what is used."""
        for key in self._receiver.abort():
            self._worker.threads.submit(self._worker.entries.remove, key)
        tasks = list(self._waiting.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._claims is not None:
            self._claims.close()
        if self._shelf is not None:
            await self._call(self._shelf.close)

    async def _answer(self, offer: wire.FileOffer) -> None:
        is_here = False
        try:
            is_here = await self._find(offer)
        except (WQPackageError, OSError) as error:
            _log.info("`%s` is not kept in the store: %s", offer.cache_name, error)
        del self._waiting[offer.cache_name]
        self._outbox.send(wire.FileAnswer(offer.cache_name, not is_here))

    async def _find(self, offer: wire.FileOffer) -> bool:
        """Get a file from the store, or undertake to fetch it; tell which."""
        found = _NAME.fullmatch(offer.cache_name)
        if found is None:
            return False
        from wq_package.worker.store.files import FileName

        name = FileName(found[1], int(found[2], 8))
        shelf, claims = await self._open_shelf()
        while not await self._take(shelf, name, offer):
            if not await self._make_room(offer.size):
                return False  # the worker's own folder may have more
            if await self._call(partial(claims.take, name.digest)):
                return await self._take_or_claim(shelf, name, offer, claims)
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    async def _take_or_claim(
        self, shelf: FileShelf, name: FileName, offer: wire.FileOffer, claims: Claims
    ) -> bool:
        if await self._take(shelf, name, offer):  # it came between the two looks
            claims.give_back(name.digest)
            return True
        self._claimed[offer.cache_name] = name
        return False

    async def _take(self, shelf: FileShelf, name: FileName, offer: wire.FileOffer) -> bool:
        path = await self._call(partial(shelf.take, name, offer.size))
        if path is None:
            return False
        self._on_stored((offer.cache_name, self._worker.entries.adopt(path)))
        return True

    async def _open_shelf(self) -> tuple[FileShelf, Claims]:
        async with self._lock:
            if self._shelf is None or self._claims is None:
                store = self._worker.environments.store
                self._claims = store.open_claims()
                self._shelf = await self._call(store.open_shelf)
            return self._shelf, self._claims

    async def _call(self, function: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._worker.threads, function)

"""One worker's connection, from the manager's side (shell module).

Carries out the actions that concern this worker, in order: at once where nothing is in the way, else from a queue, so
that a large transfer to one worker holds up nobody else. What the worker says is the matter of its `inbox`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from wq_package.errors import (
    ArchiveError,
    LocalProtocolError,
    QueueError,
    RemoteProtocolError,
    WQPackageError,
)
from wq_package.link import Link
from wq_package.manager.archives import Archives
from wq_package.manager.inbox import Inbox
from wq_package.manager.outputs import OutputWriter
from wq_package.manager.staging import open_input
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.protocol import messages as m
from wq_package.task import Function, ResultCode

_logger = logging.getLogger(__name__)

SMALL = a.LARGE_BODY
"""Bodies up to this size are sent in one piece with their message."""

TOO_SLOW = "it sent too little in too long a time"

SessionAction = a.Send | a.Dispatch | a.Fetch | a.OfferEnvironment | a.SendLayers
Poster = Callable[[Iterable[e.Event]], None]


class Session:
    """One connection and what is on its way over it."""

    def __init__(self, number: int, link: Link, archives: Archives, post: Poster, least_time: float) -> None:
        self.number = number
        self.link = link
        self.bytes_sent = 0
        self.inbox = Inbox(number, least_time)
        self._archives = archives
        self._post = post
        self._outbox: deque[SessionAction] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._failed_names: set[str] = set()

    def check_time(self) -> None:
        """Give up a worker that owes an answer, or the rest of one, and takes too long; to be called now and then."""
        if self.inbox.is_late and not self.link.is_closed:
            _logger.warning("dropped worker %s: %s", self.link.peer_address, TOO_SLOW)
            self.lose(TOO_SLOW)

    def discard(self) -> None:
        """Give up what was being received and sent."""
        self.inbox.discard()
        self._outbox.clear()
        if self._sender is not None:
            self._sender.cancel()

    def carry_out(self, action: SessionAction | a.Abandon) -> None:
        """Do what the state machine wants done on this connection, now or after what is already waiting."""
        if isinstance(action, a.Abandon):
            self._abandon(action.task_id)
            return
        if self._sender is None and self.is_quick(action):
            self._send_quickly(action)
            return
        self._outbox.append(action)
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send_waiting())

    def _abandon(self, task_id: int) -> None:
        self.inbox.abandon(task_id)
        waiting = [action for action in self._outbox if type(action) is a.Fetch]
        for fetch in waiting:
            if fetch.task_id == task_id:
                self._outbox.remove(fetch)

    def is_quick(self, action: SessionAction) -> bool:
        """Tell whether this can be sent without waiting for anything."""
        kind = type(action)
        if kind is a.Dispatch:
            assert isinstance(action, a.Dispatch)
            return not action.is_large and not self._failed_names
        return kind is a.Send or kind is a.Fetch

    def _send_quickly(self, action: SessionAction) -> None:
        if self.link.is_closed:
            return
        if type(action) is a.Dispatch:
            self._send_task(action)
        elif type(action) is a.Send:
            self._send_message(action.message)
        elif type(action) is a.Fetch:
            self.inbox.expect(OutputWriter(action))
            self.link.send(m.Get(action.cache_name))

    def _send_message(self, message: m.ToWorker) -> None:
        if type(message) is m.SendResults:
            self.inbox.expect(None)
        self.link.send(message)

    def _send_task(self, action: a.Dispatch) -> None:
        if action.function is not None:
            self._announce_function(action.function)
            self.link.send_body(action.function.body)
        if self._announce_task(action) and action.body:
            self.link.send_body(action.body)

    def _announce_function(self, function: Function) -> None:
        self.link.send(m.FunctionDefinition(function.digest, len(function.body)))

    def _announce_task(self, action: a.Dispatch) -> bool:
        """Say what is to be run; tell whether that can be said."""
        try:
            self.link.send(action.message)
        except LocalProtocolError as error:
            self._post([self._make_refusal(action, "", str(error), code=ResultCode.UNKNOWN)])
            return False
        return True

    def _make_refusal(
        self,
        action: a.Dispatch,
        name: str,
        message: str = "",
        *,
        code: ResultCode = ResultCode.INPUT_MISSING,
        is_dependent: bool = False,
    ) -> e.DispatchFailed:
        task_id = action.message.task_id
        return e.DispatchFailed(
            self.number, task_id, name, message, code, is_dependent=is_dependent, was_large=action.is_large
        )

    async def _send_waiting(self) -> None:
        try:
            while self._outbox:
                action = self._outbox.popleft()
                if self.is_quick(action):
                    self._send_quickly(action)
                    if self.link.buffered > SMALL:
                        await self.link.drain()
                else:
                    await self._send_slowly(action)
            self._sender = None
        except TimeoutError:
            self.lose("it took in too little in too long a time")
        except WQPackageError as error:
            self.lose(str(error))
        except Exception:
            _logger.exception("sending to %s failed", self.link.peer_address)
            self.lose("sending to it failed")

    def lose(self, reason: str) -> None:
        """Give the worker up."""
        self.link.abort()
        self._post([e.WorkerGone(self.number, reason)])

    async def _send_slowly(self, action: SessionAction) -> None:
        match action:
            case a.Dispatch():
                await self._send_with_inputs(action)
            case a.OfferEnvironment():
                await self._offer(action)
            case a.SendLayers():
                await self._send_layers(action)
            case a.Send() | a.Fetch():
                self._send_quickly(action)

    async def _send_with_inputs(self, action: a.Dispatch) -> None:
        if action.function is not None:  # later calls count on it, whatever becomes of this one
            self._announce_function(action.function)
            await self._send_large(action.function.body)
        if not await self._put_all(action):
            return
        for file in action.message.inputs:
            if file.cache_name in self._failed_names:
                self._post([self._make_refusal(action, file.cache_name, is_dependent=True)])
                return
        if not self._announce_task(action):
            return
        await self._send_large(action.body)
        if action.is_large:
            self._post([e.DispatchSent(self.number, action.message.task_id)])

    async def _put_all(self, action: a.Dispatch) -> bool:
        """Send the inputs of a task; if one cannot be read, the others that stay at the worker all the same."""
        refusal: e.DispatchFailed | None = None
        async for staged in self._iter_wanted(action.puts):
            if refusal is not None and not staged.cache:
                continue
            problem = await self._put(staged)
            if problem:
                if staged.cache:  # others name only those
                    self._failed_names.add(staged.cache_name)
                if staged.is_offered:
                    self.link.send(m.Unlink(staged.cache_name))  # somebody else may fetch it there
                refusal = refusal or self._make_refusal(action, staged.cache_name, problem)
            else:
                self._failed_names.discard(staged.cache_name)
        if refusal is not None:
            self._post([refusal])
        return refusal is None

    async def _iter_wanted(self, puts: Iterable[e.StagedInput]) -> AsyncIterator[e.StagedInput]:
        """Give the inputs that must be sent; those that the worker is asked about, as its answers come."""
        offered: dict[asyncio.Future[bool], e.StagedInput] = {}
        for staged in puts:
            if staged.is_offered:
                offered[self.inbox.ask_about_file(staged.cache_name)] = staged
                self.link.send(m.FileOffer(staged.cache_name, staged.size))
        for staged in puts:
            if not staged.is_offered:
                yield staged
        while offered:
            limit = max(self.inbox.find_time(staged.size) for staged in offered.values())
            answered, _ = await asyncio.wait(offered, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            for answer in answered or list(offered):  # of which nothing is heard is sent all the same
                staged = offered.pop(answer)
                if not answer.done() or answer.result():
                    yield staged

    async def _send_large(self, body: bytes) -> None:
        view = memoryview(body)
        async with asyncio.timeout(self.inbox.find_time(len(body))):
            for start in range(0, len(body), SMALL * 4):
                self.link.send_body(view[start : start + SMALL * 4])
                await self.link.drain()
        self.bytes_sent += len(body)

    # -- files --------------------------------------------------------------------------------------------------------

    async def _put(self, staged: e.StagedInput) -> str:
        """Send one input; return why it could not be, or an empty text."""
        if staged.entries is not None:
            return await self._put_folder(staged, staged.entries)
        if staged.content is not None:
            self.link.send(m.Put(staged.cache_name, len(staged.content), staged.mode))
            await self._send_large(staged.content)
            return ""
        assert staged.path is not None
        if staged.environment is not None:
            try:
                async with self._archives.use(staged.environment):
                    pass  # it is there, and has in it what it should
            except ArchiveError as error:
                return str(error)
        try:
            file = await asyncio.to_thread(_open_unchanged, staged.path, staged.size, staged.stamp)
        except OSError as error:
            return f"input file `{staged.path}` cannot be read: {error.strerror or error}"
        with file:
            is_whole = await self._put_file(file, staged.cache_name, staged.mode)
        if is_whole:
            return ""
        self.link.send(m.Unlink(staged.cache_name))  # nobody may take what was sent for the file
        return _say_changed(staged.path)

    async def _put_file(self, file: BinaryIO, name: str, mode: int) -> bool:
        """Send a file; tell whether it was what it is said to be until its last byte had gone."""
        before = os.fstat(file.fileno())
        size = before.st_size
        if size <= SMALL:
            data = _read_small(file, size)
            self.link.send(m.Put(name, size, mode))
            self.link.send_body(data.ljust(size, b"\0"))
            is_whole = len(data) == size
        else:
            self.link.send(m.Put(name, size, mode))
            async with asyncio.timeout(self.inbox.find_time(size)):
                is_whole = await self._send_range(file, 0, size)
        self.bytes_sent += size
        after = os.fstat(file.fileno())
        return is_whole and (after.st_size, after.st_mtime_ns) == (size, before.st_mtime_ns)

    async def _send_range(self, file: BinaryIO, offset: int, size: int) -> bool:
        try:
            await self.link.send_file(file, offset, size, is_filled_up=True)
        except QueueError:
            if self.link.is_closed:
                raise
            return False
        return True

    async def _put_folder(self, staged: e.StagedInput, entries: tuple[e.FolderEntry, ...]) -> str:
        problem = await asyncio.to_thread(_find_folder_problem, entries)
        if problem:
            return problem
        self.link.send(m.Dir(staged.cache_name))
        inside: list[str] = []
        for entry in entries:
            parent, _, base = entry.name.rpartition("/")
            while inside and parent != inside[-1]:
                self.link.send(m.End())
                inside.pop()
            if entry.is_folder:
                self.link.send(m.Dir(base))
                inside.append(entry.name)
            elif problem := await self._put_entry(entry, base):
                break
            if self.link.buffered > SMALL:
                await self.link.drain()
        self.link.send(*[m.End()] * (len(inside) + 1))
        if problem:
            self.link.send(m.Unlink(staged.cache_name))  # nobody may take what was sent for the whole
        return problem

    async def _put_entry(self, entry: e.FolderEntry, name: str) -> str:
        try:
            file = _open_unchanged(entry.path, entry.size, 0)
        except OSError as error:  # it has gone since all of them were looked at
            return f"input file `{entry.path}` cannot be read: {error.strerror or error}"
        with file:
            is_whole = await self._put_file(file, name, entry.mode)
        return "" if is_whole else _say_changed(entry.path)

    # -- environments -------------------------------------------------------------------------------------------------

    async def _offer(self, action: a.OfferEnvironment) -> None:
        try:
            async with self._archives.use(action.environment) as archive:
                self.link.send(archive.offer)
        except ArchiveError as error:
            self._post([e.OfferFailed(self.number, action.environment.digest, str(error))])

    async def _send_layers(self, action: a.SendLayers) -> None:
        """Send one layer, and line up again for the others, so that tasks are not held up by all of them."""
        digest = action.digests[0]
        async with self._archives.use(action.environment) as archive:
            place = archive.ranges.get(digest)
            if place is None:
                raise RemoteProtocolError(
                    f"the worker asked for layer {digest[:12]}, which it was not offered"
                )
            offset, size = place
            self.link.send(m.Layer(digest, size))
            async with asyncio.timeout(self.inbox.find_time(size)):
                if not await self._send_range(
                    archive.file, offset, size
                ):  # the worker sees that it is damaged
                    _logger.warning("layer %s was not sent whole: its archive has been cut", digest[:12])
        self.bytes_sent += size
        self._post([e.TransferEnded(self.number, size)])
        if len(action.digests) > 1:
            self._outbox.append(a.SendLayers(action.worker, action.environment, action.digests[1:]))


def _open_unchanged(path: str, size: int, stamp: int) -> BinaryIO:
    file = open_input(path)
    found = os.fstat(file.fileno())
    if stamp and (found.st_size != size or found.st_mtime_ns != stamp):
        file.close()
        raise OSError(0, "it has changed since the task was submitted")
    return file


def _read_small(file: BinaryIO, size: int) -> bytes:
    try:
        return os.pread(file.fileno(), size, 0) if size else b""
    except OSError:  # a bad disk, or a server that has gone: as if it had nothing in it
        return b""


def _say_changed(path: str) -> str:
    return f"input file `{path}` has changed, or could not be read to its end, while it was sent"


def _find_folder_problem(entries: tuple[e.FolderEntry, ...]) -> str:
    for entry in entries:
        try:
            size = Path(entry.path).stat().st_size
        except OSError as error:
            return f"input file `{entry.path}` cannot be read: {error.strerror}"
        if not entry.is_folder and (size != entry.size or not os.access(entry.path, os.R_OK)):
            return f"input file `{entry.path}` cannot be read as it was when the task was submitted"
    return ""

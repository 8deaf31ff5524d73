"""What one worker says, turned into what the state machine wants to know (shell module).

Gathers small bodies, stores outputs as they come, and knows what the worker owes an answer to and since when. Sends
nothing and decides nothing.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator

from wq_package.errors import RemoteProtocolError
from wq_package.manager.bodies import BodyGatherer
from wq_package.manager.outputs import OutputWriter
from wq_package.manager.state import events as e
from wq_package.protocol import messages as m

SLOWEST_RATE = 100 * 1024
"""Bytes a second below which a transfer is given up."""
ENTRY_SECONDS = 0.1
"""What each file or folder inside an output adds to the time that it may take."""


class Inbox:
    """What has come from one worker and is not complete, and what is still to come."""

    def __init__(self, number: int, least_time: float) -> None:
        self.bytes_received = 0
        self.query: m.StatusQuery | None = None
        self._number = number
        self._least_time = least_time
        self._asked: deque[OutputWriter | None] = deque()
        self._header: m.Result | m.CallResult | None = None
        self._body = BodyGatherer()
        self._body_due = math.inf
        self._answer_due = math.inf
        self._offered: dict[str, asyncio.Future[bool]] = {}

    def translate(self, events: Iterable[m.Event]) -> list[e.Event]:
        """Make the state machine's events of a batch of the protocol's.

        Raises:
            RemoteProtocolError: the worker sent what was not asked for.
        """
        told: list[e.Event] = []
        for event in events:
            kind = type(event)
            if kind is m.Data:
                self._take_data(event.body)  # type: ignore[union-attr,arg-type]  # its type was just compared
            elif kind is m.EndOfBody:
                self._body_due = math.inf
                if self._header is not None:
                    told.append(self._end_body(self._header))
                elif self._asked and self._asked[0] is not None:
                    self._asked[0].close_file()
            elif kind is m.CallResult or kind is m.Result:
                self._header = event  # type: ignore[assignment]  # its type was just compared
                self._body_due = time.monotonic() + self.find_time(event.size)  # type: ignore[union-attr]  # see above
            elif kind in _OF_FILES:
                told += self._take_file_event(event)
            elif kind is m.StatusQuery:
                self.query = event  # type: ignore[assignment]  # its type was just compared
                break
            elif kind is not m.ConnectionClosed:
                told.append(e.Received(self._number, event))  # type: ignore[arg-type]  # the link has checked who says what
        return told

    def _take_data(self, data: bytes) -> None:
        self.bytes_received += len(data)
        self._answer_due += len(data) / SLOWEST_RATE
        if self._header is not None:
            self._body.add(data)
        elif self._asked and self._asked[0] is not None:
            self._asked[0].write(data)

    def _end_body(self, header: m.Result | m.CallResult) -> e.Received:
        self._header = None
        body, is_truncated = self._body.finish()
        return e.Received(self._number, header, body, is_truncated)

    @property
    def is_late(self) -> bool:
        """Whether the worker owes an answer, or the rest of one, and takes too long."""
        return time.monotonic() > min(self._body_due, self._answer_due)

    def expect(self, writer: OutputWriter | None) -> None:
        """Be ready for one more answer: an output's, or without a writer that to `SendResults`."""
        if not self._asked:
            self._answer_due = time.monotonic() + self._least_time
        self._asked.append(writer)

    def ask_about_file(self, name: str) -> asyncio.Future[bool]:
        """Be ready for the answer to an offer: whether the file is wanted."""
        answer = self._offered[name] = asyncio.get_running_loop().create_future()
        return answer

    def _take_file_answer(self, name: str, *, is_wanted: bool) -> None:
        answer = self._offered.pop(name, None)
        if answer is None:
            raise RemoteProtocolError("the worker answered about a file that it was not offered")
        if not answer.done():
            answer.set_result(is_wanted)

    def _take_file_event(self, event: m.Event) -> Iterator[e.Event]:
        if isinstance(event, m.FileAnswer):
            self._take_file_answer(event.cache_name, is_wanted=event.is_wanted)
            return
        writer = self._asked[0] if self._asked else None
        self._answer_due += ENTRY_SECONDS
        match event:
            case m.End():
                yield from self._end_answer()
            case m.Dir(name):
                if writer is not None:
                    writer.add_folder(name)
            case m.File(name, size):
                self._body_due = time.monotonic() + self.find_time(size)
                if writer is not None:
                    writer.open_file(name)
            case m.Missing(name):
                if writer is not None:
                    writer.add_missing(name)
            case _:
                pass

    def _end_answer(self) -> Iterator[e.Event]:
        if not self._asked:
            raise RemoteProtocolError("the worker ended an answer that was not asked for")
        writer = self._asked.popleft()
        self._answer_due = time.monotonic() + self._least_time if self._asked else math.inf
        if writer is not None:
            yield writer.finish()

    def find_time(self, size: int) -> float:
        """Find how long a body of this size may take."""
        return max(self._least_time, size / SLOWEST_RATE)

    def abandon(self, task_id: int) -> None:
        """Throw away what is still to come of a task's outputs."""
        for writer in self._asked:
            if writer is not None and writer.task_id == task_id:
                writer.abandon()

    def discard(self) -> None:
        """Give up what was being received."""
        for writer in self._asked:
            if writer is not None:
                writer.discard()
        self._asked.clear()
        self._body.discard()
        for answer in self._offered.values():
            answer.cancel()
        self._offered.clear()


_OF_FILES = frozenset({m.Dir, m.File, m.Missing, m.End, m.FileAnswer})

"""Tasks that do not get to their end: killed, given back, over time, left behind (logic module).

Knows who may want that. Knows nothing of what follows when the shell has done it.
"""

from __future__ import annotations

from wq_package.protocol import messages as wire
from wq_package.task import ResultCode
from wq_package.worker.actions import Action, Box, DropCall, ReturnCall, Send
from wq_package.worker.events import CallReturned, Clock, Drain
from wq_package.worker.greeting import render_resources
from wq_package.worker.state.book import Book
from wq_package.worker.state.records import Phase, TaskRecord, make_kill
from wq_package.worker.state.schedule import Schedule

__all__ = ["KillDesk"]


class KillDesk:
    """Ends tasks before their time."""

    def __init__(self, book: Book, schedule: Schedule) -> None:
        self._book = book
        self._schedule = schedule

    def on_kill(self, event: wire.Kill, now: float) -> list[Action]:
        """End what the manager wants no result of."""
        numbers = list(self._book.tasks) if event.task_id == -1 else [event.task_id]
        actions: list[Action] = []
        for number in numbers:
            record = self._book.tasks.pop(number, None)
            if record is not None:
                actions.extend(self._cancel(record))
        return actions + self._schedule.start_what_fits(now)

    def _cancel(self, record: TaskRecord) -> list[Action]:
        book = self._book
        record.is_forgotten = True
        if record.phase is Phase.RUNNING:
            return [make_kill(record)]
        if record.phase is Phase.ENDED:
            number = record.task.task_id
            gone = [task for task in book.ended if task.result.task_id == number]
            book.ended = [task for task in book.ended if task.result.task_id != number]
            return [DropCall(task.output) for task in gone if task.output]
        book.by_serial.pop(record.serial, None)
        actions = book.release(record)
        if record.path:
            actions.append(DropCall(record.path))
        return actions

    def on_recall(self, event: wire.Recall, now: float) -> list[Action]:
        """Give back what has not begun: at once what waits here, and what waits at an interpreter if it is free to go."""
        book = self._book
        returned: list[int] = []
        actions: list[Action] = []
        for number in event.task_ids:
            record = book.tasks.get(number)
            if record is None:
                continue
            if record.phase is Phase.WAITING:
                del book.tasks[number]
                actions.extend(self._cancel(record))
                returned.append(number)
            elif record.phase is Phase.RUNNING and record.group is not None and not record.inputs:
                actions.append(ReturnCall(record.serial))
        if returned:
            actions.append(Send(wire.Recalled(tuple(returned))))
        return actions + self._schedule.start_what_fits(now)

    def on_call_returned(self, event: CallReturned, now: float) -> list[Action]:
        """Let an interpreter have given a call back that it had not begun."""
        book = self._book
        record = book.by_serial.get(event.serial)
        if record is None:
            return []
        actions = book.release(record)
        book.forget(record)
        if record.path:
            actions.append(DropCall(record.path))
        if not record.is_forgotten:
            actions.append(Send(wire.Recalled((record.task.task_id,))))
        return actions + self._schedule.start_what_fits(now)

    def on_clock(self, _event: Clock, now: float) -> list[Action]:
        """End what runs too long."""
        timed = self._book.timed
        actions: list[Action] = []
        for record in [task for task in timed.values() if task.deadline is not None and task.deadline <= now]:
            del timed[record.serial]
            is_end = record.task.end_time is not None and record.task.end_time <= now
            record.reason = ResultCode.END_TIME if is_end else ResultCode.WALL_TIME
            actions.append(make_kill(record))
        return actions

    def on_drain(self, _event: Drain, _now: float) -> list[Action]:
        """Give back what waits, announce that nothing fits here any more, and finish what runs."""
        book = self._book
        book.is_draining = True
        book.ledger.close()
        waiting = book.list_waiting()
        book.waiting.clear()
        book.parked.clear()
        actions: list[Action] = [Send(line) for line in render_resources(Box(), book.last_task_id)]
        for record in waiting:
            actions.extend(book.forsake(record, "the worker is leaving"))
        return actions

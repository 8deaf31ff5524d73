"""Tasks and calls that have ended, and their results (logic module).

Knows what follows an end: room for others, outputs as cache entries, a result. Knows nothing of why one was ended.
"""

from __future__ import annotations

from wq_package.protocol import messages as wire
from wq_package.task import ResultCode
from wq_package.worker.actions import Action, DropCall, RemoveEntry, SendCallResult, SendResults
from wq_package.worker.events import CallEnded, RunEnded, WatchedSize
from wq_package.worker.state.book import Book
from wq_package.worker.state.records import Phase
from wq_package.worker.state.results import add_wall_time, make_call_result, make_run_result
from wq_package.worker.state.schedule import Schedule

__all__ = ["EndDesk"]


class EndDesk:
    """Turns ends into results."""

    def __init__(self, book: Book, schedule: Schedule) -> None:
        self._book = book
        self._schedule = schedule

    def on_call_ended(self, event: CallEnded, now: float) -> list[Action]:
        """Let a call have ended."""
        book = self._book
        record = book.by_serial.get(event.serial)
        if record is None:
            return []
        event = add_wall_time(record, event, now)
        actions = book.release(record)
        group = record.group
        if group is not None and event.code is ResultCode.SUCCESS:
            group.usec = 0.8 * group.usec + 0.2 * event.usec
        book.forget(record)
        actions.extend(self._schedule.start_what_fits(now))  # first, so that the host is busy while we report
        if record.is_forgotten:
            return [*actions, *_drop_outputs(event.outputs, event.path)]
        for name, key in event.outputs:
            actions.extend(book.entries.store(name, key))
        actions.append(SendCallResult(make_call_result(record, event), event.body, event.path))
        return actions

    def on_run_ended(self, event: RunEnded, now: float) -> list[Action]:
        """Let a command have ended."""
        book = self._book
        record = book.by_serial.get(event.serial)
        if record is None:
            return []
        actions = book.release(record)
        if record.is_forgotten:
            book.forget(record)
            actions.extend(_drop_outputs(event.outputs, event.output))
            return actions + self._schedule.start_what_fits(now)
        for name, key in event.outputs:
            actions.extend(book.entries.store(name, key))
        actions.extend(self._schedule.start_what_fits(now))  # so that no processor is idle while we report
        return actions + book.finish_run(record, make_run_result(record, event), event.output)

    def on_results_wanted(self, _event: wire.SendResults, _now: float) -> list[Action]:
        """Give all results that there are."""
        book = self._book
        ended = tuple(book.ended)
        book.ended.clear()
        book.is_announced = False
        for task in ended:
            record = book.tasks.get(task.result.task_id)
            if record is not None and record.phase is Phase.ENDED:
                del book.tasks[task.result.task_id]
        return [SendResults(ended, book.running, book.watched.take())]

    def on_watched_size(self, event: WatchedSize, _now: float) -> list[Action]:
        """Tell of an output that grows and that the manager wants to see grow."""
        is_news = self._book.watched.note(event.serial, event.name, event.size)
        return self._book.announce() if is_news else []


def _drop_outputs(outputs: tuple[tuple[str, int], ...], path: str) -> list[Action]:
    actions: list[Action] = [RemoveEntry(key) for _, key in outputs]
    if path:
        actions.append(DropCall(path))
    return actions

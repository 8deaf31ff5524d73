"""What a worker decides: events in, actions out (logic module).

Knows which desk takes in which event, and answers the small ones itself. Knows nothing of sockets, files or processes, and
no clock: time comes in with each event. The shell carries the actions out in order and reports what became of them as
further events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from wq_package.protocol import messages as wire
from wq_package.worker import events as ev
from wq_package.worker.actions import Action, Box, Leave, Send, SendEntry
from wq_package.worker.greeting import render_resources
from wq_package.worker.state.arrivals import ArrivalDesk
from wq_package.worker.state.book import Book
from wq_package.worker.state.ends import EndDesk
from wq_package.worker.state.environments import EnvironmentDesk
from wq_package.worker.state.kills import KillDesk
from wq_package.worker.state.schedule import Schedule

__all__ = ["WorkerState"]

_Rule = Callable[[Any, float], list[Action]]


class WorkerState:
    """One session with one manager.

    Args:
        capacity: what this worker has.
        serials: numbers for tasks, never the same twice in the life of a worker.
        protocol: the number that the manager speaks.
    """

    def __init__(self, capacity: Box, serials: Iterator[int], protocol: int = 9) -> None:
        self._book = book = Book(capacity, serials, protocol)
        self._schedule = schedule = Schedule(book)
        self._arrivals = ArrivalDesk(book, schedule)
        self._ends = EndDesk(book, schedule)
        self._kills = KillDesk(book, schedule)
        self._environments = EnvironmentDesk(book, schedule)
        self._rules: dict[type, _Rule] = {**self._make_rules_for_messages(), **self._make_rules_for_events()}

    def _make_rules_for_messages(self) -> dict[type, _Rule]:
        return {
            wire.TaskDescription: self._arrivals.on_task,
            wire.SendResults: self._ends.on_results_wanted,
            wire.Kill: self._kills.on_kill,
            wire.Recall: self._kills.on_recall,
            wire.EnvironmentOffer: self._environments.on_offer,
            wire.Check: self._answer_check,
            wire.Unlink: self._unlink,
            wire.Get: self._answer_get,
            wire.Release: self._part,
            wire.Exit: self._part,
            wire.Hello: self._greet,
            wire.ProjectName: self._ignore,
        }

    def _make_rules_for_events(self) -> dict[type, _Rule]:
        return {
            ev.CallArrived: self._arrivals.on_call,
            ev.CallEnded: self._ends.on_call_ended,
            ev.RunEnded: self._ends.on_run_ended,
            ev.WatchedSize: self._ends.on_watched_size,
            ev.CallReturned: self._kills.on_call_returned,
            ev.Clock: self._kills.on_clock,
            ev.Drain: self._kills.on_drain,
            ev.EnvironmentExamined: self._environments.on_examined,
            ev.EnvironmentComposed: self._environments.on_composed,
            ev.EnvironmentBroken: self._environments.on_broken,
            ev.EnvironmentIdle: self._environments.on_idle,
            ev.LayerClaimed: self._environments.on_layer_claimed,
            ev.LayerStored: self._environments.on_layer_stored,
            ev.LayerBroken: self._environments.on_layer_broken,
            ev.DiskChanged: self._resize_disk,
            ev.EntryStored: self._store_entry,
            ev.EntryRefused: self._refuse_entry,
            ev.FunctionStored: self._accept_function,
        }

    def handle(self, event: ev.Event, now: float) -> list[Action]:
        """Take one event at a time in epoch seconds; return what is to be done, in order."""
        return self._rules[type(event)](event, now)

    # -- what is so ----------------------------------------------------------------------------------------------------

    @property
    def capacity(self) -> Box:
        """What this worker has; nothing any more once it drains."""
        return self._book.ledger.capacity

    @property
    def used(self) -> Box:
        """What its tasks hold of it."""
        return self._book.ledger.used

    @property
    def running(self) -> int:
        """How many tasks and calls run."""
        return self._book.running

    @property
    def is_draining(self) -> bool:
        """Whether it takes nothing more."""
        return self._book.is_draining

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to run and nothing that the manager has still to fetch."""
        book = self._book
        return not (book.by_serial or book.ended or book.waiting or book.tasks)

    def list_runs(self) -> list[int]:
        """List the serials of command tasks that run."""
        records = self._book.by_serial.values()
        return [record.serial for record in records if isinstance(record.task, wire.TaskDescription)]

    def list_calls(self) -> list[int]:
        """List the serials of calls that run."""
        records = self._book.by_serial.values()
        return [record.serial for record in records if isinstance(record.task, wire.CallTask)]

    def list_untold(self) -> list[str]:
        """List the files with the output of commands whose results the manager has not asked for."""
        return [task.output for task in self._book.ended if task.output]

    def list_watched(self) -> list[tuple[int, str]]:
        """List the outputs that the manager wants to see grow, by serial and sandbox name."""
        return list(self._book.watched)

    @property
    def has_deadlines(self) -> bool:
        """Whether a task that runs has a limit of time."""
        return bool(self._book.timed)

    @property
    def next_deadline(self) -> float | None:
        """When a task that runs must have ended, if any must."""
        records = self._book.timed.values()
        return min((record.deadline for record in records if record.deadline is not None), default=None)

    # -- small answers -------------------------------------------------------------------------------------------------

    def _answer_check(self, _event: wire.Check, _now: float) -> list[Action]:
        return [Send(wire.Alive()), Send(wire.Info("tasks_running", str(self._book.running)))]

    def _resize_disk(self, event: ev.DiskChanged, now: float) -> list[Action]:
        book = self._book
        if book.is_draining:
            return []
        book.resize_disk(event.disk_mb)
        actions: list[Action] = [Send(line) for line in render_resources(self.capacity, book.last_task_id)]
        for record in book.list_waiting():
            if not book.ledger.can_ever_fit(record.box):
                actions.extend(book.forsake(record, "the worker has too little disk now"))
        return actions + self._schedule.start_what_fits(now)

    def _part(self, event: wire.Release | wire.Exit, _now: float) -> list[Action]:
        return [Leave("the manager said so", is_final=isinstance(event, wire.Exit))]

    def _greet(self, _event: wire.Hello, _now: float) -> list[Action]:
        self._book.speaks_dialect = True
        return []

    def _ignore(self, _event: wire.ProjectName, _now: float) -> list[Action]:
        return []

    def _accept_function(self, event: ev.FunctionStored, _now: float) -> list[Action]:
        self._book.functions.add(event.digest)
        return []

    def _store_entry(self, event: ev.EntryStored, _now: float) -> list[Action]:
        return self._book.entries.store(event.name, event.key)

    def _refuse_entry(self, event: ev.EntryRefused, _now: float) -> list[Action]:
        return self._book.entries.refuse(event.name)

    def _unlink(self, event: wire.Unlink, _now: float) -> list[Action]:
        return self._book.entries.unlink(event.name)

    def _answer_get(self, event: wire.Get, _now: float) -> list[Action]:
        return [SendEntry(event.name, self._book.entries.find_key(event.name), event.recursive)]

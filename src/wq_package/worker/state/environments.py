"""Environments on their way, and the calls that wait for them (logic module).

Knows what follows for calls when an environment is ready or will not be. How far each one is, the table beside it knows.
"""

from __future__ import annotations

from wq_package.protocol import messages as wire
from wq_package.task import ResultCode
from wq_package.worker.actions import Action
from wq_package.worker.events import (
    EnvironmentBroken,
    EnvironmentComposed,
    EnvironmentExamined,
    EnvironmentIdle,
    LayerBroken,
    LayerClaimed,
    LayerStored,
)
from wq_package.worker.state.book import Book
from wq_package.worker.state.schedule import Schedule

__all__ = ["EnvironmentDesk"]


class EnvironmentDesk:
    """Takes in what becomes of environments."""

    def __init__(self, book: Book, schedule: Schedule) -> None:
        self._book = book
        self._schedule = schedule
        self._table = book.environments

    def on_offer(self, offer: wire.EnvironmentOffer, _now: float) -> list[Action]:
        """Take an offer."""
        return self._table.offer(offer)

    def on_examined(self, event: EnvironmentExamined, _now: float) -> list[Action]:
        """Ask for what the store lacks."""
        return self._table.want(event.environment, event.missing, event.awaited)

    def on_layer_claimed(self, event: LayerClaimed, _now: float) -> list[Action]:
        """Ask for what another worker gave up."""
        return self._table.claim(event.digest)

    def on_layer_stored(self, event: LayerStored, _now: float) -> list[Action]:
        """Count a layer as here."""
        return self._table.add_layer(event.digest) + self._fail_lost()

    def on_layer_broken(self, event: LayerBroken, _now: float) -> list[Action]:
        """Count a layer as not to be had."""
        self._table.lose_layer(event.digest, event.message)
        return self._fail_lost()

    def on_composed(self, event: EnvironmentComposed, now: float) -> list[Action]:
        """Let the calls go on that waited for an environment."""
        actions = self._table.make_ready(event.environment)
        self._book.waiting.extend(self._book.parked.pop(event.environment, ()))
        return actions + self._schedule.start_what_fits(now)

    def on_idle(self, event: EnvironmentIdle, _now: float) -> list[Action]:
        """Let an environment rest, if no call is about to use it."""
        tasks = (record.task for record in self._book.by_serial.values())
        if any(isinstance(task, wire.CallTask) and task.environment == event.environment for task in tasks):
            return []
        return self._table.rest(event.environment)

    def on_broken(self, event: EnvironmentBroken, _now: float) -> list[Action]:
        """End the calls that waited for an environment."""
        return self._fail(event.environment, event.message)

    def _fail_lost(self) -> list[Action]:
        actions: list[Action] = []
        for digest, message in self._table.find_lost():
            actions.extend(self._fail(digest, message))
        return actions

    def _fail(self, digest: str, message: str) -> list[Action]:
        book = self._book
        actions = self._table.fail(digest, message)
        for record in book.parked.pop(digest, ()):
            if not record.is_forgotten:
                actions.extend(book.release(record))
                actions.extend(book.refuse_call(record, ResultCode.ENVIRONMENT_FAILED, message))
        return actions

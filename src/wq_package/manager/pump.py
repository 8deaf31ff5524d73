"""What happens goes to the state machine, and what it decides is done on the sessions (shell module).

Knows neither the listening socket nor the application: results are given to whoever made it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from wq_package.errors import ProtocolError
from wq_package.link import Flushes
from wq_package.manager.session import Session, SessionAction
from wq_package.manager.state import ManagerState
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.manager.transaction_log import Recorder
from wq_package.protocol.printing import escape_controls
from wq_package.task import TaskResult

_logger = logging.getLogger(__name__)


class Pump:
    """Events in, actions out."""

    def __init__(self, state: ManagerState, finish: Callable[[TaskResult], None]) -> None:
        self.sessions: dict[int, Session] = {}
        self.flushes = Flushes()
        self.recorder: Recorder | None = None
        self.after_batch: Callable[[], None] = _do_nothing
        self._state = state
        self._finish = finish
        self._posted: list[e.Event] = []
        self._is_planned = False

    def post_one(self, event: e.Event) -> None:
        """Let an event be handled soon, together with others."""
        self._posted.append(event)
        self.plan()

    def post(self, events: Iterable[e.Event]) -> None:
        """Let events be handled soon, together with others."""
        self._posted.extend(events)
        self.plan()

    def add(self, event: e.Event) -> None:
        """Keep an event for the next batch, whenever that comes."""
        self._posted.append(event)

    def plan(self) -> None:
        """Have what was posted handled in the loop's next round."""
        if not self._is_planned:
            self._is_planned = True
            asyncio.get_running_loop().call_soon(self.run)

    def run(self) -> None:
        """Handle what was posted."""
        self._is_planned = False
        self.handle([])

    def handle(self, events: list[e.Event]) -> None:
        """Handle what was posted, then these events."""
        if self._posted:
            events = [*self._posted, *events]
            self._posted = []
        tick = e.Tick(time.monotonic(), time.time())
        actions = self._state.handle(tick, *events)
        if self.recorder is not None:
            self.recorder.record(tick.epoch, events, actions, self._state)
        self._carry_out(actions)

    def _carry_out(self, actions: list[a.Action]) -> None:
        if not actions:
            return
        self.flushes.hold()
        try:
            self._carry_out_all(actions)
        finally:
            self.flushes.release()
        self.after_batch()

    def _carry_out_all(self, actions: list[a.Action]) -> None:
        for action in actions:
            kind = type(action)
            if kind is a.Finish:
                self._finish(action.result)  # type: ignore[union-attr]  # its type was just compared
            elif kind is a.Drop:
                self._drop(action)  # type: ignore[arg-type]  # its type was just compared
            elif kind is a.Warn:
                _logger.warning("%s", escape_controls(action.text))  # type: ignore[union-attr]  # its type was just compared
            else:
                session = self.sessions.get(action.worker)  # type: ignore[union-attr]  # the others have one
                if session is not None:
                    self._carry_out_there(session, action)  # type: ignore[arg-type]  # see above

    def _carry_out_there(self, session: Session, action: SessionAction) -> None:
        try:
            session.carry_out(action)
        except ProtocolError as error:  # the actions that follow may be for others
            session.lose(str(error))

    def _drop(self, action: a.Drop) -> None:
        session = self.sessions.get(action.worker)
        if session is not None:
            reason = escape_controls(action.reason)
            _logger.warning("dropped worker %s: %s", session.link.peer_address, reason)
            session.link.abort()

    def tick(self) -> None:
        """Do what is to be done some times a second."""
        self.handle([])
        self._carry_out(self._state.nudge())

    def sweep(self) -> None:
        """Do what is to be done about once a second."""
        actions = self._state.sweep()
        if self.recorder is not None:
            self.recorder.record(time.time(), (), actions, self._state)
        self._carry_out(actions)


def _do_nothing() -> None:
    pass

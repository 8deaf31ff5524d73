"""When what several wires have queued is written out (shell module).

Knows when, and nothing of what: a system call costs more than most of what a turn of the loop does, so each wire writes
once for all that was queued. Whoever carries out a batch holds the writing back, and lets go at its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

_logger = logging.getLogger(__package__)


class Flushes:
    """The wires that have something to write. Belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []
        self._is_held = False

    def add(self, flush: Callable[[], None]) -> None:
        """Write out at the end of the batch, or of the loop's turn if there is none."""
        if not self._waiting and not self._is_held:
            asyncio.get_running_loop().call_soon(self.write_out)
        self._waiting.append(flush)

    def hold(self) -> None:
        """Begin a batch; batches are not nested."""
        self._is_held = True

    def release(self) -> None:
        """End a batch, and write out."""
        self._is_held = False
        if self._waiting:
            self.write_out()

    def write_out(self) -> None:
        """Write out now."""
        waiting, self._waiting = self._waiting, []
        for flush in waiting:
            try:
                flush()
            except Exception:  # the others have nothing to do with it
                _logger.exception("what was to be said to a peer cannot be written")

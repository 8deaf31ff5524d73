"""Draws how a build goes on, if it goes on for long enough to be looked at (shell module).

Most builds after a changed line take less time than the library that draws takes to be imported: they draw nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

__all__ = ["Drawing", "LateReporter"]

_PATIENCE = 0.5


class Drawing(Protocol):
    """What draws, once it is wanted: `wq_package_cli.progress.DrawnReporter`."""

    def start(self, what: str, total: int | None) -> None:
        """Begin a new bar."""

    def advance(self, steps: int) -> None:
        """Move the bar."""

    def done(self) -> None:
        """Fill the bar."""


class LateReporter:
    """A `wq_package.build.Reporter` that draws from half a second on.

    Args:
        open_drawing: imports and makes what draws; called in a thread, at most once.
        seconds: how long to wait.
    """

    def __init__(
        self, open_drawing: Callable[[], AbstractContextManager[Drawing]], seconds: float = _PATIENCE
    ) -> None:
        self._open = open_drawing
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._show)
        self._context: AbstractContextManager[Drawing] | None = None
        self._drawing: Drawing | None = None
        self._current: tuple[str, int | None] | None = None
        self._steps = 0
        self._is_over = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._is_over = True
            context, self._context, self._drawing = self._context, None, None
        if context is not None:
            context.__exit__(kind, value, trace)

    def _show(self) -> None:
        context = self._open()  # takes its time: nobody waits for it
        with self._lock:
            if self._is_over:
                return
            self._context = context
            self._drawing = context.__enter__()
            if self._current is not None:
                self._drawing.start(*self._current)
                self._drawing.advance(self._steps)

    def start(self, what: str, total: int | None) -> None:
        """Begin something."""
        with self._lock:
            self._current, self._steps = (what, total), 0
            if self._drawing is not None:
                self._drawing.start(what, total)

    def advance(self, steps: int) -> None:
        """Some steps are done."""
        with self._lock:
            self._steps += steps
            if self._drawing is not None:
                self._drawing.advance(steps)

    def done(self) -> None:
        """It is finished."""
        with self._lock:
            self._current = None
            if self._drawing is not None:
                self._drawing.done()

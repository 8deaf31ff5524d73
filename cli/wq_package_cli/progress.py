"""Draws how a build goes on, on a terminal (shell module)."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from wq_package_cli.output import Printer

__all__ = ["DrawnReporter"]


class DrawnReporter:
    """A `wq_package.build.Reporter` that draws one bar for each thing that is done.

    Use it as a context: the terminal is as before when it ends, however it ends.
    """

    def __init__(self, printer: Printer) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=printer.make_console(), transient=True)
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self._progress.stop()

    def start(self, what: str, total: int | None) -> None:
        """Begin a new bar."""
        self._task = self._progress.add_task(what, total=total)

    def advance(self, steps: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.advance(self._task, steps)

    def done(self) -> None:
        """Fill the bar and keep it."""
        if self._task is not None:
            total = self._progress.tasks[self._task].total
            self._progress.update(self._task, total=total or 1, completed=total or 1)
            self._task = None

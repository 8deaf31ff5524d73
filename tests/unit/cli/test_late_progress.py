from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from wq_package_cli.late_progress import LateReporter

_SECONDS = 60


class _Drawing:
    """Writes down what it is told; `begun` is set once it is told anything."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.begun = threading.Event()

    def start(self, what: str, total: int | None) -> None:
        self.told.append((what, total))
        self.begun.set()

    def advance(self, steps: int) -> None:
        self.told.append(steps)

    def done(self) -> None:
        self.told.append("done")

    @contextmanager
    def open(self) -> Iterator[_Drawing]:
        self.told.append("open")
        try:
            yield self
        finally:
            self.told.append("closed")


def test_late_reporter__build_that_is_over_soon__draws_nothing() -> None:
    drawing = _Drawing()
    with LateReporter(drawing.open, 3600) as reporter:
        reporter.start("making layers", 2)
        reporter.advance(2)
        reporter.done()

    assert drawing.told == []


def test_late_reporter__build_that_goes_on__is_drawn_from_where_it_is() -> None:
    drawing = _Drawing()
    reporter = LateReporter(drawing.open, 0)
    reporter.start("solving", None)
    reporter.done()
    reporter.start("making layers", 3)
    reporter.advance(1)
    with reporter:
        assert drawing.begun.wait(_SECONDS)
        reporter.advance(2)
        reporter.done()
        reporter.start("writing the archive", None)

    assert drawing.told == [
        "open",
        ("making layers", 3),
        1,
        2,
        "done",
        ("writing the archive", None),
        "closed",
    ]


def test_late_reporter__over_while_the_library_is_imported__draws_nothing() -> None:
    drawing, is_importing, may_end = _Drawing(), threading.Event(), threading.Event()
    opened = threading.Event()

    @contextmanager
    def draw() -> Iterator[_Drawing]:
        opened.set()
        yield drawing

    def import_slowly() -> object:
        is_importing.set()
        assert may_end.wait(_SECONDS)
        return draw()

    reporter = LateReporter(import_slowly, 0)  # type: ignore[arg-type]  # what it returns is never entered
    with reporter:
        assert is_importing.wait(_SECONDS)
    may_end.set()
    reporter._timer.join(_SECONDS)

    assert not opened.is_set()

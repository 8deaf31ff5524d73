"""Writes what this package logs into Parsl's own log (shell module). Knows Python's logging, and nothing of tasks."""

from __future__ import annotations

import logging

__all__ = ["forward_log"]


class _ToParslLog(logging.Handler):
    """Hands records to the handlers of Parsl's logger, so that its log in the run folder tells what is built and why."""

    def emit(self, record: logging.LogRecord) -> None:
        for handler in logging.getLogger("parsl").handlers:
            if record.levelno >= handler.level:
                handler.handle(record)


def forward_log() -> None:
    """Begin to, if Parsl has a log and this has not been done before."""
    ours = logging.getLogger("wq_package")
    if not logging.getLogger("parsl").handlers or any(
        isinstance(item, _ToParslLog) for item in ours.handlers
    ):
        return
    ours.addHandler(_ToParslLog(logging.INFO))
    if ours.level == logging.NOTSET:
        ours.setLevel(logging.INFO)

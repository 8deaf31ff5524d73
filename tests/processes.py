"""Waiting for processes that are nobody's or somebody else's children."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil  # type: ignore[import-untyped]  # it has no stubs

_SECONDS = 120


def wait_until_ended(processes: Iterable[psutil.Process]) -> None:
    """Wait until none of the processes runs any more; whoever inherited one may not have waited for it yet."""
    deadline = time.monotonic() + _SECONDS
    left = [process for process in processes if _is_running(process)]
    while left:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.02)
        left = [process for process in left if _is_running(process)]


def _is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False

"""A program that runs, and what its processes have used (value module; standard library only)."""

from __future__ import annotations

import time
from typing import Any

_BLOCKS_PER_KB = 2


class Program:
    """A program that was started.

    Attributes:
        group: its cgroup, if it has one.
        ending: since when only processes are left that have been killed; 0 while it runs.
    """

    def __init__(self, number: int, pid: int, message: dict[str, Any], group: str = "") -> None:
        self.number = number
        self.pid = pid
        self.mark = b"\0" + message["mark"].encode() + b"\0"
        self.is_watched: bool = message["watch"]
        self.limit: int = message["limit"]
        self.group = group
        self.began = time.monotonic()
        self.status = 0
        self.cpu = 0.0
        self.peak = 0
        self.read = 0
        self.written = 0
        self.ending = 0.0

    def add(self, used: Any) -> None:
        """Count what a process of it has used that nobody but us has waited for."""
        self.cpu += used.ru_utime + used.ru_stime
        self.peak = max(self.peak, used.ru_maxrss)
        self.read += used.ru_inblock // _BLOCKS_PER_KB
        self.written += used.ru_oublock // _BLOCKS_PER_KB

"""What a call uses of the interpreter that it runs in (shell module; Python 3.8 or newer).

Knows its own process. What it tells are differences between the begin and the end of a call.
"""

from __future__ import annotations

import contextlib
import os
import resource
from typing import Any

_PAGE_KB = resource.getpagesize() // 1024
_COPIED_SLACK_KB = 8192


class Meter:
    """Measures one call after the other; in a fork, the only one that it will run."""

    def __init__(self) -> None:
        self._is_forked = False
        self._forget: int | None = None
        with contextlib.suppress(OSError):
            self._forget = os.open("/proc/self/clear_refs", os.O_WRONLY)
        self._base: memoryview | None = None
        self._held = 0
        self._cpu = 0.0
        self._of_children: Any = resource.getrusage(resource.RUSAGE_CHILDREN)

    def enter_fork(self, base: memoryview) -> None:
        """Go on in a child process: its high-water mark is new, and what was opened belongs to the parent.

        `base` is shared with the parent; what this process held when its call began is put there.
        """
        self._is_forked = True
        self._base = base
        self._forget = self._of_children = None

    def begin(self) -> None:
        """Begin a call; the high-water mark of this process begins anew."""
        if self._forget is not None:
            try:
                os.write(self._forget, b"5")
            except OSError:  # a kernel without it: a call that stays below an earlier one is not seen
                self._forget = None
        used = resource.getrusage(resource.RUSAGE_SELF)
        self._held = used.ru_maxrss
        if self._base is not None:
            self._base[0] = self._held
        self._cpu = used.ru_utime + used.ru_stime

    def end(self) -> tuple[int, int]:
        """End a call; return CPU µs and KiB, with those of child processes that have ended."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu = used.ru_utime + used.ru_stime - self._cpu
        memory = used.ru_maxrss - self._held
        if self._is_forked and used.ru_minflt * _PAGE_KB > memory * 2 + _COPIED_SLACK_KB:
            memory = max(memory, _measure_own())  # what it was given and then wrote to does not make it grow
        before, now = self._of_children, resource.getrusage(resource.RUSAGE_CHILDREN)
        if before is None:
            cpu += now.ru_utime + now.ru_stime
        elif now != before:
            cpu += now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime
            self._of_children = now
        # A child has begun with as much as we held: only beyond that its mark says something.
        if now.ru_maxrss > max(used.ru_maxrss, 0 if before is None else before.ru_maxrss):
            memory = max(memory, now.ru_maxrss)
        return int(cpu * 1e6), memory


def _measure_own() -> int:
    """Measure what this process has for itself, in KiB; slow."""
    own = 0
    with contextlib.suppress(OSError), open("/proc/self/smaps_rollup") as file:
        for line in file:
            if line.startswith("Private_"):
                own += int(line.split()[1])
    return own

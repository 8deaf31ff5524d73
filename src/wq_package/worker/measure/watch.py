"""Watches running programs: when to look, what was found (shell module; Python 3.8 or newer).

Knows the clock, `ProcessTable` and a `Gauge` for each program. Ends nothing unasked: it says which program is over its
limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from .gauge import Gauge  # noqa: TID252 - `wq_package` cannot be imported where this runs
from .processes import ProcessTable  # noqa: TID252 - the same

_TOGETHER = 0.02
"""Programs that are due within so many seconds are looked at in one go."""
_SHARE, _SHARE_AT_LIMIT = 0.01, 0.1
"""How much of a processor exact readings may take, and those on which it depends whether a program is ended."""


class Watch:
    """Every program that runs.

    Args:
        find_owner: see `ProcessTable`.
    """

    def __init__(self, find_owner: Callable[[int], int | None]) -> None:
        self._gauges: dict[int, Gauge] = {}
        self._table = ProcessTable(find_owner)
        self._exact_at = 0.0
        self._urgent_at = 0.0

    def add(self, program: int, pid: int, limit: int = 0, base: int = 0, age: float = 0.0) -> None:
        """Watch a program from now on, which has run for `age` seconds; sizes in KiB, see `Gauge`."""
        self._gauges[program] = Gauge(time.monotonic() - age, limit, base)
        self._table.add(program, pid)

    @property
    def has_any(self) -> bool:
        """Whether anything is watched."""
        return bool(self._gauges)

    def find_delay(self) -> float | None:
        """Seconds until something is to be looked at; `None` if nothing runs."""
        if not self._gauges:
            return None
        return max(0.0, min([gauge.due for gauge in self._gauges.values()]) - time.monotonic())

    def look(self) -> list[int]:
        """Look at what is due; return the programs that are over their limit."""
        now = time.monotonic()
        due = [number for number, gauge in self._gauges.items() if gauge.due <= now + _TOGETHER]
        if not due or min([self._gauges[number].due for number in due]) > now:
            return []
        self._table.discover()
        return [number for number in due if self._look_at(number, now)]

    def has_seen(self, program: int) -> bool:
        """Whether a program ran for long enough to be looked at."""
        return self._gauges[program].samples > 0

    def kill_others(self, program: int) -> None:
        """Kill the processes of a program beside the first, as far as they were seen."""
        self._table.kill_others(program)

    def end(self, program: int, peak: int, cpu: float, floor: int = 0) -> Gauge:
        """Stop watching a program that has ended; return all about it. See `Gauge.end`."""
        gauge = self._gauges.pop(program)
        self._table.remove(program)
        gauge.end(time.monotonic(), peak, cpu, floor)
        return gauge

    def _look_at(self, program: int, now: float) -> bool:
        gauge = self._gauges[program]
        glance = self._table.glance(program, wants_cpu=gauge.wants_cpu(now))
        if glance is not None and gauge.is_calm(now, glance):
            return False
        reading = self._table.read(program)
        exact = None
        if gauge.needs_exact(now, reading):
            is_urgent = 0 < gauge.limit < sum(reading.resident) - gauge.base
            if now >= (self._urgent_at if is_urgent else self._exact_at):
                exact = self._read_exact(program, now)
        gauge.add(now, reading, exact)
        return gauge.excess > 0

    def _read_exact(self, program: int, now: float) -> int:
        began = time.process_time()
        exact = self._table.read_exact(program, self._gauges[program].base)
        cost = time.process_time() - began
        self._exact_at, self._urgent_at = now + cost / _SHARE, now + cost / _SHARE_AT_LIMIT
        return exact

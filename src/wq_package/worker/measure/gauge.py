"""What one program has used so far, from readings of its processes (logic module; Python 3.8 or newer).

Knows readings and the time of each; knows nothing of where they come from. Sizes are in KiB, times in seconds.

Between two readings a process can have held more than either shows, and a short one is never read at all. What closes
the gap is the high-water mark that the system keeps of each process and hands over when it ends: a program that was
alone has its exact peak in the end, however short it was. Of several processes the largest mark is a lower bound of what
they held together.
"""

from __future__ import annotations

import math

FIRST_DELAY = 0.02
LONGEST_DELAY = 1.0
LONGEST_LIMITED_DELAY = 0.15
NEAR_DELAY = 0.05
_LONGEST_NEAR_DELAY = 0.1
_NEAR = 0.7
_IDLE = 0.05
_CALM = 1.05
_CORES_WINDOW = 0.25
_SLACK_KB = 1024
_COPIED_SLACK_KB = 4096
_SMALL_KB = 4096
_GRID = 0.1
"""Programs are looked at together as far as that can be: it costs to find out which processes there are."""
_FULL_SECONDS = 3.0
"""How long a full reading stands while nothing grows: in between, a glance will do."""
_BUSY_SECONDS = 0.9
"""How often a glance is to tell processor time."""
_EXACT_SECONDS = 5.0
"""How long an exact reading stands while the processes do not grow; what they share can still become their own."""


class Reading:
    """What the processes of a program hold at one moment.

    Attributes:
        resident: what each process has in memory; pages that several have are in each of them.
        cpu: processor time of all, with that of their children that have ended.
        threads: of all.
        faulted: how much the first process has been given page by page, some of it perhaps more than once.
    """

    __slots__ = ("cpu", "faulted", "resident", "threads")

    def __init__(self, resident: list[int], cpu: float, threads: int, faulted: int = 0) -> None:
        self.resident = resident
        self.cpu = cpu
        self.threads = threads
        self.faulted = faulted


class Glance:
    """What can be had cheaply of the same processes as before.

    Attributes:
        resident: what they have in memory, one added to the other.
        cpu: their processor time, if it was asked for.
    """

    __slots__ = ("cpu", "resident")

    def __init__(self, resident: int, cpu: float | None) -> None:
        self.resident = resident
        self.cpu = cpu


class Gauge:
    """The peaks of one program.

    Args:
        now: when it started.
        limit: memory that it may hold; 0 means any.
        base: what it held when it was forked from a process that goes on; that is not its own.
    """

    def __init__(self, now: float, limit: int = 0, base: int = 0) -> None:
        self.limit = limit
        self.base = base
        self.memory = 0
        self.cores = 0.0
        self.processes = 0
        self.samples = 0
        self.excess = 0
        self.due = now + FIRST_DELAY
        self._began = now
        self._delay = FIRST_DELAY
        self._last = 0
        self._resident = 0
        self._glanced: tuple[float, float] | None = None  # when, and the processor time; not of all of them
        self._full_until = 0.0
        self._exact_for = 0
        self._exact_until = 0.0
        self._window = (now, 0.0, 1)

    def wants_cpu(self, now: float) -> bool:
        """Whether the next glance is to tell processor time."""
        return self._glanced is None or now - self._glanced[0] >= _BUSY_SECONDS

    def is_calm(self, now: float, glance: Glance) -> bool:
        """Take in a glance; tell whether it is enough, because nothing that it shows can be a new peak.

        Never of a fork: what it has been given and then writes to does not show.
        """
        slack = 0 if self._is_near else _SLACK_KB
        is_busier = glance.cpu is not None and self._is_busier(now, glance.cpu)
        if is_busier or now >= self._full_until or glance.resident > self._resident + slack:
            return False
        self._plan(now, self._last)
        return True

    def _is_busier(self, now: float, cpu: float) -> bool:
        since, before = self._glanced or (now, cpu)
        self._glanced = (now, cpu)
        return cpu - before > (self.cores + _IDLE) * (now - since)

    def needs_exact(self, now: float, reading: Reading) -> bool:
        """Whether this reading could raise the peak, but counts some pages more than once or not at all."""
        if len(reading.resident) > 1:
            if _is_sum_close(reading):
                return False
            total = sum(reading.resident) - self.base
            is_new = total > self._exact_for + _SLACK_KB or now >= self._exact_until
            return is_new and total > self.memory + _SLACK_KB
        if not self.base or not reading.resident:
            return False
        # A page of the parent's that a fork writes to becomes its own; its resident size does not show that.
        copied = reading.faulted - max(0, reading.resident[0] - self.base)
        return copied > _COPIED_SLACK_KB + self.memory // 10

    def add(self, now: float, reading: Reading, exact: int | None) -> None:
        """Take in a reading; `exact` is what the processes hold of their own, if that was found out."""
        self.samples += 1
        self._resident = sum(reading.resident)
        is_open = exact is None and self.needs_exact(now, reading)  # that took too much time for now
        self._full_until = 0.0 if self.base or is_open else now + _FULL_SECONDS
        self.processes = max(self.processes, len(reading.resident))
        if exact is None:
            held = self._estimate(reading)
        else:
            held = exact
            self._exact_for = self._resident - self.base
            self._exact_until = now + _EXACT_SECONDS
        self.memory = max(self.memory, held)
        self._add_cores(now, reading)
        if self.limit and held > self.limit:
            self.excess = max(self.excess, held)
        self._plan(now, held)

    def _estimate(self, reading: Reading) -> int:
        """Say what is held: of several processes, what the largest has at least."""
        held = sum(reading.resident) if _is_sum_close(reading) else max(reading.resident, default=0)
        return max(0, held - self.base)

    def _add_cores(self, now: float, reading: Reading) -> None:
        since, cpu, threads = self._window
        seconds = now - since
        if seconds < _CORES_WINDOW:
            return
        busy = min((reading.cpu - cpu) / seconds, float(max(threads, reading.threads)))
        self.cores = max(self.cores, busy)
        self._window = (now, reading.cpu, reading.threads)

    @property
    def _is_near(self) -> bool:
        """Whether the limit is near what was held last."""
        return 0 < self.limit * _NEAR < self._last

    def _plan(self, now: float, held: int) -> None:
        """Look again soon at what grows or is near its limit, and ever more rarely at what is calm."""
        is_calm = held <= self._last * _CALM + _SLACK_KB
        self._last = held
        if is_calm:
            self._delay = min(self._find_longest_delay(), self._delay * 2)
        else:
            self._delay = NEAR_DELAY if self._is_near else max(NEAR_DELAY, self._delay / 2)
        self.due = now + self._delay
        if self._delay >= _GRID:
            self.due = math.ceil(self.due / _GRID) * _GRID

    def _find_longest_delay(self) -> float:
        if self._is_near:
            return _LONGEST_NEAR_DELAY
        return LONGEST_LIMITED_DELAY if self.limit else LONGEST_DELAY

    def end(self, now: float, peak: int, cpu: float, floor: int = 0) -> None:
        """Take in what the system says of a program that has ended.

        Args:
            now: when it ended.
            peak: the largest high-water mark of any of its processes.
            cpu: processor time of all.
            floor: the mark that any process starts with here, because its parent held as much; it says nothing.
        """
        own = peak - self.base
        if peak > floor or not self.samples:
            self.memory = max(self.memory, own)
        seconds = now - self._began
        if seconds > 0:
            self.cores = max(self.cores, cpu / seconds)
        self.processes = max(self.processes, 1)


def _is_sum_close(reading: Reading) -> bool:
    """Whether the largest process has nearly everything, such as a command beside its shell: then a sum will do."""
    return sum(reading.resident) - max(reading.resident, default=0) <= _SMALL_KB

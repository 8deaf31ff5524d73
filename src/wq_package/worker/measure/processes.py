"""Which processes belong to which program, and what they hold (shell module; Python 3.8 or newer).

Knows `/proc`; decides nothing. A process belongs to a program by its process group, by its parent, or, when its parent
has gone, by what whoever adopted it can tell. The files of a process stay open from one reading to the next: that
halves the cost, and a number that the system gives to another process meanwhile cannot deceive us. What `statm` tells is
sizes only, for a third of what `stat` costs.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import time
from collections.abc import Callable

from .gauge import Glance, Reading  # noqa: TID252 - `wq_package` cannot be imported where this runs

_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
_CPUCLOCK_SCHED = 2
_TICKS = float(os.sysconf("SC_CLK_TCK"))
_PARENT, _GROUP, _FAULTS, _TIMES, _THREADS, _RESIDENT = 1, 2, 7, slice(11, 15), 17, 21
"""Where they stand in `/proc/PID/stat`, after the name in brackets."""


class ProcessTable:
    """The processes of every program.

    Args:
        find_owner: tells the program of a process that was handed to us, if it can.
    """

    def __init__(self, find_owner: Callable[[int], int | None]) -> None:
        self._find_owner = find_owner
        self._own = os.getpid()
        self._files: dict[int, dict[int, tuple[int, int]]] = {}  # program → process → `stat` and `statm`
        self._owners: dict[int, int] = {}
        self._unread: dict[
            int, int
        ] = {}  # program → its first process; most end before anybody looks at them
        self._changed: set[int] = set()  # programs that have got processes since they were read
        self._seen: set[str] = set()
        self._last = b""

    def add(self, program: int, pid: int) -> None:
        """Follow a program from its first process on, which leads its process group."""
        self._files[program] = {}
        self._owners[pid] = program
        self._unread[program] = pid

    def remove(self, program: int) -> None:
        """Forget a program."""
        self._owners.pop(self._unread.pop(program, 0), None)
        for pid in list(self._files[program]):
            self._drop(program, pid)
        del self._files[program]
        self._changed.discard(program)

    def kill_others(self, program: int) -> None:
        """Kill the processes of a program that were seen, beside the first; never one that has got the number of one of them."""
        for pid, (stat, _) in list(self._files.get(program, {}).items())[1:]:
            kill_followed(pid, stat)

    def discover(self) -> None:
        """Look for processes that have come."""
        for program, pid in self._unread.items():
            self._follow(program, pid)
        self._unread.clear()
        last = _read("/proc/loadavg").rsplit(b" ", 1)[-1]
        if last == self._last:  # the system has numbered nothing since
            return
        self._last = last
        names = {name for name in os.listdir("/proc") if name.isdigit()}
        new, self._seen = names - self._seen, names
        for pid in sorted(map(int, new)):
            if pid not in self._owners:
                self._sort(pid)

    def glance(self, program: int, *, wants_cpu: bool) -> Glance | None:
        """Read what is cheap; nothing if processes came or went."""
        if program in self._changed:
            return None
        pages, cpu, files = 0, None, self._files[program]
        try:
            for _, file in files.values():
                pages += int(os.pread(file, 64, 0).split(b" ", 2)[1])
            if wants_cpu:
                cpu = sum(map(_read_clock, files))
        except (OSError, IndexError):
            return None
        return Glance(pages * _PAGE_KB, cpu)

    def read(self, program: int) -> Reading:
        """Read what the processes of a program hold now."""
        self._changed.discard(program)
        resident: list[int] = []
        ticks = threads = faulted = 0
        for pid, (file, _) in list(self._files[program].items()):
            fields = _split(_read_again(file))
            if not fields:
                self._drop(program, pid)
                continue
            ticks += sum(map(int, fields[_TIMES]))
            if int(fields[_RESIDENT]) == 0:  # it has ended and waits for its parent to ask
                continue
            if not resident:
                faulted = int(fields[_FAULTS]) * _PAGE_KB
            resident.append(int(fields[_RESIDENT]) * _PAGE_KB)
            threads += int(fields[_THREADS])
        return Reading(resident, ticks / _TICKS, threads, faulted)

    def read_exact(self, program: int, base: int) -> int:
        """Read what the processes of a program hold together, each page counted once; slow.

        Of pages of files, which are mostly those of shared libraries, the most that any one process has counts: how many
        processes outside of the program have them too must not make a difference. With a base, what each process has
        for itself is added up, and of the first at least what it has grown by.
        """
        total = mapped = 0
        for index, (pid, (file, _)) in enumerate(list(self._files[program].items())):
            parts = _read_rollup(pid)
            if parts is None:  # it has ended, or may not be looked into
                fields = _split(_read_again(file))
                total += int(fields[_RESIDENT]) * _PAGE_KB if fields else 0
            elif base:
                own = parts["Private_Clean"] + parts["Private_Dirty"]
                total += max(own, parts["Rss"] - base) if index == 0 else own
            else:
                total += parts["Pss"] - parts["Pss_File"]
                mapped = max(mapped, _read_sizes(f"/proc/{pid}/status", ("RssFile",)).get("RssFile", 0))
        return total + mapped

    def _sort(self, pid: int) -> None:
        """Find out whose process this is; most are nobody's here."""
        fields = _split(_read(f"/proc/{pid}/stat"))
        if not fields:
            return
        parent, group = int(fields[_PARENT]), int(fields[_GROUP])
        program = self._owners.get(group, self._owners.get(parent))
        if program is None and parent == self._own:
            program = self._find_owner(pid)
        if program in self._files:
            self._follow(program, pid)

    def _follow(self, program: int, pid: int) -> None:
        with contextlib.suppress(OSError):  # it has ended already
            file = _open(f"/proc/{pid}/stat")
            try:
                self._files[program][pid] = file, _open(f"/proc/{pid}/statm")
            except OSError:
                os.close(file)
                raise
            self._owners[pid] = program
            self._changed.add(program)

    def _drop(self, program: int, pid: int) -> None:
        for file in self._files[program].pop(pid):
            os.close(file)
        self._owners.pop(pid, None)


def kill_followed(pid: int, stat: int) -> None:
    """Kill the process that an open `stat` belongs to.

    If that can still be read after a descriptor of the process was opened, then both are of the same process.
    """
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    except AttributeError:  # Python 3.8
        handle = -1
    try:
        if _read_again(stat):
            os.kill(pid, signal.SIGKILL) if handle < 0 else signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:  # it has gone
        pass
    finally:
        if handle >= 0:
            os.close(handle)


def _open(path: str) -> int:
    """Open a file; take all the descriptors that the system grants us, once those that we have are used up."""
    try:
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if error.errno != errno.EMFILE:
            raise
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        return os.open(path, os.O_RDONLY)


def _read(path: str) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return _read_again(file)
    finally:
        os.close(file)


def _read_clock(pid: int) -> float:
    """Read the processor time of a process, to the nanosecond; see clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def _read_again(file: int) -> bytes:
    try:
        return os.pread(file, 4096, 0)
    except OSError:  # the process has gone
        return b""


def _split(stat: bytes) -> list[bytes]:
    """Split `/proc/PID/stat` after the name, which may hold anything."""
    return stat[stat.rindex(b")") + 2 :].split() if stat else []


def _read_rollup(pid: int) -> dict[str, int] | None:
    names = ("Rss", "Pss", "Pss_File", "Private_Clean", "Private_Dirty")  # `Pss_File` since Linux 5.4
    found = _read_sizes(f"/proc/{pid}/smaps_rollup", names)
    return {**dict.fromkeys(names, 0), **found} if found else None


def _read_sizes(path: str, names: tuple[str, ...]) -> dict[str, int]:
    """Read lines of the form `NAME: 12 kB`."""
    found = {}
    for line in _read(path).splitlines():
        name, _, rest = line.decode(errors="replace").partition(":")
        if name in names:
            found[name] = int(rest.split()[0])
    return found

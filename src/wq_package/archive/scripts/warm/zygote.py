"""Runs each call in a fork (shell module; Python 3.8 or newer).

Knows processes, and packets as far as they say whose call they are; what a call is and how it runs is told in `calls`.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # it has no stubs
import _socket
import contextlib
import gc
import importlib
import json
import mmap
import os
import select
import signal
import socket
import time
from typing import Any

from .calls import MEASURE, Host
from .forking import ForkHooks
from .output import redirect_output
from .packets import CALL, KIND_CALL, KIND_REAPED, PACKET_LIMIT, REAPED
from .system import adopt_orphans, die_with_parent, find_birth, kill_group, list_children

LOOK_SECONDS = 0.05
WATCH_SECONDS = 0.02
"""A call that is gone sooner is not worth watching: its process tells all about it in the end."""
SPARES = 4
_PLACES = 4096
_REHEARSALS = 32
"""So often Python must have run something before it has nothing more to note about it: notes make pages that are copied."""


class Fork:
    """A call that runs in a fork."""

    __slots__ = ("began", "digest", "end", "is_watched", "limit", "place", "serial", "used")

    def __init__(self, serial: int, digest: bytes, limit: int) -> None:
        self.serial = serial
        self.digest = digest
        self.limit = limit
        self.place = 0
        self.began = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.is_watched = False
        self.end: Any = None
        self.used: list[Any] = []  # by each of its processes that nobody but us has waited for


class Spare:
    """A child that waits for a call."""

    __slots__ = ("end", "place")

    def __init__(self, end: Any, place: int) -> None:
        self.end = end
        self.place = place


class Zygote:
    """Runs each call in a fork of this process.

    Some children are forked ahead of the next calls, and wait for them: a call need not wait for its fork. After a fork, every
    page of memory that either side touches costs a page fault, which is nearly all that a call costs: hence the plain code, and
    several forks in a row, after which this side has to pay but once.
    """

    def __init__(self, host: Host, hooks: ForkHooks) -> None:
        self.host = host
        self.hooks = hooks
        self.running: dict[int, Fork] = {}  # by process id
        self.young: set[int] = set()  # those that are not watched yet
        self.watch = importlib.import_module(MEASURE + ".watch").Watch(lambda pid: None)
        # What each child held when its call began: pages of files come to a fork only as it uses them.
        self.bases = memoryview(mmap.mmap(-1, _PLACES * 4)).cast("i")
        self.place = 0
        self.spares: dict[int, Spare] = {}  # by process id
        self.unlearnt: set[bytes] = set()  # functions that cannot be loaded here
        self.next_look = 0.0
        self.has_looked = True
        adopt_orphans()
        for _ in range(_REHEARSALS):
            host.rehearse()
        self.woken, wake = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Fork for each call until the worker goes; then end what still runs."""
        calls, woken = self.host.calls.fileno(), self.woken
        poller = select.poll()
        poller.register(calls, select.POLLIN)
        poller.register(woken, select.POLLIN)
        poll, is_open = poller.poll, True
        try:
            while is_open:
                ready = poll(
                    self._find_delay() if self.running else None if self.has_looked else LOOK_SECONDS * 1000
                )
                if self.running:
                    self._look()
                if not ready and not self.has_looked:
                    self._kill_daemons()
                for number, _ in ready:
                    if number == woken:
                        os.read(woken, 4096)
                        self._reap()
                    else:
                        is_open = self._take_packet()
        finally:
            self._drop_spares()
            for pid in list(self.running):
                kill_group(pid)

    def _find_delay(self) -> float | None:
        """Milliseconds until there is something to do by itself."""
        delay = None if self.has_looked else LOOK_SECONDS
        if self.young:
            delay = WATCH_SECONDS
        elif self.watch.has_any:
            delay = min(self.watch.find_delay(), delay or LOOK_SECONDS * 100)
        return None if delay is None else delay * 1000 + 1

    def _look(self) -> None:
        """Watch those that are not gone at once, and end what is over its limit."""
        if self.young:
            now = time.clock_gettime(time.CLOCK_BOOTTIME)
            for pid in [pid for pid in self.young if now - self.running[pid].began >= WATCH_SECONDS]:
                fork = self.running[pid]
                base = self.bases[fork.place]
                if base:
                    self.young.discard(pid)
                    fork.is_watched = True
                    self.watch.add(fork.serial, pid, fork.limit, base, now - fork.began)
        for serial in self.watch.look():
            self._kill(serial)

    def _take_packet(self) -> bool:
        packet = self.host.calls.recv(PACKET_LIMIT)
        if not packet:
            return False
        if packet[0] == KIND_CALL:
            self._start(packet)
        else:
            self._kill(CALL.unpack_from(packet)[1])
        return True

    def _start(self, packet: bytes) -> None:
        _, serial, digest, extra_size = CALL.unpack_from(packet)
        fork = Fork(serial, digest, _find_limit(packet) if extra_size else 0)
        try:
            pid, spare = self._give(packet)
        except OSError as error:
            answer = (serial, False, self.host.runner.encode_error(error), 0, 0, 0)
            end = REAPED.pack(KIND_REAPED, serial, 0, 0, 0, 0, 0, 0, 0, 0, 0)
            self.host.answers.send(end + self.host.pack_answer(answer))
            return
        fork.end, fork.place = spare.end, spare.place
        self.running[pid] = fork
        self.young.add(pid)
        if not self.spares:
            try:
                for _ in range(SPARES):
                    self._fork_spare()
            except OSError:  # then the next call forks for itself
                return

    def _give(self, packet: bytes) -> tuple[int, Spare]:
        """Give a call to the child that has waited longest, or to a new one."""
        while self.spares:
            pid, spare = next(iter(self.spares.items()))
            del self.spares[pid]
            try:
                spare.end.send(packet)
            except OSError:  # it was killed while it waited
                spare.end.close()
                continue
            return pid, spare
        self._fork_spare()
        pid, spare = self.spares.popitem()
        spare.end.send(packet)
        return pid, spare

    def _fork_spare(self) -> None:
        # The one of `socket` wraps its ends in Python.
        end, theirs = _socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.place = (self.place + 1) % _PLACES
        self.bases[self.place] = 0
        try:
            pid = self.hooks.fork()
        except OSError:
            end.close()
            theirs.close()
            raise
        if pid == 0:
            end.close()
            self._run_child(theirs)
        theirs.close()
        self.spares[pid] = Spare(end, self.place)
        try:
            os.setpgid(pid, pid)  # before it is given anything to run
        except OSError:
            return

    def _run_child(self, end: Any) -> None:
        status = 1
        try:
            if not die_with_parent():
                self._close_others()  # so that we hear of its end
            signal.set_wakeup_fd(-1)
            _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            redirect_output(self.host.spool)
            self.host.rehearse()
            packet = end.recv(PACKET_LIMIT)
            # The answer takes the same way back: the worker is then woken once for it and for our end.
            self.host.answers = end
            if packet:
                self.host.meter.enter_fork(self.bases[self.place : self.place + 1])
                self.host.answer(self.host.run(packet))
            status = 0
        finally:
            os._exit(status)

    def _close_others(self) -> None:
        for other in self.spares.values():
            other.end.close()

    def _drop_spares(self) -> None:
        """End the children that wait; they are reaped like any other."""
        for pid, spare in self.spares.items():
            spare.end.close()
            kill_group(pid)
        self.spares.clear()

    def _kill(self, serial: int) -> None:
        for pid, fork in self.running.items():
            if fork.serial == serial:
                kill_group(pid)
                self.watch.kill_others(serial)  # those that have left the group

    def _reap(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                break
            owner = self.running.get(found.si_pid) or self._find_owner(found.si_pid)
            kill_group(found.si_pid)  # what the call left behind; the id is still ours until we wait for it
            pid, status, used = os.wait4(found.si_pid, 0)
            spare = self.spares.pop(pid, None)
            if spare is not None:
                spare.end.close()
            if owner is not None:
                owner.used.append(used)
            fork = self.running.pop(pid, None)
            if fork is not None:
                self.young.discard(pid)
                self._report(fork, status)
        self.has_looked = False
        if time.monotonic() >= self.next_look:
            self._kill_daemons()

    def _find_owner(self, pid: int) -> Fork | None:
        """Find the call of a process that was handed to us."""
        try:
            return self.running.get(os.getpgid(pid))
        except OSError:
            return None

    def _take_answer(self, fork: Fork) -> bytes:
        """Take what the call answered before it ended, if it did."""
        try:
            answer: bytes = fork.end.recv(PACKET_LIMIT, socket.MSG_DONTWAIT)
        except OSError:  # something that it left behind has the socket, too
            answer = b""
        fork.end.close()
        return answer

    def _report(self, fork: Fork, status: int) -> None:
        cpu = sum(used.ru_utime + used.ru_stime for used in fork.used)
        peak = max(used.ru_maxrss for used in fork.used)
        base = self.bases[fork.place] or peak
        memory, cores, processes, excess = max(0, peak - base), 0.0, 1, 0
        if fork.is_watched:
            gauge = self.watch.end(fork.serial, peak, cpu)
            memory, cores, processes, excess = gauge.memory, gauge.cores, gauge.processes, gauge.excess
        blocks = (sum(used.ru_inblock for used in fork.used), sum(used.ru_oublock for used in fork.used))
        found = (int(cpu * 1e6), memory, int(cores * 1000), blocks[0] // 2, blocks[1] // 2, processes)
        end = REAPED.pack(KIND_REAPED, fork.serial, status, *found, fork.limit, excess)
        self.host.answers.send(end + self._take_answer(fork))
        if status == 0 and fork.digest not in self.host.known and fork.digest not in self.unlearnt:
            self._learn(fork.digest)
            self._drop_spares()  # they have not learnt it

    def _kill_daemons(self) -> None:
        """Kill what calls have left behind elsewhere; not after every call, for looking takes its time."""
        self.has_looked = True
        self.next_look = time.monotonic() + LOOK_SECONDS
        oldest = min((fork.began for fork in self.running.values()), default=float("inf"))
        for pid in list_children():
            if pid not in self.spares and pid not in self.running and find_birth(pid) < oldest:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    def _learn(self, digest: bytes) -> None:
        """Load a function here, once a child has shown that this is harmless: later forks find it, and its modules."""
        try:
            self.host.load(digest)
        except BaseException:  # noqa: BLE001 - then each child loads it, and tells why it cannot
            self.host.known.pop(digest, None)
            self.unlearnt.add(digest)
        gc.freeze()  # what a function brought, too, children need not copy


def _find_limit(packet: bytes) -> int:
    start = CALL.size
    extra = json.loads(packet[start : start + CALL.unpack_from(packet)[3]])
    limit: int = extra.get("limit") or 0
    return limit

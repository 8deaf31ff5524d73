"""The spawner itself: obeys the worker, reaps, reports (shell module; standard library only).

Knows the messages, which the package describes, and every program that runs.
"""

from __future__ import annotations

import array
import contextlib
import errno
import marshal
import os
import select
import signal
import socket
import time
from typing import Any

from ..measure.watch import Watch  # noqa: TID252 - `wq_package` cannot be imported where this runs
from . import ENDED, PACKET_LIMIT  # noqa: TID252 - the same
from .cgroups import Cgroups, enter, kill_group  # noqa: TID252 - the same
from .children import (  # noqa: TID252 - the same
    ChildList,
    adopt_orphans,
    find_own_peak,
    forget_own_peak,
    is_group_there,
    read_environ,
    send_signal,
    signal_group,
)
from .launch import RESET_SIGNALS, make_environ, make_file_actions, on_processors  # noqa: TID252 - the same
from .program import Program  # noqa: TID252 - the same
from .view import make_read_only, separate_view  # noqa: TID252 - the same

_LAST_SECONDS = 2.0
"""How long the end of a program waits for those of its processes that were killed then and do not go."""


class Spawner:
    """The processes that were started and have not ended.

    Args:
        control: where the worker speaks.
        view_errno: why we have no view of the file system of our own, or 0.
        uses_cgroups: put programs that have a limit into groups of their own where that can be.
    """

    def __init__(self, control: socket.socket, view_errno: int = 0, *, uses_cgroups: bool = True) -> None:
        self.control = control
        self.environ = dict(os.environ)  # which decodes every variable, each time
        self.room = memoryview(bytearray(PACKET_LIMIT))
        self.view_errno = view_errno
        self.watch = Watch(self._find_owner)
        self.cgroups = Cgroups(is_wanted=uses_cgroups)
        self.children = ChildList()
        self.programs: dict[int, Program] = {}  # by process id, which is also that of the group
        self.pids: dict[int, int] = {}  # by our caller's id
        self.ending: set[int] = set()
        self.hunted: set[bytes] = set()  # marks of programs that have ended and left something behind
        self.woken, wake = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Obey until the worker goes; then end everything."""
        poller = select.poll()
        poller.register(self.control.fileno(), select.POLLIN)
        poller.register(self.woken, select.POLLIN)
        try:
            while self._turn(dict(poller.poll(self._find_delay()))):
                pass
        finally:
            self._end_all()

    def _find_delay(self) -> float | None:
        """Milliseconds until there is something to do by itself."""
        delay = self.watch.find_delay()
        if self.ending:
            delay = min(_LAST_SECONDS if delay is None else delay, _LAST_SECONDS)
        return None if delay is None else delay * 1000 + 1

    def _turn(self, ready: dict[int, int]) -> bool:
        if self.woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self.woken, 4096)
            self._reap()
        for number in self.watch.look():
            self._kill(number, signal.SIGKILL)
        if self.ending:
            self._end_ended()
        if self.control.fileno() not in ready:
            return True
        packet, descriptors = _receive(self.control, self.room)
        if packet:
            self._obey(marshal.loads(packet), descriptors)
        return bool(packet)

    def _obey(self, message: dict[str, Any], descriptors: list[int]) -> None:
        if "file" in message:
            place = message["file"]
            with open(place, "rb") as file:
                message = marshal.load(file)
            os.unlink(place)
            forget_own_peak()
        try:
            if "start" in message:
                self._start(message, descriptors)
            elif "protect" in message:
                error = self.view_errno or make_read_only(message["folders"])
                self.control.send(ENDED.pack(message["protect"], 0, error, 0, 0, 0, 0, 0, 0, 0))
            else:
                self._kill(message["kill"], message["signal"])
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _start(self, message: dict[str, Any], descriptors: list[int]) -> None:
        group = ""
        try:
            os.chdir(message["cwd"])
            group = self.cgroups.begin(message["start"], message["limit"], ".")
            pid = self._spawn(message, enter(group, message["argv"]), descriptors)
        except (OSError, ValueError) as error:  # a NUL in a word is a ValueError
            number = getattr(error, "errno", None) or errno.EINVAL
            if group:
                self.cgroups.end(group)
            self.control.send(ENDED.pack(message["start"], 0, number, 0, 0, 0, 0, 0, 0, 0))
            return
        finally:
            os.chdir("/")  # a sandbox can be removed while we idle
        program = self.programs[pid] = Program(message["start"], pid, message, group)
        self.pids[program.number] = pid
        if program.is_watched:
            self.watch.add(program.number, pid, message["limit"])

    def _spawn(self, message: dict[str, Any], argv: list[str], descriptors: list[int]) -> int:
        with on_processors(message["cpus"]):
            return os.posix_spawn(
                argv[0],
                argv,
                make_environ(message, self.environ),
                file_actions=make_file_actions(message["output"], descriptors),
                setpgroup=0,
                setsigdef=RESET_SIGNALS,
                setsigmask=(),
            )

    def _kill(self, number: int, sign: int) -> None:
        pid = self.pids.get(number)
        if pid is None:
            return
        signal_group(pid, sign)
        if sign == signal.SIGKILL and self.programs[pid].is_watched:
            self.watch.kill_others(number)  # those that have left the group
            if group := self.programs[pid].group:
                kill_group(group)

    def _reap(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            pid = found.si_pid
            program = self.programs.get(pid) or self._find_program(pid)
            if program is not None and program.pid == pid:
                self._kill(
                    program.number, signal.SIGKILL
                )  # what it left behind; the id is ours until we wait
            self._note(program, *os.wait4(pid, 0))

    def _note(self, program: Program | None, pid: int, status: int, used: Any) -> None:
        if program is not None:
            program.add(used)
        if program is None or program.pid != pid:  # its parent ended before it; it may have had children
            self.hunted = {mark for mark in self.hunted if self._hunt(mark)}
            return
        program.status = status
        program.ending = time.monotonic()
        self.ending.add(pid)

    def _find_program(self, pid: int) -> Program | None:
        """Find the program of a process that has ended and was handed to us."""
        try:
            return self.programs.get(os.getpgid(pid))
        except OSError:
            return None

    def _end_ended(self) -> None:
        for pid in list(self.ending):
            program = self.programs[pid]
            if not is_group_there(pid) or time.monotonic() - program.ending >= _LAST_SECONDS:
                self.ending.discard(pid)
                self._report(program)

    def _report(self, program: Program) -> None:
        del self.programs[program.pid], self.pids[program.number]
        if self._hunt(program.mark):
            self.hunted.add(program.mark)
        memory, cores, processes, excess = program.peak, 0.0, 0, 0
        if program.is_watched:
            floor = find_own_peak() if self.watch.has_seen(program.number) else 0
            gauge = self.watch.end(program.number, program.peak, program.cpu, floor)
            memory, cores, processes, excess = gauge.memory, gauge.cores, gauge.processes, gauge.excess
        if program.limit:
            self.cgroups.note(time.monotonic() - program.began)
        if program.group and self.cgroups.end(program.group):
            excess = max(excess, memory, program.limit + 1)
        cpu = int(program.cpu * 1e6)
        found = (cpu, memory, int(cores * 1000), program.read, program.written, processes, excess)
        with contextlib.suppress(OSError):  # the worker has gone
            self.control.send(ENDED.pack(program.number, program.status, 0, *found))

    def _find_owner(self, pid: int) -> int | None:
        """Tell which program a process that was handed to us came from."""
        environ = read_environ(pid)
        marks = (program for program in self.programs.values() if program.mark in environ)
        return next((program.number for program in marks if program.is_watched), None)

    def _hunt(self, mark: bytes) -> bool:
        """Kill what was handed to us and has a mark; return whether there was any."""
        found = [
            pid for pid in self.children.read() if pid not in self.programs and mark in read_environ(pid)
        ]
        for pid in found:
            send_signal(pid, signal.SIGKILL)
        return bool(found)

    def _end_all(self) -> None:
        for pid in self.programs:
            signal_group(pid, signal.SIGKILL)
        while (
            children := self.children.read()
        ):  # the children of those that are killed are handed to us in turn
            for pid in children:
                send_signal(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.wait()
        self.cgroups.close()


def _receive(control: socket.socket, room: memoryview) -> tuple[bytes, list[int]]:
    descriptors = array.array("i")
    space = socket.CMSG_SPACE(8 * descriptors.itemsize)
    size, ancillary, _, _ = control.recvmsg_into([room], space, socket.MSG_CMSG_CLOEXEC)
    for level, kind, body in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(body[: len(body) - len(body) % descriptors.itemsize])
    return bytes(room[:size]), list(descriptors)


def main(descriptor: int, *, by_user: bool, uses_cgroups: bool) -> None:
    """Serve the worker at the other end of a socket."""
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(sign, signal.SIG_IGN)  # the worker decides; a terminal signals the whole group
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, descriptor)
    control.set_inheritable(False)
    adopt_orphans()
    Spawner(control, separate_view(by_user=by_user), uses_cgroups=uses_cgroups).serve()

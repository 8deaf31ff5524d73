"""Starts, watches and ends processes for a worker (script; standard library only).

Knows processes; knows nothing of tasks, queues or environments. It runs as a child of the worker, which names the file
descriptor of a socket. It is small and has one thread, so starting a process costs little, and it outlives the
worker by just long enough to kill every process group that it started: when the socket closes, nothing is left.

One packet is one message. From the worker: JSON, with file descriptors beside it:

    {"start": id, "argv": […], "cwd": "…", "set": {…}, "unset": […], "environ": {…} or null, "output": path or null,
     "mark": "NAME=VALUE", "cpus": […] or null, "watch": bool, "limit": KiB, 0 for none}
    {"kill": id, "signal": number}
    {"protect": id, "folders": […]}
    {"file": path}      the message stands in a file, because it is larger than a packet

A process that leaves its group (a daemon) is handed to us when its parent ends. By its environment, which has the mark
of the program that it came from, it is found and killed with that program. A program that is watched is measured while
it runs and killed when it holds more memory than its limit; see `measure/`.

Where the kernel lets us, we have a view of the file system of our own, which everything that we start shares. In it, the
folders to protect are read-only, for root too; the worker itself goes on writing to them.

To the worker, when no process of a program is left:

    <Q id> <i wait status> <i errno> <q CPU µs> <q KiB> <q 0.001 cores> <q KiB read> <q KiB written> <q processes>
    <q KiB with which it was over its limit, or 0>

errno is not 0 if the process did not start, or if the folders are not protected. What was not watched has no cores and no processes.
"""

from __future__ import annotations

import array
import contextlib
import errno
import importlib.util
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

ENDED = struct.Struct("<Qiiqqqqqqq")
PACKET_LIMIT = 160 * 1024
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_SLAVE = 1, 32, 4096, 16384, 1 << 19
MS_RELATIME = 1 << 21
_BLOCKS_PER_KB = 2
_LAST_SECONDS = 2.0
"""How long the end of a program waits for those of its processes that were killed then and do not go."""


def _load_watch() -> Any:
    """Load the folder `measure` beside this file; `-I` and `-S` keep packages off the path."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "measure")
    place = os.path.join(folder, "__init__.py")
    spec = importlib.util.spec_from_file_location("_measure", place, submodule_search_locations=[folder])
    if spec is None or spec.loader is None:
        raise ImportError(place)
    sys.modules["_measure"] = importlib.util.module_from_spec(spec)
    return importlib.import_module("_measure.watch").Watch


class _Program:
    """A program that was started.

    Attributes:
        ending: since when only processes are left that have been killed; 0 while it runs.
    """

    def __init__(self, number: int, pid: int, message: dict[str, Any]) -> None:
        self.number = number
        self.pid = pid
        self.mark = b"\0" + message["mark"].encode() + b"\0"
        self.is_watched: bool = message["watch"]
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


class Spawner:
    """The processes that were started and have not ended."""

    def __init__(
        self,
        control: socket.socket,
        make_watch: Callable[[Callable[[int], int | None]], Any],
        view_errno: int = 0,
    ) -> None:
        self.control = control
        self.environ = dict(os.environ)  # which decodes every variable, each time
        self.room = memoryview(bytearray(PACKET_LIMIT))
        self.view_errno = view_errno
        self.watch = make_watch(self._find_owner)
        self.programs: dict[int, _Program] = {}  # by process id, which is also that of the group
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
            self._obey(json.loads(packet), descriptors)
        return bool(packet)

    def _obey(self, message: dict[str, Any], descriptors: list[int]) -> None:
        if "file" in message:
            place = message["file"]
            with open(place, "rb") as file:
                message = json.load(file)
            os.unlink(place)
            _forget_own_peak()
        try:
            if "start" in message:
                self._start(message, descriptors)
            elif "protect" in message:
                error = self.view_errno or _make_read_only(message["folders"])
                self.control.send(ENDED.pack(message["protect"], 0, error, 0, 0, 0, 0, 0, 0, 0))
            else:
                self._kill(message["kill"], message["signal"])
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _start(self, message: dict[str, Any], descriptors: list[int]) -> None:
        try:
            os.chdir(message["cwd"])
            with _on_processors(message["cpus"]):
                pid = os.posix_spawn(
                    message["argv"][0],
                    message["argv"],
                    _make_environ(message, self.environ),
                    file_actions=_make_file_actions(message["output"], descriptors),
                    setpgroup=0,
                    setsigdef=_RESET,
                    setsigmask=(),
                )
        except (OSError, ValueError) as error:  # a NUL in a word is a ValueError
            number = getattr(error, "errno", None) or errno.EINVAL
            self.control.send(ENDED.pack(message["start"], 0, number, 0, 0, 0, 0, 0, 0, 0))
            return
        finally:
            os.chdir("/")  # a sandbox can be removed while we idle
        program = self.programs[pid] = _Program(message["start"], pid, message)
        self.pids[program.number] = pid
        if program.is_watched:
            self.watch.add(program.number, pid, message["limit"])

    def _kill(self, number: int, sign: int) -> None:
        pid = self.pids.get(number)
        if pid is None:
            return
        _signal_group(pid, sign)
        if sign == signal.SIGKILL and self.programs[pid].is_watched:
            for other in self.watch.list_others(number):  # those that have left the group
                _signal(other, sign)

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

    def _note(self, program: _Program | None, pid: int, status: int, used: Any) -> None:
        if program is not None:
            program.add(used)
        if program is None or program.pid != pid:  # its parent ended before it; it may have had children
            self.hunted = {mark for mark in self.hunted if self._hunt(mark)}
            return
        program.status = status
        program.ending = time.monotonic()
        self.ending.add(pid)

    def _find_program(self, pid: int) -> _Program | None:
        """Find the program of a process that has ended and was handed to us."""
        try:
            return self.programs.get(os.getpgid(pid))
        except OSError:
            return None

    def _end_ended(self) -> None:
        for pid in list(self.ending):
            program = self.programs[pid]
            if not _is_group_there(pid) or time.monotonic() - program.ending >= _LAST_SECONDS:
                self.ending.discard(pid)
                self._report(program)

    def _report(self, program: _Program) -> None:
        del self.programs[program.pid], self.pids[program.number]
        if self._hunt(program.mark):
            self.hunted.add(program.mark)
        memory, cores, processes, excess = program.peak, 0.0, 0, 0
        if program.is_watched:
            floor = _find_own_peak() if self.watch.has_seen(program.number) else 0
            gauge = self.watch.end(program.number, program.peak, program.cpu, floor)
            memory, cores, processes, excess = gauge.memory, gauge.cores, gauge.processes, gauge.excess
        cpu = int(program.cpu * 1e6)
        found = (cpu, memory, int(cores * 1000), program.read, program.written, processes, excess)
        with contextlib.suppress(OSError):  # the worker has gone
            self.control.send(ENDED.pack(program.number, program.status, 0, *found))

    def _find_owner(self, pid: int) -> int | None:
        """Tell which program a process that was handed to us came from."""
        environ = _read_environ(pid)
        marks = (program for program in self.programs.values() if program.mark in environ)
        return next((program.number for program in marks if program.is_watched), None)

    def _hunt(self, mark: bytes) -> bool:
        """Kill what was handed to us and has a mark; return whether there was any."""
        found = [pid for pid in _list_children() if pid not in self.programs and mark in _read_environ(pid)]
        for pid in found:
            _signal(pid, signal.SIGKILL)
        return bool(found)

    def _end_all(self) -> None:
        for pid in self.programs:
            _signal_group(pid, signal.SIGKILL)
        while children := _list_children():  # the children of those that are killed are handed to us in turn
            for pid in children:
                _signal(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.wait()


_RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
"""Python ignores the first two; a program expects to die of them."""


def _make_environ(message: dict[str, Any], own: dict[str, str]) -> dict[str, str]:
    given = message.get("environ")
    environ = dict(own if given is None else given)
    for name in message["unset"]:
        environ.pop(name, None)
    environ.update(message["set"])
    return environ


def _make_file_actions(output: str | None, descriptors: list[int]) -> list[tuple[Any, ...]]:
    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions.append((os.POSIX_SPAWN_OPEN, 1, output or "/dev/null", flags, 0o600))
    actions.append((os.POSIX_SPAWN_DUP2, 1, 2))
    actions.extend((os.POSIX_SPAWN_DUP2, source, 3 + index) for index, source in enumerate(descriptors))
    return actions


def _receive(control: socket.socket, room: memoryview) -> tuple[bytes, list[int]]:
    descriptors = array.array("i")
    space = socket.CMSG_SPACE(8 * descriptors.itemsize)
    size, ancillary, _, _ = control.recvmsg_into([room], space, socket.MSG_CMSG_CLOEXEC)
    for level, kind, body in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(body[: len(body) - len(body) % descriptors.itemsize])
    return bytes(room[:size]), list(descriptors)


def _signal_group(pid: int, sign: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, sign)


def _signal(pid: int, sign: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, sign)


def _list_children() -> list[int]:
    """List our child processes, as far as the system tells."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb", 0) as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def _read_environ(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return b"\0" + file.read() + b"\0"
    except OSError:
        return b""


def _is_group_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is there, and somebody else's by now
        return True
    return True


def _find_own_peak() -> int:
    """Find our own high-water mark in KiB: a process that we start begins with it, because it shares our memory."""
    try:
        with open("/proc/self/status", "rb") as file:
            status = file.read()
        return int(status[status.index(b"VmHWM:") + 6 :].split(None, 1)[0])
    except (OSError, ValueError):
        return 0


def _forget_own_peak() -> None:
    """Begin our high-water mark anew, after something large."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


@contextlib.contextmanager
def _on_processors(numbers: list[int] | None) -> Any:
    """Be on some processors only, so that what is started now is so from its first instruction on."""
    if not numbers:
        yield
        return
    before = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):  # taken from us since the worker looked
        os.sched_setaffinity(0, numbers)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _adopt_orphans() -> None:
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except Exception:  # noqa: BLE001 - only tidiness is lost
        return


def _separate_view(*, by_user: bool) -> int:
    """Get a view of the file system of our own; return what is in the way, or 0."""
    try:
        if by_user and (error := _try_in_child()):
            return error
        _unshare(by_user=by_user)
    except OSError as error:
        return error.errno or errno.EPERM
    except Exception:  # noqa: BLE001 - a Python without ctypes: environments are only less protected
        return errno.ENOSYS
    return 0


def _unshare(*, by_user: bool) -> None:
    user, group = os.getuid(), os.getgid()
    _call("unshare", CLONE_NEWNS | (CLONE_NEWUSER if by_user else 0))
    if by_user:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    # What others mount later is still seen here; what is mounted here, nobody else sees.
    _call("mount", b"none", b"/", None, MS_REC | MS_SLAVE, None)


def _try_in_child() -> int:
    """Try in a child what cannot be undone: some kernels give a namespace of users in which nothing is allowed."""
    pid = os.fork()
    if not pid:
        try:
            _unshare(by_user=True)
            os._exit(_make_read_only([os.getcwd()]))
        except OSError as error:
            os._exit(error.errno or errno.EPERM)
        finally:
            os._exit(errno.EPERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _make_read_only(folders: list[str]) -> int:
    try:
        for folder in folders:
            place = os.fsencode(folder)
            _call("mount", place, place, None, MS_BIND, None)
            flags = os.statvfs(place).f_flag
            kept = (
                flags & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME)
            ) | (MS_RELATIME if flags & os.ST_RELATIME else 0)
            _call("mount", None, place, None, MS_BIND | MS_REMOUNT | MS_RDONLY | kept, None)
    except OSError as error:
        return error.errno or errno.EPERM
    return 0


def _call(name: str, *arguments: Any) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def main(descriptor: int, *, by_user: bool) -> None:
    """Serve the worker at the other end of a socket."""
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(sign, signal.SIG_IGN)  # the worker decides; a terminal signals the whole group
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, descriptor)
    control.set_inheritable(False)
    _adopt_orphans()
    Spawner(control, _load_watch(), _separate_view(by_user=by_user)).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), by_user=sys.argv[2:] == ["user"])

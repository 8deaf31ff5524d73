"""The warm interpreter: runs calls that a worker sends (script; standard library only, Python 3.8 or newer).

Knows two sockets, one folder for large bodies and one with pickled functions; knows nothing of queues or managers. Runs
as `python3 -I host.py MODE SPOOL FUNCTIONS IMPORTS MEASURE` in the environment's own Python, with the socket of calls at
file descriptor 3 and the socket of answers at 4; `MEASURE` is a folder of scripts that measure. Both are SOCK_SEQPACKET: one packet is one message, so a worker can take
a packet back that no host has read yet, and forked children can answer on the same socket without a lock.

    call     <B kind> <Q serial> <32s function digest> <I extra size> + extra (JSON, may be absent) + arguments
    answer   <B kind> <Q serial> <B returned> <B in file> <Q µs> <Q CPU µs> <q KiB> <Q output size> <Q answer size>
             + what was printed + pickled answer; in a file of the spool folder named by the serial if they are large
    ready    <B kind> + JSON {"error": "…"}; error is empty if every import succeeded
    reaped   <B kind> <Q serial> <i wait status> <q CPU µs> <q KiB> <q 0.001 cores> <q KiB read> <q KiB written>
             <q processes> <q KiB limit> <q KiB held when killed for it, or 0>    (fork mode: the call's process is gone)

In place, the call runs in this process; in fork mode, in a child with a process group of its own that is killed when
the child ends. A daemon that left the group is handed to us by the system, and killed when no call runs that was there
before it. What a call holds is what it has beyond what the interpreter held before. In fork mode its processes are also
looked at while they run, unless they are gone at once, and a call over its limit is killed. The worker is gone when the socket of calls is closed: so are we.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # it has no stubs
import _socket
import _thread
import contextlib
import fcntl
import gc
import importlib
import importlib.util
import json
import mmap
import os
import pickle
import select
import signal
import socket
import struct
import sys
import time
import types
from typing import Any

CALL = struct.Struct("<BQ32sI")
ANSWER = struct.Struct("<BQBBQQqQQ")
REAPED = struct.Struct("<BQiqqqqqqqq")
KIND_CALL, KIND_KILL = 1, 2
KIND_ANSWER, KIND_READY, KIND_REAPED = 1, 2, 3
PACKET_LIMIT = 128 * 1024
INLINE_LIMIT = 64 * 1024
KNOWN_LIMIT = 512
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LOOK_SECONDS = 0.05
WATCH_SECONDS = 0.02
"""A call that is gone sooner is not worth watching: its process tells all about it in the end."""
_MEASURE = "_wq_package_measure"
_PLACES = 4096
_NO_ARGUMENTS = pickle.dumps(((), {}), 4)


def _load_runner() -> types.ModuleType:
    """Load `run_call.py` from beside this file; `-I` keeps the folder off the path."""
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run_call.py")
    spec = importlib.util.spec_from_file_location("_wq_package_run_call", place)
    if spec is None or spec.loader is None:
        raise ImportError(place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _add_measure(folder: str) -> None:
    """Make the scripts of a folder modules that can be imported, under a name that nobody else has."""
    place = os.path.join(folder, "__init__.py")
    spec = importlib.util.spec_from_file_location(_MEASURE, place, submodule_search_locations=[folder])
    if spec is None or spec.loader is None:
        raise ImportError(place)
    sys.modules[_MEASURE] = importlib.util.module_from_spec(spec)


class Host:
    """One warm interpreter and what it keeps between calls."""

    def __init__(self, calls: socket.socket, answers: socket.socket, spool: str, functions: str) -> None:
        self.calls = calls
        self.answers = answers
        self.spool = spool
        self.functions = functions
        self.runner = _load_runner()
        self.meter = importlib.import_module(_MEASURE + ".meter").Meter()
        self.known: dict[bytes, Any] = {}

    def import_ahead(self, names: list[str]) -> str:
        """Import modules; return what went wrong, or an empty text."""
        for name in names:
            try:
                importlib.import_module(name)
            except BaseException as error:  # noqa: BLE001 - a module may raise anything, SystemExit too
                return f"`import {name}` failed: {type(error).__name__}: {error}"
        return ""

    def run(self, packet: bytes) -> tuple[int, bool, bytes, int, int, int]:
        """Run the call in a packet; return its serial, whether it returned, its answer, µs, CPU µs and KiB."""
        _, serial, digest, extra_size = CALL.unpack_from(packet)
        start = CALL.size + extra_size
        extra = json.loads(packet[CALL.size : start]) if extra_size else None
        began = time.perf_counter_ns()
        self.meter.begin()
        if extra is None:
            is_returned, answer = self._call(digest, memoryview(packet)[start:])
        else:
            with _settled(extra):
                is_returned, answer = self._call(digest, _find_arguments(extra, packet, start))
        spent = time.perf_counter_ns() - began
        cpu, memory = self.meter.end()
        return serial, is_returned, answer, spent // 1000, cpu, memory

    def rehearse(self) -> None:
        """Run a call of nothing."""
        self.runner.run_callable(_do_nothing, _NO_ARGUMENTS)

    def _call(self, digest: bytes, arguments: Any) -> tuple[bool, bytes]:
        function = self.known.get(digest)
        if function is None:
            try:
                function = self.load(digest)
            except BaseException as error:  # noqa: BLE001 - a missing module is the call's answer
                return False, self.runner.encode_error(error)
        result: tuple[bool, bytes] = self.runner.run_callable(function, arguments)
        return result

    def load(self, digest: bytes) -> Any:
        """Unpickle a function and keep it."""
        with open(self.functions + "/" + digest.hex(), "rb") as file:
            function = self.known[digest] = self.runner.load_callable(file.read())
        if len(self.known) > KNOWN_LIMIT:
            del self.known[next(iter(self.known))]  # the oldest; it can be loaded again
        return function

    def answer(self, outcome: tuple[int, bool, bytes, int, int, int]) -> None:
        """Send an answer with what the call printed since the last one."""
        serial, is_returned, answer, spent, cpu, memory = outcome
        output_size = _flush_output()
        header = (KIND_ANSWER, serial, is_returned)
        tail = (spent, cpu, memory, output_size, len(answer))
        if output_size + len(answer) <= INLINE_LIMIT:
            output = _take_output(output_size) if output_size else b""
            self.answers.send(ANSWER.pack(*header, 0, *tail) + output + answer)
            return
        self._spool(serial, output_size, answer)
        self.answers.send(ANSWER.pack(*header, 1, *tail))

    def _spool(self, serial: int, output_size: int, answer: bytes) -> None:
        with open(f"{self.spool}/{serial}", "wb") as file:
            for offset in range(0, output_size, 1 << 20):
                file.write(os.pread(1, min(1 << 20, output_size - offset), offset))
            file.write(answer)
        os.ftruncate(1, 0)

    def serve_in_place(self) -> None:
        """Run calls in this process until the worker goes."""
        receive, run, answer = self.calls.recv, self.run, self.answer
        while True:
            packet = receive(PACKET_LIMIT)
            if not packet:
                return
            if packet[0] == KIND_CALL:
                answer(run(packet))


class ForkHooks:
    """What modules want done when the process forks; in a fork of Python, that is most of what costs.

    Those of `threading` and `logging` only repair locks that another thread may have held: with one thread they are
    spared. A child gives all of them to the system again, for forks of its own.
    """

    def __init__(self) -> None:
        self._register: Any = os.register_at_fork
        self._all: list[dict[str, Any]] = []
        self._others: list[dict[str, Any]] = []

    def collect(self) -> None:
        """Keep what modules register from now on."""
        os.register_at_fork = self._keep

    def _keep(self, **hooks: Any) -> None:
        self._all.append(hooks)
        if any(getattr(hook, "__module__", None) not in ("threading", "logging") for hook in hooks.values()):
            self._others.append(hooks)

    def fork(self) -> int:
        """Fork, as `os.fork` does; 0 in the child."""
        hooks = self._all if _thread._count() else self._others
        pid = _fork_with(hooks) if hooks else os.fork()
        if pid == 0:
            os.register_at_fork = register = self._register
            for each in self._all:
                register(**each)
        return pid


def _fork_with(hooks: list[dict[str, Any]]) -> int:
    for each in reversed(hooks):
        if each.get("before"):
            each["before"]()
    pid = -1
    try:
        pid = os.fork()
    finally:
        which = "after_in_child" if pid == 0 else "after_in_parent"
        for each in hooks:
            if each.get(which):
                each[which]()
    return pid


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


class Zygote:
    """Runs each call in a fork of this process.

    One child is forked ahead of the next call, and waits for it: the call need not wait for the fork. After a fork, every
    page of memory that either side touches costs a page fault, which is nearly all that a call costs: hence the plain code.
    """

    def __init__(self, host: Host, hooks: ForkHooks) -> None:
        self.host = host
        self.hooks = hooks
        self.running: dict[int, Fork] = {}  # by process id
        self.young: set[int] = set()  # those that are not watched yet
        self.watch = importlib.import_module(_MEASURE + ".watch").Watch(lambda pid: None)
        # What each child held when its call began: pages of files come to a fork only as it uses them.
        self.bases = memoryview(mmap.mmap(-1, _PLACES * 4)).cast("i")
        self.place = 0
        self.spare = 0
        self.spare_end: Any = None
        self.next_look = 0.0
        self.has_looked = True
        _adopt_orphans()
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
            self._drop_spare()
            for pid in list(self.running):
                _kill_group(pid)

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
            pid = self._give(packet)
            fork.end = self.spare_end
        except OSError as error:
            self.host.answer((serial, False, self.host.runner.encode_error(error), 0, 0, 0))
            self.host.answers.send(REAPED.pack(KIND_REAPED, serial, 0, 0, 0, 0, 0, 0, 0, 0, 0))
            return
        fork.place = self.place
        self.running[pid] = fork
        self.young.add(pid)
        try:
            self._fork_spare()
        except OSError:  # then the next call forks for itself
            return

    def _give(self, packet: bytes) -> int:
        """Give a call to the child that waits, or to a new one; return its process id."""
        if self.spare:
            try:
                return self._send(packet)
            except OSError:  # it was killed while it waited
                self.spare = 0
        self._fork_spare()
        return self._send(packet)

    def _send(self, packet: bytes) -> int:
        self.spare_end.send(packet)
        pid, self.spare = self.spare, 0
        return pid

    def _fork_spare(self) -> None:
        # The one of `socket` wraps its ends in Python.
        self.spare_end, theirs = _socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.place = (self.place + 1) % _PLACES
        self.bases[self.place] = 0
        try:
            pid = self.hooks.fork()
        except OSError:
            self.spare_end.close()
            theirs.close()
            raise
        if pid == 0:
            self._run_child(theirs)
        theirs.close()
        self.spare = pid
        try:
            os.setpgid(pid, pid)  # the child does the same; whoever is first
        except OSError:
            return

    def _run_child(self, end: Any) -> None:
        status = 1
        try:
            os.setpgid(0, 0)
            _die_with_parent()
            signal.set_wakeup_fd(-1)
            _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            self.spare_end.close()
            os.close(self.host.calls.fileno())
            os.close(self.woken)
            _redirect_output(self.host.spool)
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

    def _drop_spare(self) -> None:
        """End the child that waits; it is reaped like any other."""
        if self.spare:
            self.spare_end.close()
            _kill_group(self.spare)
            self.spare = 0

    def _kill(self, serial: int) -> None:
        for pid, fork in self.running.items():
            if fork.serial == serial:
                _kill_group(pid)
                for other in self.watch.list_others(serial):  # those that have left the group
                    with contextlib.suppress(OSError):
                        os.kill(other, signal.SIGKILL)

    def _reap(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                break
            owner = self.running.get(found.si_pid) or self._find_owner(found.si_pid)
            _kill_group(found.si_pid)  # what the call left behind; the id is still ours until we wait for it
            pid, status, used = os.wait4(found.si_pid, 0)
            if pid == self.spare:
                self.spare = 0
                self.spare_end.close()
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

    def _pass_answer(self, fork: Fork) -> None:
        """Hand on what the call answered before it ended, if it did."""
        try:
            answer = fork.end.recv(PACKET_LIMIT, socket.MSG_DONTWAIT)
        except OSError:  # something that it left behind has the socket, too
            answer = b""
        fork.end.close()
        if answer:
            self.host.answers.send(answer)

    def _report(self, fork: Fork, status: int) -> None:
        self._pass_answer(fork)
        cpu = sum(used.ru_utime + used.ru_stime for used in fork.used)
        peak = max(used.ru_maxrss for used in fork.used)
        base = self.bases[fork.place] or peak
        memory, cores, processes, excess = max(0, peak - base), 0.0, 1, 0
        if fork.is_watched:
            gauge = self.watch.end(fork.serial, peak, cpu)
            memory, cores, processes, excess = gauge.memory, gauge.cores, gauge.processes, gauge.excess
        blocks = (sum(used.ru_inblock for used in fork.used), sum(used.ru_oublock for used in fork.used))
        found = (int(cpu * 1e6), memory, int(cores * 1000), blocks[0] // 2, blocks[1] // 2, processes)
        self.host.answers.send(REAPED.pack(KIND_REAPED, fork.serial, status, *found, fork.limit, excess))
        if status == 0 and fork.digest not in self.host.known:
            self._learn(fork.digest)
            self._drop_spare()  # it has not learnt it

    def _kill_daemons(self) -> None:
        """Kill what calls have left behind elsewhere; not after every call, for looking takes its time."""
        self.has_looked = True
        self.next_look = time.monotonic() + LOOK_SECONDS
        oldest = min((fork.began for fork in self.running.values()), default=float("inf"))
        for pid in _list_children():
            if pid != self.spare and pid not in self.running and _find_birth(pid) < oldest:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    def _learn(self, digest: bytes) -> None:
        """Load a function here, once a child has shown that this is harmless: later forks find it, and its modules."""
        try:
            self.host.load(digest)
        except BaseException:  # noqa: BLE001 - then each child loads it, and tells why it cannot
            self.host.known.pop(digest, None)
        gc.freeze()  # what a function brought, too, children need not copy


@contextlib.contextmanager
def _settled(extra: dict[str, Any]) -> Any:
    """Be in the call's sandbox, with its variables, for as long as it runs."""
    variables = extra.get("variables") or {}
    before = {name: os.environ.get(name) for name in variables}
    sandbox = extra.get("sandbox")
    home = os.getcwd()
    _set_variables(variables)
    if extra.get("processors"):  # a fork's only
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, extra["processors"])
    if sandbox:
        os.chdir(sandbox)
        sys.path.insert(0, sandbox)
    try:
        yield
    finally:
        _set_variables(before)
        if sandbox:
            os.chdir(home)
            with contextlib.suppress(ValueError):
                sys.path.remove(sandbox)
            sys.path_importer_cache.pop(sandbox, None)


def _set_variables(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _find_limit(packet: bytes) -> int:
    start = CALL.size
    extra = json.loads(packet[start : start + CALL.unpack_from(packet)[3]])
    limit: int = extra.get("limit") or 0
    return limit


def _find_arguments(extra: dict[str, Any], packet: bytes, start: int) -> Any:
    place = extra.get("arguments")
    if place is None:
        return memoryview(packet)[start:]
    with open(place, "rb") as file:
        return file.read()


def _redirect_output(folder: str) -> None:
    """Send file descriptors 1 and 2 to a fresh file without a name."""
    flags = os.O_RDWR | os.O_APPEND
    try:
        output = os.open(folder, flags | os.O_TMPFILE, 0o600)
    except OSError:  # not every file system can
        place = f"{folder}/output.{os.getpid()}"
        output = os.open(place, flags | os.O_CREAT | os.O_EXCL, 0o600)
        os.unlink(place)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def _flush_output() -> int:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001 - a call may have closed or replaced it
            _restore_streams()
    return os.lseek(1, 0, os.SEEK_END)


def _restore_streams() -> None:
    sys.stdout = open(1, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115 - stays open
    sys.stderr = open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115 - stays open


def _take_output(size: int) -> bytes:
    output = os.pread(1, size, 0)
    os.ftruncate(1, 0)
    return output


def _do_nothing() -> None:
    pass


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, 9)
    except OSError:
        return


def _list_children() -> list[int]:
    """List our child processes, as far as the system tells."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def _find_birth(pid: int) -> float:
    """Tell when a process began, in seconds since the machine did; later than ever if that is not known."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return float("inf")
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


_libc: Any = None


def _adopt_orphans() -> None:
    if _libc is not None:
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, 9)


def _load_libc() -> Any:
    """Load the C library, with C's own standard output unbuffered, or `None` where that cannot be done."""
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        for name in ("stdout", "stderr"):
            libc.setvbuf(ctypes.c_void_p.in_dll(libc, name), None, 2, 0)  # 2 is _IONBF
        return libc
    except Exception:  # noqa: BLE001 - only tidiness is lost
        return None


def _open_socket(number: int) -> socket.socket:
    moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 100)  # away from the numbers that programs use
    os.close(number)
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, moved)


def main(arguments: list[str]) -> None:
    """Serve until the worker goes."""
    global _libc  # noqa: PLW0603 - loaded once, before any fork
    mode, spool, functions, imports, measure = arguments
    _add_measure(measure)
    calls, answers = _open_socket(3), _open_socket(4)
    _libc = _load_libc()
    _die_with_parent()
    _redirect_output(spool)
    _restore_streams()
    hooks = ForkHooks()
    if mode == "fork":
        hooks.collect()
    host = Host(calls, answers, spool, functions)
    host.runner.make_clean_main()
    sys.argv = [""]
    with contextlib.suppress(ImportError):
        import cloudpickle  # noqa: F401 - nearly every function needs it; the first call should not pay
    error = host.import_ahead(json.loads(imports))
    if _flush_output():
        os.ftruncate(1, 0)
    answers.send(struct.pack("<B", KIND_READY) + json.dumps({"error": error}).encode())
    if mode == "fork":
        gc.freeze()
        Zygote(host, hooks).serve()
    else:
        host.serve_in_place()


if __name__ == "__main__":
    main(sys.argv[1:])

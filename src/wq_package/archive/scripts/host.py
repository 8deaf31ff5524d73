"""The warm interpreter: runs calls that a worker sends (script; standard library only, Python 3.8 or newer).

Knows two sockets, one folder for large bodies and one with pickled functions; knows nothing of queues or managers. Runs
as `python3 -I host.py MODE SPOOL FUNCTIONS IMPORTS` in the environment's own Python, with the socket of calls at file
descriptor 3 and the socket of answers at 4. Both are SOCK_SEQPACKET: one packet is one message, so a worker can take
a packet back that no host has read yet, and forked children can answer on the same socket without a lock.

    call     <B kind> <Q serial> <32s function digest> <I extra size> + extra (JSON, may be absent) + arguments
    answer   <B kind> <Q serial> <B returned> <B in file> <Q µs> <Q CPU µs> <Q KiB> <Q output size> <Q answer size>
             + what was printed + pickled answer; in a file of the spool folder named by the serial if they are large
    ready    <B kind> + JSON {"error": "…"}; error is empty if every import succeeded
    reaped   <B kind> <Q serial> <i wait status> <Q CPU µs> <Q KiB>      (fork mode: the call's process is gone)

In place, the call runs in this process; in fork mode, in a child with a process group of its own that is killed when
the child ends. A daemon that left the group is handed to us by the system, and killed when no call runs that was there
before it. The worker is gone when the socket of calls is closed: so are we.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
import types
from typing import Any

CALL = struct.Struct("<BQ32sI")
ANSWER = struct.Struct("<BQBBQQQQQ")
REAPED = struct.Struct("<BQiQQ")
KIND_CALL, KIND_KILL = 1, 2
KIND_ANSWER, KIND_READY, KIND_REAPED = 1, 2, 3
PACKET_LIMIT = 128 * 1024
INLINE_LIMIT = 64 * 1024
KNOWN_LIMIT = 512
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def _load_runner() -> types.ModuleType:
    """Load `run_call.py` from beside this file; `-I` keeps the folder off the path."""
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run_call.py")
    spec = importlib.util.spec_from_file_location("_wq_package_run_call", place)
    if spec is None or spec.loader is None:
        raise ImportError(place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Host:
    """One warm interpreter and what it keeps between calls."""

    def __init__(self, calls: socket.socket, answers: socket.socket, spool: str, functions: str) -> None:
        self.calls = calls
        self.answers = answers
        self.spool = spool
        self.functions = functions
        self.runner = _load_runner()
        self.known: dict[bytes, Any] = {}

    def import_ahead(self, names: list[str]) -> str:
        """Import modules; return what went wrong, or an empty text."""
        for name in names:
            try:
                importlib.import_module(name)
            except BaseException as error:  # noqa: BLE001 - a module may raise anything, SystemExit too
                return f"`import {name}` failed: {type(error).__name__}: {error}"
        return ""

    def run(self, packet: bytes) -> tuple[int, bool, bytes, int, int]:
        """Run the call in a packet; return its serial, whether it returned, its answer, µs and CPU µs."""
        _, serial, digest, extra_size = CALL.unpack_from(packet)
        start = CALL.size + extra_size
        extra = json.loads(packet[CALL.size : start]) if extra_size else None
        began, began_cpu = time.perf_counter_ns(), time.process_time_ns()
        if extra is None:
            is_returned, answer = self._call(digest, memoryview(packet)[start:])
        else:
            with _settled(extra):
                is_returned, answer = self._call(digest, _find_arguments(extra, packet, start))
        spent, cpu = time.perf_counter_ns() - began, time.process_time_ns() - began_cpu
        return serial, is_returned, answer, spent // 1000, cpu // 1000

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

    def answer(self, outcome: tuple[int, bool, bytes, int, int], memory: int) -> None:
        """Send an answer with what the call printed since the last one."""
        serial, is_returned, answer, spent, cpu = outcome
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
                answer(run(packet), 0)


class Zygote:
    """Runs each call in a fork of this process."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.running: dict[
            int, tuple[int, bytes, float]
        ] = {}  # by process id: serial, function digest, start
        _adopt_orphans()
        self.woken, wake = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Fork for each call until the worker goes; then end what still runs."""
        poller = select.poll()
        poller.register(self.host.calls.fileno(), select.POLLIN)
        poller.register(self.woken, select.POLLIN)
        try:
            while self._turn(dict(poller.poll())):
                pass
        finally:
            for pid in list(self.running):
                _kill_group(pid)

    def _turn(self, ready: dict[int, int]) -> bool:
        if self.woken in ready:
            os.read(self.woken, 4096)
            self._reap()
        if self.host.calls.fileno() not in ready:
            return True
        packet = self.host.calls.recv(PACKET_LIMIT)
        if packet and packet[0] == KIND_CALL:
            self._fork(packet)
        elif packet:
            self._kill(CALL.unpack_from(packet)[1])
        return bool(packet)

    def _fork(self, packet: bytes) -> None:
        _, serial, digest, _ = CALL.unpack_from(packet)
        began = time.clock_gettime(time.CLOCK_BOOTTIME)
        try:
            pid = os.fork()
        except OSError as error:
            self.host.answer((serial, False, self.host.runner.encode_error(error), 0, 0), 0)
            self.host.answers.send(REAPED.pack(KIND_REAPED, serial, 0, 0, 0))
            return
        if pid == 0:
            self._run_child(packet)
        with contextlib.suppress(OSError):  # the child does the same; whoever is first
            os.setpgid(pid, pid)
        self.running[pid] = (serial, digest, began)

    def _run_child(self, packet: bytes) -> None:
        status = 1
        try:
            with contextlib.suppress(OSError):
                os.setpgid(0, 0)
            _die_with_parent()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.host.calls.close()
            os.close(self.woken)
            _redirect_output(f"{self.host.spool}/output.{os.getpid()}")
            self.host.answer(self.host.run(packet), _measure_memory())
            status = 0
        finally:
            os._exit(status)

    def _kill(self, serial: int) -> None:
        for pid, (running, _, _) in self.running.items():
            if running == serial:
                _kill_group(pid)

    def _reap(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                self._kill_daemons()
                return
            _kill_group(found.si_pid)  # what the call left behind; the id is still ours until we wait for it
            pid, status, used = os.wait4(found.si_pid, 0)
            serial, digest, _ = self.running.pop(pid, (0, b"", 0.0))
            if not serial:
                continue
            cpu = int((used.ru_utime + used.ru_stime) * 1e6)
            self.host.answers.send(REAPED.pack(KIND_REAPED, serial, status, cpu, used.ru_maxrss))
            if status == 0 and digest not in self.host.known:
                self._learn(digest)

    def _kill_daemons(self) -> None:
        oldest = min((began for _, _, began in self.running.values()), default=float("inf"))
        for pid in _list_children():
            if pid not in self.running and _find_birth(pid) < oldest:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    def _learn(self, digest: bytes) -> None:
        """Load a function here, once a child has shown that this is harmless: later forks find it, and its modules."""
        try:
            self.host.load(digest)
        except BaseException:  # noqa: BLE001 - then each child loads it, and tells why it cannot
            self.host.known.pop(digest, None)


@contextlib.contextmanager
def _settled(extra: dict[str, Any]) -> Any:
    """Be in the call's sandbox, with its variables, for as long as it runs."""
    variables = extra.get("variables") or {}
    before = {name: os.environ.get(name) for name in variables}
    sandbox = extra.get("sandbox")
    home = os.getcwd()
    _set_variables(variables)
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


def _find_arguments(extra: dict[str, Any], packet: bytes, start: int) -> Any:
    place = extra.get("arguments")
    if place is None:
        return memoryview(packet)[start:]
    with open(place, "rb") as file:
        return file.read()


def _redirect_output(place: str) -> None:
    """Send file descriptors 1 and 2 to a fresh file without a name."""
    output = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
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
    return os.fstat(1).st_size


def _restore_streams() -> None:
    sys.stdout = open(1, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115 - stays open
    sys.stderr = open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115 - stays open


def _take_output(size: int) -> bytes:
    output = os.pread(1, size, 0)
    os.ftruncate(1, 0)
    return output


def _measure_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _kill_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


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
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


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
    mode, spool, functions, imports = arguments
    calls, answers = _open_socket(3), _open_socket(4)
    _libc = _load_libc()
    _die_with_parent()
    _redirect_output(spool + "/output")
    _restore_streams()
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
        Zygote(host).serve()
    else:
        host.serve_in_place()


if __name__ == "__main__":
    main(sys.argv[1:])

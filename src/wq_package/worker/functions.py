"""Warm interpreters: host processes that run calls, in an environment's own Python (shell module).

Knows hosts and the packets of `wq_package/archive/scripts/host.py`, which says what they hold; knows nothing of
managers. Which call may run is decided elsewhere (`wq_package.worker.state`); here it is only decided where.

In place, a host runs one call at a time, and one more may wait in its socket. That socket is ours at both ends, so
what no host has read can be taken back: when another host is free, or when this one dies. Hence exactly the call that
was running is lost with its host. In fork mode one host, the zygote, forks for every call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from wq_package import archive
from wq_package.archive.scripts.host import (
    ANSWER,
    CALL,
    INLINE_LIMIT,
    KIND_ANSWER,
    KIND_CALL,
    KIND_KILL,
    KIND_READY,
    PACKET_LIMIT,
    REAPED,
)
from wq_package.task import ResultCode
from wq_package.worker.cache import remove_tree
from wq_package.worker.events import CallEnded
from wq_package.worker.process import Program, ProgramEnd, Spawner
from wq_package.worker.usage import Usage

__all__ = ["INLINE_LIMIT", "HostCall", "Interpreter", "InterpreterPool", "make_packet"]

_log = logging.getLogger(__name__)
_HOST_SCRIPT = Path(archive.__file__).parent / "scripts" / "host.py"
_MEASURE_SCRIPTS = Path(__file__).with_name("measure")
_STUCK_SECONDS = 0.02
_BATCH = 64
_NO_DIGEST = bytes(32)
_MOST_KILLED = 5
"""So many kills in a row before a host is ready are no accident: it needs more memory than there is, for example."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """How the Python of an environment is started.

    Attributes:
        environ: all of its environment variables.
        imports: modules to import before the first call.
    """

    python: str
    environ: Mapping[str, str]
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostKey:
    """Calls with the same key can run in the same host."""

    environment: str
    is_forked: bool
    cores: float


@dataclass(frozen=True, slots=True)
class HostCall:
    """A call as a host gets it."""

    serial: int
    key: HostKey
    packet: bytes = field(repr=False)


def make_packet(serial: int, function: str, arguments: bytes, extra: Mapping[str, object] | None) -> bytes:
    """Make the packet of a call.

    `extra` has what it needs of `arguments` (a path), `sandbox`, `variables`, and, for one that is forked, `processors`
    and `limit` (KiB).
    """
    more = json.dumps(extra).encode() if extra else b""
    return CALL.pack(KIND_CALL, serial, bytes.fromhex(function), len(more)) + more + arguments


class _Host:
    """One host process and what it was given."""

    def __init__(self, key: HostKey, folder: str) -> None:
        self.key = key
        self.folder = folder
        self.in_flight: dict[int, bytes] = {}  # packets by serial, oldest first
        self.answered: dict[int, CallEnded] = {}  # fork mode: answers of children that are not reaped yet
        self.backlog: deque[bytes] = deque()
        self.is_ready = False
        self.is_closing = False
        self.is_gone = False
        self.was_killed = False  # by somebody else, before it was ready
        self.number = 0
        self.since = 0.0
        self.ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.calls, self.queue = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.answers, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def start(
        self, spawner: Spawner, interpreter: Interpreter, functions: str, on_end: Callable[[ProgramEnd], None]
    ) -> None:
        """Start the process."""
        mode = "fork" if self.key.is_forked else "in-place"
        os.makedirs(self.folder)
        argv = (interpreter.python, "-I", str(_HOST_SCRIPT), mode, self.folder, functions)
        program = Program(
            argv=(*argv, json.dumps(interpreter.imports), str(_MEASURE_SCRIPTS)),
            cwd=self.folder,
            variables=_make_limits(self.key.cores),
            environ={**interpreter.environ, "TMPDIR": self.folder},
            output=f"{self.folder}/start",
            sockets=(self.queue.fileno(), self._theirs.fileno()),
        )
        self.number = spawner.start(program, on_end)
        self._theirs.close()

    def send(self, serial: int, packet: bytes) -> None:
        """Give the host a call."""
        if not self.in_flight:
            self.since = time.monotonic()
        self.in_flight[serial] = packet
        self.write(packet)

    def write(self, packet: bytes) -> None:
        """Write a packet, or keep it until the socket has room."""
        if not self.backlog:
            try:
                self.calls.send(packet, socket.MSG_DONTWAIT)
                return
            except BlockingIOError:
                asyncio.get_running_loop().add_writer(self.calls, self._flush)
        self.backlog.append(packet)

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.backlog:
                self.calls.send(self.backlog[0], socket.MSG_DONTWAIT)
                self.backlog.popleft()
            asyncio.get_running_loop().remove_writer(self.calls)

    def take_back(self) -> tuple[int, bytes] | None:
        """Take back the oldest call that the host has not read, if there is one."""
        while True:
            try:
                packet = self.queue.recv(PACKET_LIMIT, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return self._take_from_backlog()
            if packet[0] != KIND_CALL:
                continue
            serial = CALL.unpack_from(packet)[1]
            del self.in_flight[serial]
            return serial, packet

    def _take_from_backlog(self) -> tuple[int, bytes] | None:
        while self.backlog:
            packet = self.backlog.popleft()
            if packet[0] == KIND_CALL:
                serial = CALL.unpack_from(packet)[1]
                del self.in_flight[serial]
                return serial, packet
        return None

    def close(self) -> None:
        """Close the sockets: the sign for the host to leave."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.answers)
        loop.remove_writer(self.calls)
        for end in (self.calls, self.queue, self.answers, self._theirs):
            end.close()


class InterpreterPool:
    """The hosts of one worker.

    Args:
        folder: for what hosts print and for large answers; each has a folder of its own inside.
        functions: folder with the pickled functions by digest.
        on_end: called with each call that is over.
    """

    def __init__(
        self, spawner: Spawner, folder: Path, functions: Path, on_end: Callable[[CallEnded], None]
    ) -> None:
        self._spawner = spawner
        self._folder = folder
        self._functions = str(functions)
        self._on_end = on_end
        self._interpreters: dict[str, Interpreter] = {}
        self._hosts: dict[HostKey, list[_Host]] = {}
        self._places: dict[int, _Host] = {}
        self._killed: dict[HostKey, int] = {}  # how many in a row were killed before they were ready
        self._last = 0
        self._likely_cores = 1.0
        self._is_closed = False

    def register(self, environment: str, interpreter: Interpreter) -> None:
        """Say how the Python of an environment is started."""
        self._interpreters[environment] = interpreter

    async def warm(self, environment: str) -> str:
        """Start a host of an environment and import what its calls will need.

        Returns:
            What went wrong, or an empty text.
        """
        key = HostKey(environment, is_forked=False, cores=self._likely_cores)
        while True:
            host = self._start_host(key)
            error = await host.ready
            if not error:
                return ""
            self._retire(host)
            if not self._may_start_again(host):
                return error

    def _may_start_again(self, host: _Host) -> bool:
        """Whether a host that never was ready was killed by somebody else, which is not the environment's fault."""
        return host.was_killed and self._killed.get(host.key, 0) < _MOST_KILLED

    def start(self, call: HostCall) -> None:
        """Run a call: in a free host, a new one, or behind the call that is likely to end first."""
        self._likely_cores = call.key.cores
        self._give(call.serial, call.packet, self._choose(call.key))

    def start_behind(self, call: HostCall) -> None:
        """Let a call wait behind one that runs."""
        hosts = self._hosts.get(call.key)
        if not hosts:
            self.start(call)
            return
        host = min(hosts, key=_count_in_flight)
        if not host.in_flight:
            self._relieve(host, _STUCK_SECONDS)
        self._give(call.serial, call.packet, host)

    def kill(self, serial: int) -> None:
        """End a call; its end is reported as usual."""
        host = self._places.get(serial)
        if host is None:
            return
        if host.key.is_forked:
            host.write(CALL.pack(KIND_KILL, serial, _NO_DIGEST, 0))
        elif self._withdraw(host, serial):
            self._end(CallEnded(serial, ResultCode.CANCELLED))
        else:
            self._spawner.kill(host.number)

    def take_back(self, serial: int) -> bool:
        """Take back a call that its host has not begun; tell whether it was so."""
        host = self._places.get(serial)
        if host is None or host.key.is_forked or not self._withdraw(host, serial):
            return False
        del self._places[serial]
        return True

    def close_idle(self, older_than: float) -> None:
        """End hosts that have had nothing to do for some seconds."""
        limit = time.monotonic() - older_than
        for hosts in list(self._hosts.values()):
            for host in [
                host for host in hosts if not host.in_flight and host.is_ready and host.since < limit
            ]:
                self._retire(host)

    def forget(self, environment: str) -> None:
        """End every host of an environment and forget it."""
        self._interpreters.pop(environment, None)
        for key in [key for key in self._hosts if key.environment == environment]:
            for host in list(self._hosts[key]):
                self._retire(host)

    @property
    def host_count(self) -> int:
        """How many hosts there are."""
        return sum(map(len, self._hosts.values()))

    def close(self) -> None:
        """End every host."""
        self._is_closed = True
        for hosts in list(self._hosts.values()):
            for host in list(hosts):
                self._retire(host)

    # -- choosing ------------------------------------------------------------------------------------------------------

    def _choose(self, key: HostKey) -> _Host:
        hosts = self._hosts.get(key, [])
        if key.is_forked:
            return hosts[0] if hosts else self._start_host(key)
        for host in hosts:
            if not host.in_flight:
                return host
        return self._start_host(key)

    def _start_host(self, key: HostKey) -> _Host:
        self._last += 1
        host = _Host(key, str(self._folder / str(self._last)))
        self._hosts.setdefault(key, []).append(host)
        asyncio.get_running_loop().add_reader(host.answers, self._read, host)
        host.start(
            self._spawner,
            self._interpreters[key.environment],
            self._functions,
            lambda end: self._lose(host, end),
        )
        _log.debug("started host %d for %s", host.number, key)
        return host

    def _give(self, serial: int, packet: bytes, host: _Host) -> None:
        self._places[serial] = host
        host.send(serial, packet)

    def _relieve(self, idle: _Host, stuck: float) -> None:
        """Give a free host a call that waits behind one that has run for longer than `stuck` seconds."""
        limit = time.monotonic() - stuck
        for other in self._hosts.get(idle.key, ()):
            if len(other.in_flight) > 1 and other.since <= limit:
                taken = other.take_back()
                if taken is not None:
                    self._give(*taken, idle)
                    return

    def _withdraw(self, host: _Host, serial: int) -> bool:
        """Take one call back from a host, and give it again those that come out with it."""
        others: list[tuple[int, bytes]] = []
        is_found = False
        while (taken := host.take_back()) is not None:
            is_found = is_found or taken[0] == serial
            if taken[0] != serial:
                others.append(taken)
        for other in others:
            self._give(*other, host)
        return is_found

    # -- hearing -------------------------------------------------------------------------------------------------------

    def _read(self, host: _Host) -> None:
        for _ in range(_BATCH):
            try:
                packet = host.answers.recv(PACKET_LIMIT, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                asyncio.get_running_loop().remove_reader(host.answers)
                return
            self._take(host, packet)
            if host.is_gone or not (host.in_flight or host.key.is_forked):
                return  # nothing more can come: spare a system call

    def _take(self, host: _Host, packet: bytes) -> None:
        kind = packet[0]
        if kind == KIND_ANSWER:
            event = _parse_answer(packet, host.folder)
            if host.key.is_forked:
                host.answered[event.serial] = event
            else:
                self._finish(host, event)
        elif kind == KIND_READY:
            host.is_ready = True
            host.since = time.monotonic()
            self._killed.pop(host.key, None)
            if not host.ready.done():
                host.ready.set_result(json.loads(packet[1:])["error"])
        else:
            self._finish(host, _parse_reaped(packet, host.answered))

    def _finish(self, host: _Host, event: CallEnded) -> None:
        if host.in_flight.pop(event.serial, None) is None:
            return
        host.since = time.monotonic()
        self._end(event)
        if not host.in_flight and not host.is_gone:
            self._relieve(host, 0.0)

    def _end(self, event: CallEnded) -> None:
        self._places.pop(event.serial, None)
        self._on_end(event)

    # -- losing --------------------------------------------------------------------------------------------------------

    def _retire(self, host: _Host) -> None:
        """Let a host go; what it still runs is lost and reported when it has ended."""
        self._remove(host)
        if host.in_flight or not host.is_ready:
            self._spawner.kill(host.number)
        else:
            host.close()

    def _remove(self, host: _Host) -> None:
        host.is_closing = True
        hosts = self._hosts.get(host.key, [])
        if host in hosts:
            hosts.remove(host)
        if not hosts:
            self._hosts.pop(host.key, None)

    def _lose(self, host: _Host, end: ProgramEnd) -> None:
        """A host has ended: report the calls that it had begun, and run the others elsewhere."""
        is_expected = host.is_closing and not host.in_flight
        if end.signal == signal.SIGKILL and not (host.is_closing or host.is_ready):
            host.was_killed = True
            self._killed[host.key] = self._killed.get(host.key, 0) + 1
        self._remove(host)
        host.is_gone = True
        if host.calls.fileno() != -1:
            self._bury(host, end)
        if not host.ready.done():
            host.ready.set_result(_explain_start(host, end))
        remove_tree(host.folder)
        if not is_expected:
            _log.info("an interpreter ended: %s", _describe(end))

    def _bury(self, host: _Host, end: ProgramEnd) -> None:
        while _is_readable(host.answers):  # what it said before it died
            self._read(host)
        unread: list[tuple[int, bytes]] = []
        may_run_elsewhere = host.is_ready or self._may_start_again(host)
        while may_run_elsewhere and (taken := host.take_back()) is not None:
            unread.append(taken)
        host.close()
        begun, host.in_flight = list(host.in_flight), {}
        code = ResultCode.INTERPRETER_LOST if host.is_ready else ResultCode.ENVIRONMENT_FAILED
        message = f"the call's interpreter {_describe(end)}" if host.is_ready else _explain_start(host, end)
        for serial in begun:
            answer = host.answered.pop(serial, None)  # a fork that answered before the zygote died
            self._end(
                answer or CallEnded(serial, code, exit_code=end.exit_code, signal=end.signal, message=message)
            )
        can_run = not self._is_closed and host.key.environment in self._interpreters
        for serial, packet in unread:
            if can_run:
                self._give(serial, packet, self._choose(host.key))
            else:
                self._end(CallEnded(serial, ResultCode.CANCELLED))


def _count_in_flight(host: _Host) -> int:
    return len(host.in_flight)


def _is_readable(end: socket.socket) -> bool:
    try:
        return bool(end.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK))
    except OSError:
        return False


def _parse_answer(packet: bytes, folder: str) -> CallEnded:
    _, serial, is_returned, is_in_file, usec, cpu, memory, output_size, size = ANSWER.unpack_from(packet)
    return CallEnded(
        serial,
        ResultCode.SUCCESS,
        0 if is_returned else 1,
        0,
        usec,
        Usage(cpu, memory / 1024),
        output_size,
        output_size + size,
        b"" if is_in_file else packet[ANSWER.size :],
        f"{folder}/{serial}" if is_in_file else "",
    )


def _parse_reaped(packet: bytes, answered: dict[int, CallEnded]) -> CallEnded:
    """Put together what a forked call answered and what its processes used."""
    _, serial, status, cpu, memory, cores, *rest = REAPED.unpack(packet)
    read, written, processes, limit, excess = rest
    event = answered.pop(serial, None)
    held = max(memory / 1024, event.usage.memory_mb if event is not None else 0.0)
    usage = Usage(cpu, held, -1.0, cores / 1000, read / 1024, written / 1024, processes)
    used = max(held, excess / 1024)
    if 0 < limit / 1024 < used:
        usage = replace(usage, limit="memory", allowed=limit / 1024, used=used)
    if event is not None:
        return replace(event, usage=usage)
    sign = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    exit_code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0
    code = ResultCode.RESOURCE_EXHAUSTION if excess else ResultCode.INTERPRETER_LOST
    message = f"the call's process {_describe(ProgramEnd(exit_code, sign))}"
    return CallEnded(serial, code, exit_code, sign, usage=usage, message=message)


def _describe(end: ProgramEnd) -> str:
    if end.errno:
        return f"could not be started: {os.strerror(end.errno)}"
    if end.signal:
        try:
            return f"was killed by {signal.Signals(end.signal).name}"
        except ValueError:
            return f"was killed by signal {end.signal}"
    return f"ended itself with exit code {end.exit_code}"


def _explain_start(host: _Host, end: ProgramEnd) -> str:
    """Say why a host never became ready, with the last line that it printed."""
    try:
        lines = Path(host.folder, "start").read_text(errors="replace").split("\n")
    except OSError:
        lines = []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"the environment's Python {_describe(end)}" + (f": {last}" if last else "")


def _make_limits(cores: float) -> dict[str, str]:
    count = str(max(1, int(cores)))
    return {"CORES": count, "OMP_NUM_THREADS": count}


def find_own_python() -> Interpreter:
    """Describe the Python that runs this worker."""
    return Interpreter(
        sys.executable, {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    )

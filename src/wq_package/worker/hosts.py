"""One warm interpreter: a host process that runs calls, in an environment's own Python (shell module).

Knows the packets of `wq_package/archive/scripts/warm/packets.py`; which host runs which call is decided by
`wq_package.worker.functions`.

In place, a host runs one call at a time, and one more may wait in its socket. That socket is ours at both ends, so
what no host has read can be taken back: when another host is free, or when this one dies. Hence exactly the call that
was running is lost with its host. In fork mode one host, the zygote, forks for every call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wq_package import archive
from wq_package.archive.scripts.warm.packets import CALL, KIND_CALL, PACKET_LIMIT
from wq_package.worker.host_answers import describe_end
from wq_package.worker.process import Program, ProgramEnd, Spawner

__all__ = ["Host", "HostCall", "HostKey", "Interpreter", "find_own_python", "make_packet"]

_HOST_SCRIPT = Path(archive.__file__).parent / "scripts" / "host.py"
_MEASURE_SCRIPTS = Path(__file__).with_name("measure")


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


class Host:
    """One host process and what it was given."""

    def __init__(self, key: HostKey, folder: str) -> None:
        self.key = key
        self.folder = folder
        self.in_flight: dict[int, bytes] = {}  # packets by serial, oldest first
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

    def has_answers(self) -> bool:
        """Whether the host has said something that was not read."""
        try:
            return bool(self.answers.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK))
        except OSError:
            return False

    def explain_start(self, end: ProgramEnd) -> str:
        """Say why the host never became ready, with the last line that it printed."""
        try:
            lines = Path(self.folder, "start").read_text(errors="replace").split("\n")
        except OSError:
            lines = []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"the environment's Python {describe_end(end)}" + (f": {last}" if last else "")

    def close(self) -> None:
        """Close the sockets: the sign for the host to leave."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.answers)
        loop.remove_writer(self.calls)
        for end in (self.calls, self.queue, self.answers, self._theirs):
            end.close()


def _make_limits(cores: float) -> dict[str, str]:
    count = str(max(1, int(cores)))
    return {"CORES": count, "OMP_NUM_THREADS": count}


def find_own_python() -> Interpreter:
    """Describe the Python that runs this worker."""
    return Interpreter(
        sys.executable, {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    )

"""Processes: started and watched through a small helper process (shell module).

Knows how to start a program with a folder, variables, a file for its output and sockets, how to kill its group and what
it used. Knows nothing of tasks or calls. The helper, `spawner/`, forks faster than a worker full of modules could, and
when the worker dies, however it dies, the helper kills every process group that it started.
"""

from __future__ import annotations

import array
import asyncio
import errno
import logging
import marshal
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wq_package.worker.spawner import ENDED, PACKET_LIMIT

__all__ = ["Program", "ProgramEnd", "Spawner"]

_log = logging.getLogger(__name__)
_MARK = "WQ_PACKAGE_PROGRAM"
"""A variable that is different for every program; what a program leaves behind is known by it."""
_INLINE_LIMIT = PACKET_LIMIT * 3 // 4
_MOST_ROUNDS = 100
_NOT_NOW = (errno.EAGAIN, errno.ENOBUFS, errno.ETOOMANYREFS)


@dataclass(frozen=True, slots=True)
class Program:
    """A program to start.

    Attributes:
        variables: changes to the worker's own environment; `None` takes a variable away.
        environ: used instead of the worker's own environment, if given.
        output: file for standard output and error, merged; discarded by default.
        sockets: passed on as file descriptors 3, 4, …
        processors: the only ones that it may run on; any, if `None`.
        is_watched: whether it is measured while it runs.
        memory_limit_mb: what it may hold, if it is watched; it is killed when it holds more.
    """

    argv: tuple[str, ...]
    cwd: str
    variables: Mapping[str, str | None] = field(default_factory=dict)
    environ: Mapping[str, str] | None = None
    output: str | None = None
    sockets: tuple[int, ...] = ()
    processors: tuple[int, ...] | None = None
    is_watched: bool = False
    memory_limit_mb: float | None = None


@dataclass(frozen=True, slots=True)
class ProgramEnd:
    """How a program ended.

    Attributes:
        errno: why it could not be started, or 0.
        excess_mb: what it held when it was killed for holding too much, or 0.
        cores, processes: the most at one time; 0 if it was not watched.
    """

    exit_code: int = 0
    signal: int = 0
    errno: int = 0
    cpu_usec: int = 0
    memory_mb: float = 0.0
    cores: float = 0.0
    read_mb: float = 0.0
    written_mb: float = 0.0
    processes: int = 0
    excess_mb: float = 0.0


class Spawner:
    """Starts programs; calls back when one has ended.

    Args:
        folder: for messages that are too large for a packet.
        by_user: protect folders by a user namespace, as whoever is not root must.
        uses_cgroups: keep programs to their limits by cgroups, too, where there can be any.
    """

    def __init__(self, folder: Path, *, by_user: bool = False, uses_cgroups: bool = True) -> None:
        self._folder = folder
        self._words = ["user"] * by_user + ["no-cgroups"] * (not uses_cgroups)
        self._protected: tuple[str, ...] = ()
        self._last = 0
        self._callbacks: dict[int, Callable[[ProgramEnd], None]] = {}
        self._backlog: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._socket, self._process = _start_helper(self._words)
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    @property
    def pid(self) -> int:
        """The helper's process id."""
        return self._process.pid

    def start(self, program: Program, on_end: Callable[[ProgramEnd], None]) -> int:
        """Start a program; return the number to kill it by. `on_end` is called once, later."""
        self._last += 1
        self._callbacks[self._last] = on_end
        variables = program.variables
        mark = f"{os.getpid()}-{self._last}"
        message = {
            "start": self._last,
            "argv": program.argv,
            "cwd": program.cwd,
            "set": {
                **{name: value for name, value in variables.items() if value is not None},
                _MARK: mark,
            },
            "unset": [name for name, value in variables.items() if value is None],
            "environ": None if program.environ is None else dict(program.environ),
            "output": program.output,
            "mark": f"{_MARK}={mark}",
            "cpus": program.processors,
            "watch": program.is_watched,
            "limit": int((program.memory_limit_mb or 0) * 1024),
        }
        try:
            self._send(marshal.dumps(message), program.sockets)
        except OSError as error:
            end = ProgramEnd(errno=error.errno or errno.EIO)
            asyncio.get_running_loop().call_soon(self._callbacks.pop(self._last), end)
        return self._last

    def protect(self, folders: tuple[str, ...], on_end: Callable[[ProgramEnd], None]) -> None:
        """Make folders read-only for whatever is started from now on; `on_end` gets an `errno` if that cannot be."""
        self._protected = folders  # those before are gone
        self._ask_to_protect(folders, on_end)

    def _ask_to_protect(self, folders: tuple[str, ...], on_end: Callable[[ProgramEnd], None]) -> None:
        self._last += 1
        self._callbacks[self._last] = on_end
        self._send(marshal.dumps({"protect": self._last, "folders": folders}), ())

    def kill(self, number: int, sign: int = signal.SIGKILL) -> None:
        """Send a signal to a program's process group; a program that has ended is left alone."""
        if number in self._callbacks:
            self._send(marshal.dumps({"kill": number, "signal": int(sign)}), ())

    def close(self) -> None:
        """End every program and the helper."""
        self._hang_up()  # the helper's sign to kill everything and leave
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, packet: bytes, sockets: tuple[int, ...]) -> None:
        """Send a packet, now or when the helper has taken those before it.

        Nobody waits here: the helper waits in turn until we have read what it tells.

        Raises:
            OSError: the packet is large and the disk is full, or the system refuses.
        """
        if len(packet) > _INLINE_LIMIT:
            place = self._folder / f"message.{self._last}"
            place.write_bytes(packet)
            packet = marshal.dumps({"file": str(place)})
        if self._backlog or not self._write(packet, sockets):
            if not self._backlog:
                asyncio.get_running_loop().add_writer(self._socket, self._flush)
            self._backlog.append((packet, tuple(map(os.dup, sockets))))

    def _write(self, packet: bytes, sockets: tuple[int, ...]) -> bool:
        """Give a packet to the system; tell whether it has taken it."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", sockets))] if sockets else []
        try:
            self._socket.sendmsg([packet], ancillary, socket.MSG_DONTWAIT)
        except (
            ConnectionError
        ):  # the helper is gone: that is read next, and the end of all that it was told is reported
            return True
        except OSError as error:
            if error.errno not in _NOT_NOW:
                raise
            return False
        return True

    def _flush(self) -> None:
        while self._backlog:
            packet, sockets = self._backlog[0]
            if not self._write(packet, sockets):
                return
            self._backlog.popleft()
            _close_all(sockets)
        asyncio.get_running_loop().remove_writer(self._socket)

    def _hang_up(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        loop.remove_writer(self._socket)
        self._socket.close()
        while self._backlog:
            _close_all(self._backlog.popleft()[1])

    def _read(self) -> None:
        for _ in range(64):
            try:
                packet = self._socket.recv(ENDED.size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._lose_helper()
                return
            self._report(packet)

    def _report(self, packet: bytes) -> None:
        number, status, error, cpu, memory, cores, read, written, processes, excess = ENDED.unpack(packet)
        sign = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        exit_code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0
        sizes = (memory / 1024, cores / 1000, read / 1024, written / 1024)
        end = ProgramEnd(exit_code, sign, error, cpu, *sizes, processes, excess / 1024)
        self._callbacks.pop(number)(end)

    def _lose_helper(self) -> None:
        """Somebody killed the helper: kill what it ran, and start another."""
        _log.error("the spawner ended unexpectedly; everything that it ran is killed")
        self._hang_up()
        self._process.wait()
        _kill_marked(f"{_MARK}={os.getpid()}-".encode())
        self._socket, self._process = _start_helper(self._words)
        asyncio.get_running_loop().add_reader(self._socket, self._read)
        callbacks, self._callbacks = self._callbacks, {}
        if self._protected:
            self._ask_to_protect(self._protected, lambda _end: None)
        for callback in callbacks.values():
            callback(ProgramEnd(signal=signal.SIGKILL))


def _kill_marked(mark: bytes) -> None:
    """Kill every process whose variables say that it came from one of our programs, and what it starts meanwhile."""
    for _ in range(_MOST_ROUNDS):
        if not sum(_kill_if_marked(int(name), mark) for name in os.listdir("/proc") if name.isdigit()):
            return


def _kill_if_marked(pid: int, mark: bytes) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes()
        if not (b"\0" + variables).count(b"\0" + mark):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:  # it has ended, or is somebody else's
        return False
    else:
        return True
    finally:
        os.close(handle)


def _close_all(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _start_helper(words: list[str]) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = str(Path(__file__).parent / "spawner" / "__main__.py")
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", script, str(theirs.fileno()), *words],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    return ours, process

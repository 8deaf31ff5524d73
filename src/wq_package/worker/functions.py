"""Warm interpreters: which host process runs which call (shell module).

Knows hosts and what they answer; knows nothing of managers. Which call may run is decided elsewhere
(`wq_package.worker.state`); here it is only decided where.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path

from wq_package.archive.scripts.warm.packets import CALL, KIND_ANSWER, KIND_KILL, KIND_READY, PACKET_LIMIT
from wq_package.task import ResultCode
from wq_package.worker.events import CallEnded
from wq_package.worker.host_answers import describe_end, parse_answer, parse_reaped
from wq_package.worker.hosts import Host, HostCall, HostKey, Interpreter
from wq_package.worker.process import ProgramEnd, Spawner

__all__ = ["InterpreterPool"]

_log = logging.getLogger(__name__)
_STUCK_SECONDS = 0.02
_BATCH = 64
_NO_DIGEST = bytes(32)
_MOST_KILLED = 5
"""So many kills in a row before a host is ready are no accident: it needs more memory than there is, for example."""


class InterpreterPool:
    """The hosts of one worker.

    Args:
        folder: for what hosts print and for large answers; each has a folder of its own inside.
        functions: folder with the pickled functions by digest.
        on_end: called with each call that is over.
        discard: removes a folder, later: it may take long.
    """

    def __init__(
        self,
        spawner: Spawner,
        folder: Path,
        functions: Path,
        on_end: Callable[[CallEnded], None],
        discard: Callable[[str], object],
    ) -> None:
        self._spawner = spawner
        self._folder = folder
        self._discard = discard
        self._functions = str(functions)
        self._on_end = on_end
        self._interpreters: dict[str, Interpreter] = {}
        self._hosts: dict[HostKey, list[Host]] = {}
        self._places: dict[int, Host] = {}
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

    def _may_start_again(self, host: Host) -> bool:
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

    def has_call(self, serial: int) -> bool:
        """Whether a call was given to a host and has not ended."""
        return serial in self._places

    def close_idle(self, older_than: float) -> None:
        """End hosts that have had nothing to do for some seconds."""
        limit = time.monotonic() - older_than
        for hosts in list(self._hosts.values()):
            for host in [
                host for host in hosts if not host.in_flight and host.is_ready and host.since < limit
            ]:
                self._retire(host)

    def list_idle(self) -> list[str]:
        """List the environments that have hosts and no calls, the one that was used least recently first."""
        used: dict[str, float] = {}
        for key, hosts in self._hosts.items():
            for host in hosts:
                since = inf if host.in_flight or not host.is_ready else host.since
                used[key.environment] = max(used.get(key.environment, 0.0), since)
        idle = [(since, environment) for environment, since in used.items() if since < inf]
        return [environment for _, environment in sorted(idle)]

    def retire_idle(self, environment: str) -> None:
        """End the hosts of an environment that have nothing to do."""
        for key in [key for key in self._hosts if key.environment == environment]:
            for host in [host for host in self._hosts[key] if host.is_ready and not host.in_flight]:
                self._retire(host)

    def forget(self, environment: str) -> None:
        """End every host of an environment and forget it."""
        self._interpreters.pop(environment, None)
        for key in [key for key in self._hosts if key.environment == environment]:
            for host in list(self._hosts[key]):
                self._retire(host)

    def has_host(self, environment: str) -> bool:
        """Whether an environment has a host."""
        return any(hosts and key.environment == environment for key, hosts in self._hosts.items())

    def close(self) -> None:
        """End every host."""
        self._is_closed = True
        for hosts in list(self._hosts.values()):
            for host in list(hosts):
                self._retire(host)

    # -- choosing ------------------------------------------------------------------------------------------------------

    def _choose(self, key: HostKey) -> Host:
        hosts = self._hosts.get(key, [])
        if key.is_forked:
            return hosts[0] if hosts else self._start_host(key)
        for host in hosts:
            if not host.in_flight:
                return host
        return self._start_host(key)

    def _start_host(self, key: HostKey) -> Host:
        self._last += 1
        host = Host(key, str(self._folder / str(self._last)))
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

    def _give(self, serial: int, packet: bytes, host: Host) -> None:
        self._places[serial] = host
        host.send(serial, packet)

    def _relieve(self, idle: Host, stuck: float) -> None:
        """Give a free host a call that waits behind one that has run for longer than `stuck` seconds."""
        limit = time.monotonic() - stuck
        for other in self._hosts.get(idle.key, ()):
            if len(other.in_flight) > 1 and other.since <= limit:
                taken = other.take_back()
                if taken is not None:
                    self._give(*taken, idle)
                    return

    def _withdraw(self, host: Host, serial: int) -> bool:
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

    def _read(self, host: Host) -> None:
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
            if host.is_gone or not host.in_flight:
                return  # nothing more can come: spare a system call

    def _take(self, host: Host, packet: bytes) -> None:
        kind = packet[0]
        if kind == KIND_ANSWER:
            self._finish(host, parse_answer(packet, host.folder))
        elif kind == KIND_READY:
            host.is_ready = True
            host.since = time.monotonic()
            self._killed.pop(host.key, None)
            if not host.ready.done():
                host.ready.set_result(json.loads(packet[1:])["error"])
        else:
            self._finish(host, parse_reaped(packet, host.folder))

    def _finish(self, host: Host, event: CallEnded) -> None:
        if host.in_flight.pop(event.serial, None) is None:
            return
        host.since = time.monotonic()
        self._end(self._keep_answer(event) if event.path else event)
        if not host.in_flight and not host.is_gone:
            self._relieve(host, 0.0)

    def _keep_answer(self, event: CallEnded) -> CallEnded:
        """Take a large answer out of the folder of its host, which goes when that does."""
        place = f"{self._folder}/answer.{event.serial}"
        try:
            os.rename(event.path, place)
        except OSError as error:
            message = f"the call's answer is gone from the worker's disk: {error.strerror}"
            return CallEnded(event.serial, ResultCode.UNKNOWN, 1, message=message)
        return replace(event, path=place)

    def _end(self, event: CallEnded) -> None:
        self._places.pop(event.serial, None)
        self._on_end(event)

    # -- losing --------------------------------------------------------------------------------------------------------

    def _retire(self, host: Host) -> None:
        """Let a host go; what it still runs is lost and reported when it has ended."""
        self._remove(host)
        if host.in_flight or not host.is_ready:
            self._spawner.kill(host.number)
        else:
            host.close()

    def _remove(self, host: Host) -> None:
        host.is_closing = True
        hosts = self._hosts.get(host.key, [])
        if host in hosts:
            hosts.remove(host)
        if not hosts:
            self._hosts.pop(host.key, None)

    def _lose(self, host: Host, end: ProgramEnd) -> None:
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
            host.ready.set_result(host.explain_start(end))
        self._discard(host.folder)
        if not is_expected:
            _log.info("an interpreter ended: %s", describe_end(end))

    def _bury(self, host: Host, end: ProgramEnd) -> None:
        while host.has_answers():  # what it said before it died
            self._read(host)
        unread: list[tuple[int, bytes]] = []
        may_run_elsewhere = host.is_ready or self._may_start_again(host)
        while may_run_elsewhere and (taken := host.take_back()) is not None:
            unread.append(taken)
        host.close()
        begun, host.in_flight = list(host.in_flight), {}
        code = ResultCode.INTERPRETER_LOST if host.is_ready else ResultCode.ENVIRONMENT_FAILED
        message = f"the call's interpreter {describe_end(end)}" if host.is_ready else host.explain_start(end)
        for serial in begun:
            ended = CallEnded(serial, code, exit_code=end.exit_code, signal=end.signal, message=message)
            self._end(ended)
        can_run = not self._is_closed and host.key.environment in self._interpreters
        for serial, packet in unread:
            if can_run:
                self._give(serial, packet, self._choose(host.key))
            else:
                self._end(CallEnded(serial, ResultCode.CANCELLED))


def _count_in_flight(host: Host) -> int:
    return len(host.in_flight)

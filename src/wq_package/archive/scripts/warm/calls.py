"""Runs the calls in packets and answers them (shell module; Python 3.8 or newer).

Knows packets, the folder of large bodies, the one of pickled functions, and `run_call.py`; knows nothing of forks.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import socket
import sys
import time
from typing import Any

from .output import flush_output, take_output
from .packets import ANSWER, CALL, INLINE_LIMIT, KIND_ANSWER, KIND_CALL, PACKET_LIMIT

KNOWN_LIMIT = 512
MEASURE = "_wq_package_measure"
"""The name under which the scripts that measure are loaded."""
_NO_DIGEST = bytes(32)
_NO_CALL = CALL.pack(KIND_CALL, 0, _NO_DIGEST, 0) + pickle.dumps(((), {}), 4)


class Host:
    """One warm interpreter and what it keeps between calls."""

    def __init__(
        self, calls: socket.socket, answers: socket.socket, spool: str, functions: str, runner: Any
    ) -> None:
        self.calls = calls
        self.answers = answers
        self.spool = spool
        self.functions = functions
        self.runner = runner
        self.meter = importlib.import_module(MEASURE + ".meter").Meter()
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
            is_returned, answer = self._call_settled(extra, digest, packet, start)
        spent = time.perf_counter_ns() - began
        cpu, memory = self.meter.end()
        return serial, is_returned, answer, spent // 1000, cpu, memory

    def _call_settled(
        self, extra: dict[str, Any], digest: bytes, packet: bytes, start: int
    ) -> tuple[bool, bytes]:
        try:
            with _settled(extra, self.spool):
                return self._call(digest, _find_arguments(extra, packet, start))
        except Exception as error:  # noqa: BLE001 - what is wrong with its variables or files is its own answer
            return False, self.runner.encode_error(error)

    def rehearse(self) -> None:
        """Run a call of nothing, and answer nobody."""
        self.known[_NO_DIGEST] = _do_nothing
        self.pack_answer(self.run(_NO_CALL))

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
        self.answers.send(self.pack_answer(outcome))

    def pack_answer(self, outcome: tuple[int, bool, bytes, int, int, int]) -> bytes:
        """Make the packet of an answer with what the call printed since the last one."""
        serial, is_returned, answer, spent, cpu, memory = outcome
        output_size = flush_output()
        header = (KIND_ANSWER, serial, is_returned)
        tail = (spent, cpu, memory, output_size, len(answer))
        if output_size + len(answer) <= INLINE_LIMIT:
            output = take_output(output_size) if output_size else b""
            return ANSWER.pack(*header, 0, *tail) + output + answer
        self._spool(serial, output_size, answer)
        return ANSWER.pack(*header, 1, *tail)

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


@contextlib.contextmanager
def _settled(extra: dict[str, Any], spool: str) -> Any:
    """Be in the call's sandbox, with its variables, for as long as it runs; then where we were, or in `spool` if that is gone."""
    variables = extra.get("variables") or {}
    before = {name: os.environ.get(name) for name in variables}
    sandbox = extra.get("sandbox")
    home = _find_folder(spool)
    if extra.get("processors"):  # a fork's only
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, extra["processors"])
    try:
        _set_variables(variables)
        if sandbox:
            os.chdir(sandbox)
            sys.path.insert(0, sandbox)
        yield
    finally:
        _set_variables(before)
        if sandbox:
            os.chdir(home if os.path.isdir(home) else spool)
            with contextlib.suppress(ValueError):
                sys.path.remove(sandbox)
            sys.path_importer_cache.pop(sandbox, None)


def _find_folder(spool: str) -> str:
    try:
        return os.getcwd()
    except OSError:  # an earlier call has gone there and removed it
        return spool


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


def _do_nothing() -> None:
    pass

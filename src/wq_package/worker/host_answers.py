"""What hosts answer, and how their ends are told (logic module).

Knows the packets of `wq_package/archive/scripts/warm/packets.py`; knows nothing of who runs where.
"""

from __future__ import annotations

import os
import signal
from dataclasses import replace

from wq_package.archive.scripts.warm.packets import ANSWER, REAPED
from wq_package.task import ResultCode
from wq_package.worker.events import CallEnded
from wq_package.worker.process import ProgramEnd
from wq_package.worker.usage import Usage

__all__ = ["describe_end", "parse_answer", "parse_reaped"]


def parse_answer(packet: bytes, folder: str) -> CallEnded:
    """Take in the answer of a call whose host keeps large ones in a folder."""
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


def parse_reaped(packet: bytes, folder: str) -> CallEnded:
    """Put together what a forked call answered and what its processes used."""
    _, serial, status, cpu, memory, cores, *rest = REAPED.unpack_from(packet)
    read, written, processes, limit, excess = rest
    event = parse_answer(packet[REAPED.size :], folder) if len(packet) > REAPED.size else None
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
    message = f"the call's process {describe_end(ProgramEnd(exit_code, sign))}"
    return CallEnded(serial, code, exit_code, sign, usage=usage, message=message)


def describe_end(end: ProgramEnd) -> str:
    """Say how a process ended, as the end of a sentence."""
    if end.errno:
        return f"could not be started: {os.strerror(end.errno)}"
    if end.signal:
        try:
            return f"was killed by {signal.Signals(end.signal).name}"
        except ValueError:
            return f"was killed by signal {end.signal}"
    return f"ended itself with exit code {end.exit_code}"

"""Runs the programs that do a part of our work: uv, a compiler of bytecode, patchelf (shell module).

Knows how such a program is started and how it ends with us. Each has a session of its own, so what a terminal sends to its
foreground (Ctrl-C) reaches us only: we say once what happened, and no program shows its own end beside it. In return it
is we who end them, in every way of leaving that we can see. Knows nothing of what the programs do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

__all__ = ["end_programs", "kill_left_behind", "kill_program", "run_program", "start_program"]

# Signals go to the whole process, so what they end is known to all of it. No lock: a signal may come while it is held.
_running: set[subprocess.Popen[bytes]] = set()
_is_over = threading.Event()


def run_program(
    command: Sequence[str], *, environ: Mapping[str, str] | None = None, seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with nothing to read; returns what it wrote, whatever its exit code.

    Args:
        command: the program and its arguments.
        environ: its variables; ours by default.
        seconds: how long it may take.

    Raises:
        OSError: it cannot be started.
        TimeoutExpired: it took too long, and was killed.
    """
    with start_program(command, environ=environ, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as program:
        output, words = program.communicate(timeout=seconds)
    texts = (data.decode("utf-8", "replace") for data in (output, words))
    return subprocess.CompletedProcess(command, program.returncode, *texts)


@contextmanager
def start_program(
    command: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    stdin: int = subprocess.PIPE,
    stderr: int | IO[bytes] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that is spoken to while it runs. At the end its pipes are closed, and it is waited for.

    It should leave when its standard input ends: should we be killed, then nobody else can tell it.

    Args:
        command: the program and its arguments.
        environ: its variables; ours by default.
        stdin: as for `subprocess.Popen`.
        stderr: as for `subprocess.Popen`.

    Raises:
        OSError: it cannot be started.
    """
    program = subprocess.Popen(
        command, env=environ, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
    )
    _running.add(program)
    if _is_over.is_set():
        kill_program(program)
    try:
        yield program
    except BaseException:
        kill_program(program)
        raise
    finally:
        for pipe in (program.stdin, program.stdout, program.stderr):
            with suppress(OSError):  # what a program that is dead did not read
                if pipe is not None:
                    pipe.close()
        program.wait()
        _running.discard(program)


def kill_program(program: subprocess.Popen[bytes]) -> None:
    """Kill a program with everything that it started in its session; one that has ended is left alone."""
    if program.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)


def kill_left_behind(program: subprocess.Popen[bytes]) -> None:
    """Kill what a program that has just ended has left in its process group."""
    with suppress(OSError):
        os.killpg(program.pid, signal.SIGKILL)


def end_programs() -> None:
    """Kill every program that runs now or is started later: this process is about to end. Safe in a signal handler."""
    _is_over.set()
    for program in tuple(_running):
        kill_program(program)

"""Compile sources with the Python that will run them (shell module).

Knows processes and the batch protocol of `scripts/compile_sources.py`. Knows nothing of layers: paths in, bytecode out.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Self

from wq_package.build.interpreter import Interpreter
from wq_package.errors import BackendFailedError
from wq_package.programs import start_program

__all__ = ["Compiler", "name_bytecode"]

_SCRIPT = Path(__file__).parent / "scripts" / "compile_sources.py"
_BATCH = 40
# Hash order and locale must not differ between two machines that compile the same source.
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}


def name_bytecode(source: str, cache_tag: str) -> str:
    """Name the bytecode file that Python looks for beside a source: `a/__pycache__/b.cpython-311.pyc`."""
    path = PurePosixPath(source)
    return str(path.parent / "__pycache__" / f"{path.stem}.{cache_tag}.pyc")


class Compiler:
    """A few processes of one interpreter that compile batches of sources.

    Started on first use; several threads may compile at once.

    Args:
        interpreter: the Python whose bytecode is wanted.
        count: how many processes.
    """

    def __init__(self, interpreter: Interpreter, count: int) -> None:
        self._interpreter = interpreter
        self._count = count
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._started = 0
        self._programs = ExitStack()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="compile")

    def compile_all(self, sources: Sequence[tuple[str, str]]) -> Iterator[bytes]:
        """Compile `(source path, name in the bytecode)` pairs; one pyc each in order, empty if it cannot be compiled.

        Batches depend on the order of `sources` only, so the bytes do too.
        """
        batches = [sources[at : at + _BATCH] for at in range(0, len(sources), _BATCH)]
        for answer in self._threads.map(self._compile_batch, batches):
            yield from answer

    def close(self) -> None:
        """End the processes."""
        self._threads.shutdown(cancel_futures=True)
        self._programs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self.close()

    def _compile_batch(self, batch: Sequence[tuple[str, str]]) -> list[bytes]:
        process = self._take()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(batch).encode() + b"\n")
            process.stdin.flush()
            answers = [_read_answer(process.stdout) for _ in batch]
        except (OSError, EOFError) as error:
            code = process.wait()
            raise BackendFailedError(
                (self._interpreter.program, _SCRIPT.name),
                code,
                str(error),
                summary="compiling bytecode failed",
            ) from error
        finally:
            self._idle.put(
                process
            )  # a dead one as well: who waits for it fails, too, instead of waiting for ever
        return answers

    def _take(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._idle.empty() and self._started < self._count:
                process = self._programs.enter_context(self._start())
                self._started += 1
                return process
        return self._idle.get()

    def _start(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        command = (self._interpreter.program, "-S", "-s", "-W", "ignore", str(_SCRIPT))
        return start_program(command, environ=_ENVIRONMENT)


def _read_answer(stream: IO[bytes]) -> bytes:
    length = int.from_bytes(_read_exactly(stream, 4), "little")
    return _read_exactly(stream, length)


def _read_exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError("the compiling process ended")
    return data

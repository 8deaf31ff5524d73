"""Compile Python sources to bytecode that is the same wherever it is made.

Runs in any Python from 3.8 on, with the standard library only: the builder starts it in the interpreter whose bytecode
is wanted. Each line of standard input is one batch, a JSON list of `[source path, name]`; the answer is, for each
source, a length of four bytes and as many bytes of pyc; length 0 for a source that this Python cannot compile.

What `marshal` writes depends on which strings the process has met before, so every batch is compiled in a fresh fork of
a process that has met none. `name` becomes the file name inside the bytecode; no path of this machine gets into it.
"""

from __future__ import annotations

import importlib.util
import json
import marshal
import os
import sys
import warnings
from pathlib import Path


def main() -> None:
    """Answer batches until standard input ends."""
    warnings.simplefilter("ignore")
    for line in sys.stdin.buffer:
        child = os.fork()
        if child == 0:
            _answer_and_leave(line)
        _, ended = os.waitpid(child, 0)
        if ended:
            sys.exit(1)


def _answer_and_leave(line: bytes) -> None:
    code = 1
    try:
        for path, name in json.loads(line):
            pyc = compile_source(path, name)
            sys.stdout.buffer.write(len(pyc).to_bytes(4, "little") + pyc)
        sys.stdout.buffer.flush()
        code = 0
    finally:
        os._exit(code)


def compile_source(path: str, name: str) -> bytes:
    """Return the pyc of one source, or nothing if it does not compile (templates, other Python versions)."""
    source = Path(path).read_bytes()
    try:
        code = compile(source, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return b""
    unchecked_hash = 1  # PEP 552: by source hash, never compared: the archive's own digest vouches for it
    head = importlib.util.MAGIC_NUMBER + unchecked_hash.to_bytes(4, "little")
    return head + importlib.util.source_hash(source) + marshal.dumps(code)


if __name__ == "__main__":
    main()
    os._exit(0)  # who waits for the end of this process need not wait for the tidying up of a Python, too

"""Python text → syntax tree, from any thread (logic module). Knows nothing of what the tree is wanted for."""

from __future__ import annotations

import ast
import threading

__all__ = ["parse_python"]

_LOCK = threading.Lock()
_TRIES = 5


def parse_python(source: str | bytes) -> ast.Module:
    """Parse a program as `ast.parse` does, whatever other threads do.

    Python 3.11 counts the depth of all threads' trees in one place (python/cpython#106905): two of them at once, and either may
    end in a `SystemError`. Ours take turns; those of others are tried again.

    Raises:
        SyntaxError: it is not valid Python.
        ValueError: it has a NUL byte, or is not in the encoding that it names.
        RecursionError: it is nested too deeply.
    """
    for _ in range(_TRIES - 1):
        try:
            with _LOCK:
                return ast.parse(source)
        except SystemError:
            continue
    with _LOCK:
        return ast.parse(source)

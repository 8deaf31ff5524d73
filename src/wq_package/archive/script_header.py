"""Makes a Python script start the interpreter that lies beside it, wherever that is (logic module).

The first lines are read by `sh`, which starts the interpreter on the same file; to Python they are a string. Because that string takes
the place of the script's own documentation, and because `from __future__` may only follow one string, both are put right.
"""

from __future__ import annotations

import ast

from wq_package.spec.python_text import parse_python

# Parentheses before the patterns, because some shells take a lone `)` for the end of `$(`. Nothing but sh is needed unless the script
# was called by a link, which takes readlink.
_HEADER = """#!/bin/sh
'''exec' "$(p=$0; case $p in (*/*) ;; (*) p=./$p;; esac; while [ -L "$p" ]; do t=$(readlink "$p"); case $t in (/*) p=$t;; (*) p=${p%/*}/$t;; esac; done; CDPATH='' cd -P -- "${p%/*}" && pwd -P)/@PYTHON@"@ARGUMENTS@ "$0" "$@"
' '''
"""


def render_script_header(python: str = "python3", arguments: str = "") -> str:
    """Write the first lines of a Python script in `bin` that works wherever its environment is.

    They fit before a script that has neither documentation nor `from __future__`; `make_relocatable_script` puts them before any.

    Args:
        python: name of the interpreter in the same folder.
        arguments: of the interpreter, as on a `#!` line.
    """
    words = f" {arguments.strip()}" if arguments.strip() else ""
    return _HEADER.replace("@PYTHON@", python).replace("@ARGUMENTS@", words)


def make_relocatable_script(source: bytes, python: str = "python3", arguments: str = "") -> bytes:
    """Put the header before a Python script, in the place of its `#!` line.

    Args:
        source: the script, with or without its `#!` line.
        python: name of the interpreter in the same folder.
        arguments: of the interpreter, as on a `#!` line.
    """
    header = render_script_header(python, arguments).encode("utf-8")
    first, newline, rest = source.partition(b"\n")
    # An empty line in the place of the first keeps the numbers right that the parser gives.
    text = newline + rest if first.startswith(b"#!") else source
    return header + _move_beginning(text)


def _move_beginning(source: bytes) -> bytes:
    """Turn documentation into an assignment, and move `from __future__` before it."""
    try:
        body = parse_python(source).body
    except (SyntaxError, ValueError):  # not Python of this version: leave it alone
        return source
    futures = [node for node in body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    has_text = bool(body) and isinstance(body[0], ast.Expr) and _is_text(body[0].value)
    if not has_text:
        return source
    lines = source.split(b"\n")
    start = body[0].lineno - 1
    lines[start] = b"__doc__ = " + lines[start]
    if not all(_has_own_lines(node, body) for node in futures):
        return source
    for node in futures:
        for number in range(node.lineno - 1, node.end_lineno or node.lineno):
            lines[number] = b""
    names = [f"from __future__ import {alias.name}\n".encode() for node in futures for alias in node.names]
    return b"".join(names) + b"\n".join(lines)


def _is_text(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _has_own_lines(node: ast.stmt, body: list[ast.stmt]) -> bool:
    taken = range(node.lineno, (node.end_lineno or node.lineno) + 1)
    return not any(
        other is not node and (other.lineno in taken or other.end_lineno in taken) for other in body
    )

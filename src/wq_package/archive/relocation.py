"""Replaces the placeholder in a file's bytes by the prefix (logic module).

Bytes in, bytes out; which files, and where they are, is the caller's business. The script `conda_unpack.py` that travels in
every archive does the same with the environment's own Python.
"""

from __future__ import annotations

import os
import re

from wq_package.archive.layer import Relocation, RelocationMode
from wq_package.errors import ArchiveError

_MAX_SHEBANG = 127


def relocate(data: bytes, relocation: Relocation, prefix: str) -> bytes:
    """Replace the placeholder of one file.

    Raises:
        ArchiveError: the prefix is longer than the placeholder of a binary file.
    """
    old, new = os.fsencode(relocation.placeholder), os.fsencode(prefix)
    if relocation.mode is RelocationMode.TEXT:
        return _relocate_text(data, old, new)
    if len(new) > len(old):
        raise ArchiveError(
            f"the prefix `{prefix}` is {len(new)} bytes long, and `{relocation.path}` has room for {len(old)}",
            hint="unpack into a folder with a shorter path",
        )
    return _relocate_binary(data, old, new)


def _relocate_binary(data: bytes, old: bytes, new: bytes) -> bytes:
    def replace(match: re.Match[bytes]) -> bytes:
        text = match.group().replace(old, new)
        return text.ljust(len(match.group()), b"\0")

    return re.sub(re.escape(old) + b"[^\\0]*\\0", replace, data)


def _relocate_text(data: bytes, old: bytes, new: bytes) -> bytes:
    line, newline, rest = data.partition(b"\n")
    if line.startswith(b"#!") and old in line:
        line = _relocate_shebang(line, old, new)
    return (line + newline + rest).replace(old, new)


def _relocate_shebang(line: bytes, old: bytes, new: bytes) -> bytes:
    """Rewrite a first line that the kernel could not read: too long, or with a blank in the interpreter's path."""
    program, *arguments = line[2:].strip().split(None, 1)
    program = program.replace(old, new)
    if b" " not in new and b"\t" not in new and len(line.replace(old, new)) <= _MAX_SHEBANG:
        return line
    words = b" ".join([_quote(program), *arguments])
    if b"python" in program.rpartition(b"/")[2]:
        # sh runs the second line, Python reads the second and third as one string.
        return b"#!/bin/sh\n'''exec' " + words + b' "$0" "$@"\n' + b"' '''"
    return b"#!/usr/bin/env " + program.rpartition(b"/")[2]


def _quote(path: bytes) -> bytes:
    return b'"' + re.sub(rb'(["$`\\])', rb"\\\1", path) + b'"'

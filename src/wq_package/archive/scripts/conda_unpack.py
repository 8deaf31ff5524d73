"""Relocate the environment that this file lies in: replace its placeholder by where it is now.

Run by the environment's own Python right after `tar -xf`, with nothing but the standard library (Python 3.8 or newer). It may run
again at any time, and does nothing then. Exit code 0, or 1 and one sentence for each file that could not be relocated.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MAX_SHEBANG = 127


def relocate_text(data: bytes, old: bytes, new: bytes) -> bytes:
    """Replace the placeholder everywhere; rewrite a first line that the kernel could not read then."""
    line, newline, rest = data.partition(b"\n")
    if line.startswith(b"#!") and old in line:
        line = relocate_shebang(line, old, new)
    return (line + newline + rest).replace(old, new)


def relocate_shebang(line: bytes, old: bytes, new: bytes) -> bytes:
    """Give the first line of a script: as it is if it fits, else lines for sh that start the same interpreter."""
    if b" " not in new and b"\t" not in new and len(line.replace(old, new)) <= MAX_SHEBANG:
        return line
    program, *arguments = line[2:].strip().split(None, 1)
    name = program.rpartition(b"/")[2]
    if b"python" not in name:
        return b"#!/usr/bin/env " + name
    quoted = b'"' + re.sub(rb'(["$`\\])', rb"\\\1", program.replace(old, new)) + b'"'
    # sh runs the second line; to Python the second and third are one string.
    return b"#!/bin/sh\n'''exec' " + b" ".join([quoted, *arguments]) + b' "$0" "$@"\n' + b"' '''"


def relocate_binary(data: bytes, old: bytes, new: bytes) -> bytes:
    """Replace the placeholder in NUL-terminated strings, which keep their length."""
    if len(new) > len(old):
        raise ValueError(f"the prefix is {len(new)} bytes long, and there is room for {len(old)}")

    def replace(match: re.Match[bytes]) -> bytes:
        return match.group().replace(old, new).ljust(len(match.group()), b"\0")

    return re.sub(re.escape(old) + b"[^\\0]*\\0", replace, data)


def relocate_file(path: Path, mode: str, old: bytes, new: bytes) -> None:
    """Relocate one file, by a new one that takes its place."""
    data = path.read_bytes()
    if old not in data:
        return
    data = (relocate_binary if mode == "binary" else relocate_text)(data, old, new)
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
    finally:
        if temporary.exists():
            temporary.unlink()


def iter_relocations(folder: Path) -> Iterator[list[str]]:
    """Read the relocations of every layer: path, mode, placeholder."""
    for manifest in sorted(folder.glob("*.json")):
        yield from json.loads(manifest.read_bytes().decode("ascii"))["relocations"]


def note_prefix(metadata: Path, prefix: Path) -> None:
    """Leave word that the environment has been relocated; a folder that cannot be written does not matter."""
    with suppress(OSError):
        (metadata / "prefix").write_bytes(os.fsencode(prefix) + b"\n")


def main() -> int:
    """Relocate the environment; return the exit code."""
    prefix = Path(__file__).absolute().parent.parent
    failures = 0
    for path, mode, placeholder in iter_relocations(prefix / ".wq-package" / "layers"):
        try:
            relocate_file(prefix / path, mode, os.fsencode(placeholder), os.fsencode(prefix))
        except (OSError, ValueError) as error:
            sys.stderr.write(f"wq-package: `{prefix / path}` cannot be relocated: {error}\n")
            failures += 1
    if not failures:
        note_prefix(prefix / ".wq-package", prefix)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

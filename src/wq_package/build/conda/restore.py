"""Undo what an installer did to a file: put the placeholder back where the prefix stands (logic module).

Bytes in, candidates out. Whether a candidate is the file as it was released, its digest tells: the caller's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from wq_package.archive.layer import RelocationMode

__all__ = ["iter_originals"]

_PYTHONS = (b"python", b"python3")
_MOST_LINES = 3


def iter_originals(data: bytes, mode: RelocationMode, prefix: bytes, placeholder: bytes) -> Iterator[bytes]:
    """Yield what a file may have been before it was installed, the likeliest first.

    Args:
        data: the installed file.
        mode: how its placeholder was replaced.
        prefix: where it was installed.
        placeholder: what stood there before.
    """
    if mode is RelocationMode.BINARY:
        yield _restore_binary(data, prefix, placeholder)
        return
    yield data.replace(prefix, placeholder)
    if data.startswith(b"#!"):
        yield from _iter_scripts(data, prefix, placeholder)


def _restore_binary(data: bytes, prefix: bytes, placeholder: bytes) -> bytes:
    """Take away the NULs that filled up each string when its placeholder became shorter."""

    def restore(match: re.Match[bytes]) -> bytes:
        longer = match[1].replace(prefix, placeholder)
        return longer + match[2][len(longer) - len(match[1]) :]

    return re.sub(b"(" + re.escape(prefix) + b"[^\\0]*)(\\0+)", restore, data)


def _iter_scripts(data: bytes, prefix: bytes, placeholder: bytes) -> Iterator[bytes]:
    """The first line of a script may have been too long for the kernel: one to three others took its place."""
    lines = data.split(b"\n", _MOST_LINES)
    named = re.findall(rb"/(python[\d.]*)\b", b"\n".join(lines[:_MOST_LINES]))
    for count in range(1, len(lines)):
        rest = b"\n".join(lines[count:]).replace(prefix, placeholder)
        for name in dict.fromkeys([*named, *_PYTHONS]):
            yield b"#!" + placeholder + b"/bin/" + name + b"\n" + rest

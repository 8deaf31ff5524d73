"""Replaces the placeholder in a file's bytes by the prefix (logic module).

Bytes in, bytes out; which files, and where they are, is the caller's business. The work is done by the very functions that
travel in every archive as `bin/conda-unpack`.
"""

from __future__ import annotations

import os

from wq_package.archive.layer import Relocation, RelocationMode
from wq_package.archive.member_paths import show
from wq_package.archive.scripts.conda_unpack import relocate_binary, relocate_text
from wq_package.errors import ArchiveError, UnsafeMemberError

_MOST_GROWTH = 16 * 2**20
"""Bytes by which one replacement may lengthen a file: an archive must not fill the memory of who unpacks it."""


def relocate(data: bytes, relocation: Relocation, prefix: str) -> bytes:
    """Replace the placeholder of one file.

    Raises:
        ArchiveError: the prefix is longer than the placeholder of a binary file.
        UnsafeMemberError: the file would become very much longer.
    """
    old, new = os.fsencode(relocation.placeholder), os.fsencode(prefix)
    if relocation.mode is RelocationMode.TEXT:
        if data.count(old) * (len(new) - len(old)) > _MOST_GROWTH:
            raise UnsafeMemberError(
                show(relocation.path), "it would be very much longer after its relocation"
            )
        return relocate_text(data, old, new)
    if len(new) > len(old):
        raise ArchiveError(
            f"the prefix `{prefix}` is {len(new)} bytes long, and `{relocation.path}` has room for {len(old)}",
            hint="unpack into a folder with a shorter path",
        )
    return relocate_binary(data, old, new)

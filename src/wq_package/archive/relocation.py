"""Replaces the placeholder in a file's bytes by the prefix (logic module).

Bytes in, bytes out; which files, and where they are, is the caller's business. The work is done by the very functions that
travel in every archive as `bin/conda-unpack`.
"""

from __future__ import annotations

import os

from wq_package.archive.layer import Relocation, RelocationMode
from wq_package.archive.scripts.conda_unpack import relocate_binary, relocate_text
from wq_package.errors import ArchiveError


def relocate(data: bytes, relocation: Relocation, prefix: str) -> bytes:
    """Replace the placeholder of one file.

    Raises:
        ArchiveError: the prefix is longer than the placeholder of a binary file.
    """
    old, new = os.fsencode(relocation.placeholder), os.fsencode(prefix)
    if relocation.mode is RelocationMode.TEXT:
        return relocate_text(data, old, new)
    if len(new) > len(old):
        raise ArchiveError(
            f"the prefix `{prefix}` is {len(new)} bytes long, and `{relocation.path}` has room for {len(old)}",
            hint="unpack into a folder with a shorter path",
        )
    return relocate_binary(data, old, new)

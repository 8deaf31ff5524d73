"""Which members of a foreign tar file may be unpacked, for Pythons whose `tarfile` does not know (logic module).

Python has its own filter since 3.11.4. This one refuses what that one refuses: whatever leads out of the folder, and
whatever is neither file, folder nor link.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterable, Iterator

__all__ = ["iter_harmless"]

_SAFE_MODE = 0o755


def iter_harmless(members: Iterable[tarfile.TarInfo]) -> Iterator[tarfile.TarInfo]:
    """Go through the members, without modes that only their maker could have wanted.

    Raises:
        ExtractError: a member leads out, or is a device or a pipe.
    """
    for member in members:
        if not (member.isfile() or member.isdir() or member.islnk() or member.issym()):
            raise tarfile.ExtractError(f"`{member.name}` is a device or a pipe")
        if _leads_out(member.name) or _leads_out(_find_target(member)):
            raise tarfile.ExtractError(f"`{member.name}` leads out of its folder")
        member.mode = member.mode & _SAFE_MODE | (0o700 if member.isdir() else 0o600)
        yield member


def _find_target(member: tarfile.TarInfo) -> str:
    if member.issym() and not member.linkname.startswith("/"):
        return posixpath.join(posixpath.dirname(member.name), member.linkname)
    return member.linkname


def _leads_out(path: str) -> bool:
    return path.startswith("/") or posixpath.normpath(path).split("/")[0] == ".."

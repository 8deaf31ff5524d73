"""Which members of a foreign tar file may be unpacked (logic module).

Python has a filter of its own since 3.11.4, and releases of all its branches whose filter a chain of links gets round. This
one does not ask where links lead on the disk: nothing is unpacked through a link at all, and nothing in the place of one.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterable, Iterator

__all__ = ["iter_harmless"]

_SAFE_MODE = 0o755


def iter_harmless(members: Iterable[tarfile.TarInfo]) -> Iterator[tarfile.TarInfo]:
    """Go through the members, without modes and owners that only their maker could have wanted.

    A leading slash is taken away, as `tar` does.

    Raises:
        ExtractError: a member leads out or through a link, or is a device or a pipe.
    """
    links: set[str] = set()
    files: set[str] = set()
    for member in members:
        member.name = member.name.lstrip("/")
        path = posixpath.normpath(member.name)
        reason = _find_fault(member, path, links, files)
        if reason:
            raise tarfile.ExtractError(f"`{member.name}` {reason}")
        if member.issym():
            links.add(path)
            files.discard(path)
        elif not member.isdir():
            files.add(path)
        member.mode = member.mode & _SAFE_MODE | (0o700 if member.isdir() else 0o600)
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        yield member


def _find_fault(member: tarfile.TarInfo, path: str, links: set[str], files: set[str]) -> str:
    if not (member.isfile() or member.isdir() or member.islnk() or member.issym()):
        return "is a device or a pipe"
    if ".." in member.name.split("/"):
        return "leads out of its folder"
    if not links.isdisjoint(_iter_parents(path)) or (path in links and not member.issym()):
        return "would be written through a link"
    if member.issym() and _leads_out(posixpath.join(posixpath.dirname(path), member.linkname)):
        return "leads out of its folder"
    if member.islnk() and posixpath.normpath(member.linkname.lstrip("/")) not in files:
        return f"is another name of `{member.linkname}`, which is no file before it"
    return ""


def _iter_parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _leads_out(path: str) -> bool:
    return path.startswith("/") or posixpath.normpath(path).split("/")[0] == ".."

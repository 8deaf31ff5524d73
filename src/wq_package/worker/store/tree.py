"""Trees of members on disk: making one from layers by hard links, and telling whether one is whole (shell module).

A file of a layer is never written again once it is there: it has no write permission, one fixed time, and many names. Its size and
time tell whether somebody wrote to it all the same.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO

from wq_package.archive.layer import FIXED_MTIME, Member, MemberKind, Relocation
from wq_package.archive.relocation import relocate
from wq_package.errors import CorruptArchiveError, DiskFullError

_FIXED_NS = FIXED_MTIME * 10**9
READ_ONLY_FOLDER = 0o555
# Another file system, one that has no links, too many of them, or links forbidden: copy instead.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES}


def find_damage(
    root: Path, members: Iterable[Member], *, relocated: frozenset[str] = frozenset()
) -> list[Member]:
    """Name the members below `root` that are missing or not as they were made.

    Args:
        root: where the members are.
        members: what should be there.
        relocated: paths of files whose size may differ.
    """
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return list(members)
    try:
        return [member for member in members if not _is_whole(folder, member, member.path in relocated)]
    finally:
        os.close(folder)


def _is_whole(folder: int, member: Member, is_relocated: bool) -> bool:  # noqa: FBT001 - private, called in one place
    path = _encode(member.path)
    try:
        status = os.stat(path, dir_fd=folder, follow_symlinks=False)
        if member.kind is MemberKind.FILE:
            return (
                stat.S_ISREG(status.st_mode)
                and status.st_mtime_ns == _FIXED_NS
                and (is_relocated or status.st_size == member.size)
            )
        if member.kind is MemberKind.FOLDER:
            return stat.S_ISDIR(status.st_mode)
        return os.readlink(path, dir_fd=folder) == _encode(member.target)
    except OSError:
        return False


class Composer:
    """Makes one tree out of the trees of several layers.

    Args:
        target: where the tree is made.
        prefix: where it will be used.
    """

    def __init__(self, target: Path, prefix: str) -> None:
        self._target = target
        self._prefix = prefix
        self._folders = {""}
        self._root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Give the target's descriptor back."""
        os.close(self._root)

    def add_members(
        self, layer: Path, members: Iterable[Member], relocations: Mapping[str, Sequence[Relocation]]
    ) -> None:
        """Link members of a layer into the tree; they take the place of what is there already."""
        source = os.open(layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for member in members:
                self._add_member(source, member, relocations.get(member.path, ()))
        except OSError as error:
            raise self._translate(error) from error
        finally:
            os.close(source)

    def write_file(self, path: str, data: bytes) -> None:
        """Write a file that is not a layer's."""
        self._make_folder(path.rpartition("/")[0])
        with suppress(FileNotFoundError):
            os.unlink(_encode(path), dir_fd=self._root)
        self._write(_encode(path), 0o644, data)

    def _add_member(self, source: int, member: Member, relocations: Sequence[Relocation]) -> None:
        if member.kind is MemberKind.FOLDER:
            self._make_folder(member.path)
            return
        parent = member.path.rpartition("/")[0]
        if parent not in self._folders:
            self._make_folder(parent)
        path = _encode(member.path)
        try:
            self._make(source, path, member, relocations)
        except FileExistsError:
            os.unlink(path, dir_fd=self._root)
            self._make(source, path, member, relocations)

    def _make(self, source: int, path: bytes, member: Member, relocations: Sequence[Relocation]) -> None:
        if member.kind is MemberKind.LINK:
            os.symlink(_encode(member.target), path, dir_fd=self._root)
        elif relocations:
            data = _read(source, path)
            for relocation in relocations:
                data = relocate(data, relocation, self._prefix)
            self._write(path, member.mode, data)
        else:
            self._link(source, path, member.mode)

    def _link(self, source: int, path: bytes, mode: int) -> None:
        try:
            os.link(path, path, src_dir_fd=source, dst_dir_fd=self._root, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            self._copy(source, path, mode)

    def _copy(self, source: int, path: bytes, mode: int) -> None:
        with _open(source, path) as reader, os.fdopen(self._create(path, mode), "wb") as writer:
            shutil.copyfileobj(reader, writer, 2**20)
            _fix_time(writer)

    def _write(self, path: bytes, mode: int, data: bytes) -> None:
        with os.fdopen(self._create(path, mode), "wb") as file:
            file.write(data)
            _fix_time(file)

    def _create(self, path: bytes, mode: int) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, mode & 0o555, dir_fd=self._root)

    def _make_folder(self, path: str) -> None:
        if path in self._folders:
            return
        # Never through a link: what is in `_folders` is a folder.
        self._make_folder(path.rpartition("/")[0])
        try:
            os.mkdir(_encode(path), 0o755, dir_fd=self._root)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(_encode(path), dir_fd=self._root, follow_symlinks=False).st_mode):
                raise
        self._folders.add(path)

    def _translate(self, error: OSError) -> Exception:
        if error.errno in {errno.EEXIST, errno.EISDIR, errno.ENOTDIR}:
            return CorruptArchiveError(self._prefix, ("one layer has a folder where another has a file",))
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return DiskFullError(
                f"there is no room for the environment at `{self._prefix}`", hint="free disk space"
            )
        return error

    def protect(self) -> None:
        """Take the right to write from every folder but the uppermost, which must still be renamed."""
        for path in self._folders - {""}:
            os.chmod(_encode(path), READ_ONLY_FOLDER, dir_fd=self._root)

    def unprotect(self, members: Iterable[Member]) -> None:
        """Give the right to write back to the folders that some members are in."""
        for folder in {parent for member in members for parent in _iter_parents(member.path)}:
            with suppress(OSError):
                os.chmod(_encode(folder), 0o755, dir_fd=self._root)


def _encode(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _iter_parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _open(folder: int, path: bytes) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb")


def _read(folder: int, path: bytes) -> bytes:
    with _open(folder, path) as file:
        return file.read()


def _fix_time(file: IO[bytes]) -> None:
    file.flush()
    os.utime(file.fileno(), ns=(_FIXED_NS, _FIXED_NS))

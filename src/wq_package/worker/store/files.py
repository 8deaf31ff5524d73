"""Input files in the store, by what is in them (shell module).

    root/files/<sha256>-<mode>  a file; read only, its time is that of its last use
    root/held/<owner>/<number>  one more name of a file that a worker uses: as long as there is one, the file is not evicted

A worker's folder in `held` goes with it, or, if it was killed, when the next one opens the store. Bytes are looked at when they
arrive and whenever a worker begins to use them: whatever has another digest is removed. Knows nothing of who wants which file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from wq_package.worker.store.eviction import Kept
from wq_package.worker.store.scratch import open_scratch

__all__ = ["FileName", "FileShelf", "IncomingFile", "iter_kept_files", "remove_kept_file"]


@dataclass(frozen=True, slots=True)
class FileName:
    """What a file has in it, and whether it can be run."""

    digest: str
    mode: int

    def __str__(self) -> str:
        return f"{self.digest}-{self.mode:o}"


class IncomingFile:
    """A file that arrives; it is in the store once `finish` has seen that it is what its name says.

    Args:
        path: where it is written.
        place: where all find it afterwards.
    """

    def __init__(self, path: str, place: Path, name: FileName) -> None:
        self._path = path
        self._place = place
        self._name = name
        self._found = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)

    def write(self, piece: memoryview) -> int:
        """Write a piece, or the beginning of it, and return how much.

        Raises:
            OSError: the disk is full, or refuses.
        """
        written = os.write(self._file, piece)
        self._found.update(piece[:written])
        return written

    def finish(self) -> str | None:
        """Let all find the file, and return where it can be used; `None` if it is another one."""
        if self._found.hexdigest() != self._name.digest:
            self.abort()
            return None
        os.fchmod(self._file, self._name.mode & 0o555)
        os.close(self._file)
        self._file = -1
        with suppress(OSError):  # there since; or the file system has no links, and it is only not kept
            os.link(self._path, self._place)
        return self._path

    def abort(self) -> None:
        """Give the file up."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            os.unlink(self._path)


class FileShelf:
    """The files of a store, as one worker uses them. Safe from several threads.

    Args:
        root: the folder of the store.

    Raises:
        OSError: the store cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self._files = root / "files"
        self._stack = ExitStack()
        self._held = self._stack.enter_context(open_scratch(root / "held"))
        self._numbers = count(1)

    def take(self, name: FileName, size: int) -> str | None:
        """Keep a file until it is released, and return where it can be used; `None` if it is not here or damaged.

        Raises:
            OSError: the store cannot be written.
        """
        place, path = self._files / str(name), self._make_path()
        try:
            os.link(place, path, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if _is_sound(path, name, size):
            os.utime(path)
            return path
        with suppress(FileNotFoundError):
            if place.lstat().st_ino == os.lstat(path).st_ino:  # else somebody has put a sound one there
                place.unlink()
        os.unlink(path)
        return None

    def receive(self, name: FileName) -> IncomingFile:
        """Begin a file that arrives.

        Raises:
            OSError: the store cannot be written.
        """
        return IncomingFile(self._make_path(), self._files / str(name), name)

    def close(self) -> None:
        """Release everything."""
        self._stack.close()

    def _make_path(self) -> str:
        return f"{self._held}/{next(self._numbers)}"


def _is_sound(path: str, name: FileName, size: int) -> bool:
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode) or found.st_size != size:
        return False
    if found.st_mode & 0o777 != name.mode & 0o555:
        return False
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == name.digest


def iter_kept_files(root: Path) -> Iterator[Kept]:
    """List the files of a store."""
    with os.scandir(root / "files") as entries:
        for entry in entries:
            with suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                size, is_held = found.st_blocks * 512, found.st_nlink > 1
                yield Kept(entry.name, size, found.st_mtime, is_leased=is_held, is_file=True)


def remove_kept_file(root: Path, name: str) -> bool:
    """Remove a file from a store, unless somebody has begun to use it; tell whether it has gone."""
    path = root / "files" / name
    try:
        if path.lstat().st_nlink > 1:
            return False
        path.unlink()
    except OSError:
        return False
    return True

"""The files that a manager has put on a worker, and those that its tasks leave for it (shell module).

Knows how an entry is written, read back and removed. Knows nothing of tasks; which entries exist under which name, and
when one may go, is decided by `wq_package.worker.state`. An entry stands under its key, a number, so no name that a
manager chooses is ever a file name here, except inside a folder that it puts.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from wq_package.errors import RemoteProtocolError
from wq_package.protocol import messages as wire

__all__ = ["EntryReceiver", "EntryStore", "iter_entry", "open_file", "open_whole", "remove_tree"]

_log = logging.getLogger(__name__)


class EntryStore:
    """One folder with an item a key.

    Args:
        root: made if absent.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = str(root)
        self._last = 0
        self._elsewhere: dict[int, str] = {}

    def make_key(self) -> int:
        """Make the key of a new entry."""
        self._last += 1
        return self._last

    def locate(self, key: int) -> str:
        """Tell where an entry is or will be."""
        return self._elsewhere.get(key) or f"{self._root}/{key}"

    def adopt(self, path: str, key: int | None = None) -> int:
        """Make an entry of a file that is elsewhere on this machine, and return its key; it is removed there."""
        key = key or self.make_key()
        self._elsewhere[key] = path
        return key

    def is_own(self, key: int) -> bool:
        """Whether an entry is this worker's alone; a file that is elsewhere has names that others use."""
        return key not in self._elsewhere

    def remove(self, key: int) -> None:
        """Remove an entry; may take long for a folder."""
        remove_tree(self.locate(key))
        self._elsewhere.pop(key, None)


def remove_tree(path: str) -> None:
    """Remove a file or folder, whatever its modes are; absent is fine."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        try:
            shutil.rmtree(path, onerror=_open_up)
        except RecursionError:
            _remove_deep(path)


def _remove_deep(path: str) -> None:
    """Remove a folder that is deeper than Python's stack or than any path: what is inside is moved up, bit by bit."""
    waiting, moved = [f"{path}/{name}" for name in os.listdir(path)], 0
    while waiting:
        item = waiting.pop()
        with contextlib.suppress(OSError):
            if os.path.islink(item) or not os.path.isdir(item):
                os.unlink(item)
                continue
            os.chmod(item, 0o700)
            for name in os.listdir(item):
                moved += 1
                waiting.append(f"{path}/.moved-{moved}")
                os.rename(f"{item}/{name}", waiting[-1])
            os.rmdir(item)
    with contextlib.suppress(OSError):
        os.rmdir(path)


def open_file(path: str) -> BinaryIO:
    """Open a file to read it, and never wait for one that is none: a task may leave a pipe under any name.

    Raises:
        OSError: it is not there, cannot be read, or is no regular file.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a file", path)
    return file


def open_whole(path: str, size: int) -> BinaryIO | None:
    """Open a file of ours on the local disk, which is quick enough for the loop; nothing if it is not as large as it was."""
    try:
        file = open_file(path)
    except OSError as error:
        _log.warning("`%s` cannot be read any more: %s", path, error.strerror)
        return None
    if os.fstat(file.fileno()).st_size >= size:
        return file
    file.close()
    _log.warning("`%s` is smaller than it was", path)
    return None


def _open_up(function: object, path: str, reason: object) -> None:
    """Make the folder of what could not be removed writable, and try again once."""
    parent = os.path.dirname(path)
    try:
        os.chmod(parent, 0o700)
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    except OSError:
        return  # the workspace is removed as a whole in the end


class KeptFile(Protocol):
    """A file that goes elsewhere than to the worker's own folder."""

    def write(self, piece: memoryview, /) -> int:
        """Write a piece, or the beginning of it."""

    def finish(self) -> str | None:
        """Tell where the file is, if it is what it should be."""

    def abort(self) -> None:
        """Give the file up."""


@dataclass(slots=True)
class EntryReceiver:
    """Writes `Put`, `Dir`, `Symlink`, `End` and their bodies to disk, in the order in which they come.

    Attributes:
        store: where entries go.
        open_kept: says by its name where else a file goes, if it does.
    """

    store: EntryStore
    open_kept: Callable[[str], KeptFile | None] = lambda _name: None
    _name: str = ""
    _key: int = 0
    _folders: list[str] = field(default_factory=list)
    _file: BinaryIO | None = None
    _kept: KeptFile | None = None

    @property
    def is_writing(self) -> bool:
        """Whether the body of a file is expected."""
        return self._file is not None or self._kept is not None

    @property
    def is_open(self) -> bool:
        """Whether a file or folder is not complete."""
        return self.is_writing or bool(self._folders)

    @property
    def name(self) -> str:
        """The entry that comes, or came last."""
        return self._name

    @property
    def depth(self) -> int:
        """How many folders are not complete."""
        return len(self._folders)

    def open_file(self, put: wire.Put) -> None:
        """Begin a file.

        Raises:
            OSError: the disk is full, or refuses.
        """
        path = self._place(put.name)
        if not self._folders:
            self._kept = self.open_kept(put.name)
            if self._kept is not None:
                return
        mode = (put.mode & 0o777) | 0o600
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        os.fchmod(descriptor, mode)

    def write(self, piece: bytes | memoryview) -> None:
        """Write a piece of the file's body.

        Raises:
            OSError: the disk is full, or refuses.
        """
        file = self._kept or self._file
        assert file is not None
        view = memoryview(piece)
        while view:
            view = view[file.write(view) :]

    def close_file(self) -> tuple[str, int] | None:
        """Finish the file; return the name and key of the entry if it is complete."""
        if self._kept is not None:
            return self._close_kept(self._kept)
        assert self._file is not None
        self._file.close()
        self._file = None
        return None if self._folders else (self._name, self._key)

    def _close_kept(self, kept: KeptFile) -> tuple[str, int] | None:
        self._kept = None
        path = kept.finish()
        return None if path is None else (self._name, self.store.adopt(path, self._key))

    def open_folder(self, folder: wire.Dir) -> None:
        """Begin a folder.

        Raises:
            OSError: the disk is full, or refuses.
        """
        path = self._place(folder.name)
        os.mkdir(path, 0o755)
        self._folders.append(path)

    def close_folder(self) -> tuple[str, int] | None:
        """Finish the innermost folder; return the name and key of the entry if it is complete."""
        self._folders.pop()
        return None if self._folders else (self._name, self._key)

    def make_link(self, link: wire.Symlink) -> None:
        """Make a symbolic link.

        Raises:
            OSError: the disk is full, or refuses.
        """
        os.symlink(link.target, self._place(link.name))

    def abort(self) -> tuple[int, ...]:
        """Close what is open; return the key of the entry that will not be complete, if there is one."""
        is_unfinished = self._file is not None or bool(self._folders)
        if self._kept is not None:
            self._kept.abort()
            self._kept = None
        if self._file is not None:
            self._file.close()
            self._file = None
        self._folders.clear()
        return (self._key,) * is_unfinished

    def _place(self, name: str) -> str:
        if not self._folders:
            self._name, self._key = name, self.store.make_key()
            return self.store.locate(self._key)
        if "/" in name or name in ("", ".", ".."):
            raise RemoteProtocolError(f"the manager put `{name}` into a folder, which is no plain name")
        return f"{self._folders[-1]}/{name}"


@dataclass(slots=True)
class SkippedEntry:
    """Counts what is still to come of an entry that the disk has no room for.

    Attributes:
        depth: folders that are not complete.
        is_writing: whether the body of a file is expected.
    """

    depth: int
    is_writing: bool

    @property
    def is_open(self) -> bool:
        """Whether there is more to come."""
        return self.is_writing or self.depth > 0

    def receive(self, message: wire.Put | wire.Dir | wire.Symlink | wire.End) -> None:
        """Take in what comes for the entry."""
        match message:
            case wire.Put():
                self.is_writing = True
            case wire.Dir():
                self.depth += 1
            case wire.End():
                self.depth -= 1
            case wire.Symlink():
                pass


def iter_entry(
    path: str, name: str, *, recursive: bool
) -> Iterator[tuple[wire.Dir | wire.File | wire.Missing, str]]:
    """Go through what `Get` answers for an entry: each message, and the file whose bytes follow it.

    Symbolic links are followed; one that leads back to a folder above it is missing. Pipes, sockets and devices inside a
    folder are left out: they have nothing in them that could be sent.
    """
    try:
        yield from _iter_item(path, name, (), recursive=recursive)
    except RecursionError:
        yield wire.Missing(name, errno.ENAMETOOLONG), ""


_Item = tuple[wire.Dir | wire.File | wire.Missing, str]


def _iter_item(
    path: str, name: str, above: tuple[tuple[int, int], ...], *, recursive: bool
) -> Iterator[_Item]:
    try:
        status = os.stat(path)
        is_folder = os.path.isdir(path)
        names = sorted(os.listdir(path)) if is_folder else []
    except OSError as error:
        yield wire.Missing(name, error.errno or errno.EIO), ""
        return
    identity = (status.st_dev, status.st_ino)
    if not is_folder and not stat.S_ISREG(status.st_mode):
        if not above:
            yield wire.Missing(name, errno.EINVAL), ""
    elif not is_folder:
        yield wire.File(name, status.st_size), path
    elif identity in above:
        yield wire.Missing(name, errno.ELOOP), ""
    else:
        yield wire.Dir(name), ""
        for inner in names if recursive else ():
            yield from _iter_item(f"{path}/{inner}", f"{name}/{inner}", (*above, identity), recursive=True)

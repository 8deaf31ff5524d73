"""The folder of one task: inputs staged in, outputs staged out (shell module).

Knows files; knows nothing of processes or wires. A task may do what it likes with its inputs, so it never gets the cached
file itself: an input is cloned where the file system can share blocks, and copied otherwise. Measured on ext4: 4 kB in
27 µs (a hard link: 9 µs), 1 MB in 0.4 ms, and about 2 GB/s beyond. A hard link is made only of an entry that
no other task will ever read.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from wq_package.protocol import messages as wire
from wq_package.worker.cache import EntryStore, open_file

__all__ = ["Collected", "collect_outputs", "make_sandbox", "measure_tree"]

_FICLONE = 0x40049409
_ERROR_NUMBER = re.compile(r"\[Errno (\d+)\]")


def make_sandbox(folder: str, inputs: Iterable[tuple[str, str, bool]], folders: Iterable[str]) -> None:
    """Make a sandbox with its inputs and empty folders.

    An input is its cached path, its name in the sandbox, and whether it may be linked.

    Raises:
        OSError: the disk is full, or an input is in the way of another.
    """
    os.mkdir(folder, 0o700)
    for source, name, is_private in inputs:
        place = f"{folder}/{name}"
        if "/" in name:
            os.makedirs(os.path.dirname(place), exist_ok=True)
        with _refuse_depth():
            _stage(source, place, is_private=is_private)
    for name in folders:
        os.makedirs(f"{folder}/{name}", mode=0o700, exist_ok=True)


def _stage(source: str, place: str, *, is_private: bool) -> None:
    if not os.path.isdir(source):
        _stage_file(source, place, is_private=is_private)
        return
    os.makedirs(place, exist_ok=True)
    with os.scandir(source) as entries:
        for entry in entries:
            inner = f"{place}/{entry.name}"
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), inner)
            else:
                _stage(entry.path, inner, is_private=is_private)
    shutil.copymode(source, place)


def _stage_file(source: str, place: str, *, is_private: bool) -> None:
    if is_private:
        with contextlib.suppress(OSError):  # another file system, or a limit on links
            os.link(source, place)
            return
    copy_file(source, place)


def copy_file(source: str, place: str) -> None:
    """Copy a file with its mode, sharing its blocks if the file system can.

    Raises:
        OSError: the disk is full, the place is taken, or the source is no file.
    """
    with open_file(source) as reader:
        status = os.fstat(reader.fileno())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        mode = (status.st_mode & 0o777) | stat.S_IWUSR  # the store's own are read only
        descriptor = os.open(place, flags, mode)
        try:
            os.fchmod(descriptor, mode)
            _copy_blocks(reader.fileno(), descriptor, status.st_size)
        finally:
            os.close(descriptor)


def _copy_blocks(reader: int, writer: int, size: int) -> None:
    if size >= 1 << 16:  # a clone of less costs more than the copy
        with contextlib.suppress(OSError):
            fcntl.ioctl(writer, _FICLONE, reader)
            return
    left = size
    while left:
        copied = os.sendfile(writer, reader, None, left)
        if not copied:
            return  # the source has shrunk
        left -= copied


@dataclass(frozen=True, slots=True)
class Collected:
    """The outputs that a task left.

    Attributes:
        stored: cache name and key.
        missing: sandbox names.
    """

    stored: tuple[tuple[str, int], ...] = ()
    missing: tuple[str, ...] = ()


def collect_outputs(folder: str, outputs: Sequence[wire.TaskFile], store: EntryStore) -> Collected:
    """Move outputs from a sandbox to the cache.

    Raises:
        OSError: the disk is full, or a folder is nested too deeply.
    """
    with _refuse_depth():
        return _collect_all(folder, outputs, store)


@contextlib.contextmanager
def _refuse_depth() -> Iterator[None]:
    """Treat a tree that is deeper than Python's stack as the system treats a name that is too long."""
    try:
        yield
    except RecursionError as error:
        raise OSError(errno.ENAMETOOLONG, "its folders are nested too deeply") from error


def _collect_all(folder: str, outputs: Sequence[wire.TaskFile], store: EntryStore) -> Collected:
    stored: list[tuple[str, int]] = []
    missing: list[str] = []
    taken: dict[str, str] = {}
    for name in {output.sandbox_name for output in outputs}:
        if os.path.isdir(f"{folder}/{name}"):
            _follow_links_within(folder, f"{folder}/{name}")  # before anything that they lead to is moved
    # Links first, while what they lead to is still in its place.
    for output in sorted(outputs, key=lambda output: not os.path.islink(f"{folder}/{output.sandbox_name}")):
        key = store.make_key()
        try:
            is_there = _collect(folder, output.sandbox_name, store.locate(key), taken)
        except (OSError, RecursionError):
            for made in (key, *(key for _, key in stored)):
                store.remove(made)
            raise
        if is_there:
            stored.append((output.cache_name, key))
        else:
            missing.append(output.sandbox_name)
    return Collected(tuple(stored), tuple(missing))


def _collect(folder: str, name: str, place: str, taken: dict[str, str]) -> bool:
    source = taken.get(name, f"{folder}/{name}")
    is_copied = name in taken or os.path.islink(source)
    if not _has_content(source):
        return False
    if is_copied:
        _copy_item(source, place)
        return True
    try:
        os.rename(source, place)
    except OSError:  # a mount inside the sandbox
        _copy_item(source, place)
    taken[name] = place
    return True


def _has_content(path: str) -> bool:
    """Whether a file or folder is there; a pipe or device is neither, and whoever reads it may wait for ever."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _copy_item(source: str, place: str) -> None:
    if not os.path.isdir(source):
        copy_file(source, place)
        return
    try:
        shutil.copytree(source, place, ignore=_LoopFinder(source, place), ignore_dangling_symlinks=True)
    except shutil.Error as error:  # a list of paths and texts
        path, _, text = error.args[0][0]
        found = _ERROR_NUMBER.match(text)
        number = int(found[1]) if found else errno.EIO
        reason = os.strerror(number) if found else text
        raise OSError(number, f"`{os.path.relpath(path, source)}` cannot be copied: {reason}") from error


class _LoopFinder:
    """Names the links of a folder that is being copied which lead back to it, or to where it is copied."""

    def __init__(self, source: str, place: str) -> None:
        self._source = source
        self._place = os.path.realpath(place)

    def __call__(self, folder: str, names: list[str]) -> list[str]:
        links = [name for name in names if os.path.islink(f"{folder}/{name}")]
        if not links:
            return []
        targets = {name: os.path.realpath(f"{folder}/{name}") for name in links}
        way = [self._place, os.path.realpath(self._source)]
        while len(folder) > len(self._source):
            way.append(os.path.realpath(folder))
            folder = os.path.dirname(folder)
        return [name for name, target in targets.items() if any(_contains(target, each) for each in way)]


def _contains(folder: str, path: str) -> bool:
    """Whether a path is that of a folder, or below it."""
    return f"{path}/".startswith(f"{folder}/")


def _follow_links_within(sandbox: str, folder: str) -> None:
    """Replace links to other places of the sandbox, which is about to go, by what they lead to.

    Those that lead to a folder that they are in have no end: they are left out.
    """
    inside, whole = os.path.realpath(folder), os.path.realpath(sandbox)
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            path = f"{parent}/{name}"
            target = os.path.realpath(path) if os.path.islink(path) else ""
            if not _contains(whole, target) or _contains(inside, target) or not os.path.exists(target):
                continue
            os.unlink(path)
            if not _contains(target, inside):
                _copy_item(target, path)


def measure_tree(folder: str) -> int:
    """Add up the sizes of the files below a folder, in bytes; what goes away meanwhile is left out."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(f"{parent}/{name}").st_size
    return total

"""From a task's input files to cache names: reads and hashes what is to be sent (shell module).

Runs in threads, never in the loop. A file's digest is remembered as long as its size, time and inode stay the same.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from wq_package.errors import QueueError
from wq_package.manager.outputs import MOST_LEVELS
from wq_package.manager.state.events import FolderEntry, StagedInput
from wq_package.task import InputFile

DIGESTS_KEPT = 100_000
QUICK_BYTES = 64 * 1024
RACY_NS = 20_000_000
_Stamp = tuple[int, int, int, int]


class DigestCache:
    """Digests of files that have been read before. Safe for several threads.

    One that was written just now may be written again without a sign of it, for file systems count time in ticks: its digest
    is not kept.
    """

    def __init__(self) -> None:
        self._digests: dict[tuple[str, _Stamp], str] = {}
        self._lock = threading.Lock()

    def digest(self, path: str, found: os.stat_result) -> str:
        """Tell the hex sha256 of a file's bytes."""
        key = (path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))
        with self._lock:
            known = self._digests.get(key)
        if known is None:
            began = time.time_ns()
            known = _read_digest(path)
            if abs(began - found.st_mtime_ns) < RACY_NS:
                return known
            with self._lock:
                if len(self._digests) >= DIGESTS_KEPT:
                    self._digests.clear()
                self._digests[key] = known
        return known


def is_quick(inputs: tuple[InputFile, ...]) -> bool:
    """Tell whether `stage_inputs` need not be run in a thread: it reads no file, and hashes little."""
    size = 0
    for given in inputs:
        if given.content is None:
            return False
        size += len(given.content)
    return size <= QUICK_BYTES


def stage_inputs(inputs: tuple[InputFile, ...], digests: DigestCache) -> tuple[StagedInput, ...]:
    """Find out what has to be sent for these input files.

    Raises:
        QueueError: one of them is not there, cannot be read or cannot be sent.
    """
    return tuple(stage_input(given, digests) for given in inputs)


def stage_input(given: InputFile, digests: DigestCache) -> StagedInput:
    """Find out what has to be sent for one input file.

    Raises:
        QueueError: it is not there, cannot be read or cannot be sent.
    """
    if given.content is not None:
        return _stage_content(given, given.content)
    assert given.path is not None
    try:
        found = Path(given.path).stat()
        if stat.S_ISDIR(found.st_mode):
            return _stage_folder(given, given.path, digests)
        return _stage_file(given, given.path, found, digests)
    except OSError as error:
        raise QueueError(
            f"input file `{given.path}` cannot be read: {error.strerror or error}",
            hint="check the path; it is read on the manager's side",
        ) from error


def _stage_content(given: InputFile, content: bytes) -> StagedInput:
    name = f"file-{hashlib.sha256(content).hexdigest()}-644" if given.cache else ""
    return StagedInput(name, given.sandbox_name, content=content, size=len(content), cache=given.cache)


def _stage_file(given: InputFile, path: str, found: os.stat_result, digests: DigestCache) -> StagedInput:
    if not stat.S_ISREG(found.st_mode):
        raise QueueError(
            f"input file `{path}` is neither a file nor a folder", hint="sockets and devices cannot be sent"
        )
    mode = _find_mode(found)
    if not os.access(path, os.R_OK):
        raise PermissionError(13, "permission denied", path)
    name = f"file-{digests.digest(path, found)}-{mode:o}" if given.cache else ""
    return StagedInput(
        name,
        given.sandbox_name,
        path,
        size=found.st_size,
        mode=mode,
        cache=given.cache,
        stamp=found.st_mtime_ns,
    )


def _stage_folder(given: InputFile, path: str, digests: DigestCache) -> StagedInput:
    entries = tuple(_iter_entries(path, "", frozenset()))
    name = ""
    if given.cache:
        listing = hashlib.sha256()
        for entry in entries:
            digest = "" if entry.is_folder else digests.digest(entry.path, Path(entry.path).stat())
            listing.update(f"{entry.name}\0{entry.mode:o}\0{digest}\n".encode(errors="surrogateescape"))
        name = f"folder-{listing.hexdigest()}"
    size = sum(entry.size for entry in entries)
    return StagedInput(
        name, given.sandbox_name, path, entries=entries, size=size, mode=0o755, cache=given.cache
    )


def _iter_entries(path: str, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[FolderEntry]:
    """List a folder, following links: a real worker garbles the target of a link that is sent as one."""
    here = Path(path).stat()
    identity = (here.st_dev, here.st_ino)
    if identity in above:
        raise QueueError(f"input folder `{path}` contains itself through a link", hint="remove that link")
    if len(above) > MOST_LEVELS:
        raise QueueError(f"input folder `{path}` is nested too deeply", hint="send it as a tarball")
    for item in sorted(Path(path).iterdir()):
        found = item.stat()
        name = f"{prefix}{item.name}"
        _check_entry_name(name)
        if stat.S_ISDIR(found.st_mode):
            yield FolderEntry(name, str(item), 0, 0o755, is_folder=True)
            yield from _iter_entries(str(item), f"{name}/", above | {identity})
        elif stat.S_ISREG(found.st_mode):
            yield FolderEntry(name, str(item), found.st_size, _find_mode(found))


def _check_entry_name(name: str) -> None:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise QueueError(
            f"input folder has an entry {name!r} with a control character in its name",
            hint="rename it, or send the folder as a tarball",
        )


def _find_mode(found: os.stat_result) -> int:
    return 0o755 if found.st_mode & 0o111 else 0o644


def _read_digest(path: str) -> str:
    with open_input(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_input(path: str) -> FileIO:
    """Open a file to read it, and never wait for one that has become a pipe.

    Raises:
        OSError: it is not there, cannot be read, or is no regular file.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a file", path)
    return file

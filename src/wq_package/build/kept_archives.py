"""Keeps whole archives beside the layers, for programs that want the same ones again (shell module).

    root/environments/<name>.tar.<zst|gz>    touched whenever somebody wants it

A program holds the archives that it sends to workers, with a lock that ends with it: those stay. Of the others the least
recently used go when there are too many: each is no more than layers that are joined, and is made again in a moment.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wq_package.archive.unfinished import is_abandoned
from wq_package.errors import BuildError

__all__ = ["KeptArchive", "KeptArchives", "remove_archive"]

_LIMIT = 10 * 2**30


@dataclass(frozen=True, slots=True)
class KeptArchive:
    """An archive that is kept.

    Attributes:
        used: when somebody last wanted it, in seconds since 1970.
    """

    path: Path
    size: int
    used: float


class KeptArchives:
    """The archives of one cache.

    Args:
        cache: its folder, which need not be there.
    """

    def __init__(self, cache: Path) -> None:
        self.folder = cache / "environments"
        self._held: dict[Path, int] = {}

    def make_folder(self) -> None:
        """Make the folder for a new archive.

        Raises:
            BuildError: it cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "set WQ_PACKAGE_CACHE, or the executor's `cache_dir`, to a folder that can be written"
            raise BuildError(f"`{self.folder}` cannot be made ({error.strerror})", hint=hint) from error

    def hold(self, path: Path) -> bool:
        """Keep an archive until `close`; `False` if it is not there."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            return not isinstance(error, FileNotFoundError)  # whoever reads it says what is wrong
        with suppress(OSError):  # where nothing can be locked, nothing is removed
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        if not os.fstat(descriptor).st_nlink:  # removed in this moment
            os.close(descriptor)
            return False
        with suppress(OSError):  # a cache that may only be read
            os.utime(path)
        self._let_go(path)
        self._held[path] = descriptor
        return True

    def close(self) -> None:
        """Hold nothing any more."""
        for path in list(self._held):
            self._let_go(path)

    def _let_go(self, path: Path) -> None:
        descriptor = self._held.pop(path, None)
        if descriptor is not None:
            os.close(descriptor)

    def list_archives(self) -> list[KeptArchive]:
        """List what is kept, the most recently used first."""
        return sorted(self._iter_archives(), key=lambda archive: (-archive.used, archive.path.name))

    def _iter_archives(self) -> Iterator[KeptArchive]:
        with suppress(OSError):
            for path in self.folder.iterdir():
                if not path.name.startswith("."):
                    with suppress(OSError):
                        found = path.stat()
                        yield KeptArchive(path, found.st_size, found.st_mtime)

    def prune(self, limit: int = _LIMIT) -> None:
        """Remove what nobody holds and was not used for longest, until no more than `limit` bytes are left."""
        self.remove_unfinished()
        total = 0
        for archive in self.list_archives():
            total += archive.size
            if total > limit and remove_archive(archive):
                total -= archive.size

    def remove_unfinished(self) -> None:
        """Remove what killed programs left."""
        with suppress(OSError):
            for path in self.folder.iterdir():
                if path.name.startswith(".") and is_abandoned(path):
                    path.unlink(missing_ok=True)


def remove_archive(archive: KeptArchive) -> bool:
    """Remove an archive, unless somebody holds it."""
    try:
        descriptor = os.open(archive.path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        archive.path.unlink()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True

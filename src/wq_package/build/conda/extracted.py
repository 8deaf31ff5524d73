"""A conda package on disk: extracted from its archive, or installed in an environment (shell module).

Knows the lists that a package brings, and how to read its files as they were released. Knows nothing of layers.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from wq_package.build.conda.package_files import (
    PackageFile,
    parse_entry_points,
    parse_legacy_paths,
    parse_paths,
    place_file,
)
from wq_package.build.conda.records import CondaRecord
from wq_package.build.conda.restore import iter_originals

__all__ = ["EditedFileError", "ExtractedPackage", "open_package"]


@dataclass(frozen=True, slots=True)
class ExtractedPackage:
    """A conda package on disk.

    Attributes:
        folder: where it was extracted.
        files: what it says it has.
        entry_points: commands that its installer is to make, for `noarch: python`.
        site_packages: where the environment's Python looks for distributions, relative to the prefix.
        installed_prefix: where it is installed, if `folder` is that place: then files are verified, and those that
            were made for this prefix are turned back.
        keep_edits: whether files that were edited there are taken as they are.
        is_verified: whether files are compared with their digests.
        is_stamped: whether sizes and times of the files decide if they are read again.
    """

    record: CondaRecord
    folder: Path
    files: tuple[PackageFile, ...]
    entry_points: dict[str, str]
    site_packages: str
    installed_prefix: str = ""
    keep_edits: bool = False
    is_verified: bool = True
    is_stamped: bool = False

    def iter_targets(self) -> Iterator[str]:
        """Name every path that the package has in a prefix."""
        yield from (self.place(file.path) for file in self.files)
        yield from (f"bin/{name}" for name in self.entry_points)

    def place(self, path: str) -> str:
        """Tell where a file of the package goes."""
        return place_file(path, self.site_packages, noarch=self.record.noarch)

    def read(self, file: PackageFile) -> bytes:
        """Read a file as it was released.

        Raises:
            EditedFileError: it is installed, and was edited since.
        """
        data = (self.folder / file.path).read_bytes()
        if not self.installed_prefix or not file.sha256:
            return data
        candidates: Iterable[bytes] = (data,)
        if file.mode is not None:
            names = os.fsencode(self.installed_prefix), os.fsencode(file.placeholder)
            candidates = itertools.chain(candidates, iter_originals(data, file.mode, *names))
        for candidate in candidates:
            if hashlib.sha256(candidate).hexdigest() == file.sha256:
                return candidate
        if not self.is_verified:
            return self._turn_back(data, file)
        raise EditedFileError(file.path)

    def check(self, file: PackageFile) -> None:
        """Compare a file that no installer changes with its digest, without ever having all of it in memory.

        Raises:
            EditedFileError: it is installed, and was edited since.
        """
        if not self.installed_prefix or not file.sha256 or not self.is_verified:
            return
        with (self.folder / file.path).open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != file.sha256:
                raise EditedFileError(file.path)

    def _turn_back(self, data: bytes, file: PackageFile) -> bytes:
        if file.mode is None:
            return data
        names = os.fsencode(self.installed_prefix), os.fsencode(file.placeholder)
        return next(iter_originals(data, file.mode, *names))

    def stamp_files(self) -> Iterator[list[list[object]]]:
        """Tell sizes and times of all files, if they count."""
        if self.is_stamped:
            yield [[file.path, *_stamp(self.folder / file.path)] for file in self.files]


class EditedFileError(Exception):
    """An installed file is not as it was released; its argument is the file's path."""


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.lstat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def open_package(record: CondaRecord, folder: Path, site_packages: str) -> ExtractedPackage:
    """Read what an extracted package says about itself."""
    info = folder / "info"
    listed = _read(info / "paths.json")
    if listed:
        files = parse_paths(listed)
    else:
        files = parse_legacy_paths(_read(info / "files"), _read(info / "has_prefix"))
    link = _read(info / "link.json") if record.noarch == "python" else ""
    return ExtractedPackage(record, folder, files, parse_entry_points(link) if link else {}, site_packages)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""

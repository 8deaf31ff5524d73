"""Measure and prune what conda builds keep beside the layers (shell module).

Extracted packages and laid-out Pythons are only needed to make layers and to know who owns a path: whatever is removed is
fetched again by the build that wants it. Whoever prunes has the cache alone.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["list_kept", "mark_used", "measure_kept", "prune_kept"]

_FOLDERS = ("packages", "pythons")


def list_kept(root: Path) -> list[Path]:
    """List what is kept, the longest unused first.

    Args:
        root: the conda folder of a cache, which may be missing.
    """
    return sorted(_iter_kept(root), key=lambda path: (path.stat().st_mtime, path.name))


def _iter_kept(root: Path) -> Iterator[Path]:
    for name in _FOLDERS:
        if (root / name).is_dir():
            yield from (path for path in (root / name).iterdir() if path.is_dir())


def mark_used(path: Path) -> None:
    """Note that something was wanted just now."""
    os.utime(path)


def measure_kept(root: Path) -> int:
    """Count the bytes on disk; a file with several names counts once."""
    seen: dict[tuple[int, int], int] = {}
    for kept in list_kept(root):
        for folder, _, files in os.walk(kept):
            for name in files:
                status = Path(folder, name).lstat()
                seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())


def prune_kept(root: Path, *, older_than: float | None = None) -> int:
    """Remove what was not used for some seconds, or everything; return how many bytes that freed."""
    before = measure_kept(root)
    limit = float("inf") if older_than is None else time.time() - older_than
    for path in list_kept(root):
        if path.name.startswith(".partial-") or path.stat().st_mtime < limit:
            shutil.rmtree(path, ignore_errors=True)
    return before - measure_kept(root)

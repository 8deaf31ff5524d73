"""Folders for what is not finished yet, and their removal (shell module).

Whatever is made, is made here and renamed to its place when it is whole. A folder whose owner died is removed by whoever opens
the store next.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wq_package.worker.store.locks import hold_lock, try_lock

_GRACE_SECONDS = 60.0


@contextmanager
def open_scratch(root: Path) -> Iterator[Path]:
    """Give a new folder below `root` that goes away at the end, with all that is still in it."""
    token = f"{os.getpid()}-{secrets.token_hex(8)}"
    lock, folder = root / f"{token}.lock", root / token
    with hold_lock(lock):
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            remove_tree(folder)
            lock.unlink(missing_ok=True)


def remove_abandoned(root: Path) -> None:
    """Remove the folders below `root` whose owners died."""
    for lock in root.glob("*.lock"):
        with suppress(OSError):
            # Between making its lock file and taking the lock, an owner looks dead: leave the newest alone.
            if time.time() - lock.stat().st_mtime > _GRACE_SECONDS:
                _remove_if_abandoned(lock)


def _remove_if_abandoned(lock: Path) -> None:
    with try_lock(lock) as is_mine:
        if is_mine:
            remove_tree(lock.with_suffix(""))
            lock.unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Remove a file or folder, folders without write permission too; harmless if it is not there."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for folder, _, _ in os.walk(path):
        with suppress(OSError):
            os.chmod(folder, 0o700)
    shutil.rmtree(path, ignore_errors=True)

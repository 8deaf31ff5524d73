"""A worker's own folder, and those of workers that were killed (shell module).

Knows where workers work, and that a worker locks a file in its folder for as long as it lives: the kernel gives the lock
back whatever way it dies, and who comes next removes what is left. Knows nothing of what is in the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from wq_package.errors import QueueError
from wq_package.worker.cache import remove_tree

__all__ = ["make_workspace", "remove_abandoned"]

_LOCK = "alive"
_GRACE_SECONDS = 60.0
"""Between making its lock file and taking the lock, a worker looks dead."""


@contextlib.contextmanager
def make_workspace(workdir: Path | None) -> Iterator[Path]:
    """Make a folder for this worker, which is gone at the end.

    Args:
        workdir: where, instead of where batch systems want temporary files.

    Raises:
        QueueError: it cannot be made.
    """
    root = workdir or _find_workdir()
    try:
        root.mkdir(parents=True, exist_ok=True)
        workspace = Path(tempfile.mkdtemp(prefix=f"{_find_prefix()}{os.getpid()}-", dir=root)).resolve()
        lock = os.open(workspace / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        hint = "name another folder with --workdir"
        raise QueueError(f"`{root}` cannot hold the worker's files: {error.strerror}", hint=hint) from error
    with suppress(OSError):  # where nothing can be locked, nothing is taken for abandoned
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield workspace
    finally:
        _remove(workspace)
        os.close(lock)


def _remove(workspace: Path) -> None:
    """Remove a worker's folder, its lock last: what is left if we are killed meanwhile can still be seen to be abandoned."""
    with suppress(OSError):
        for entry in workspace.iterdir():
            if entry.name != _LOCK:
                remove_tree(str(entry))
    remove_tree(str(workspace))


def _find_workdir() -> Path:
    """Find where to work as real workers do: the batch system's scratch folder first."""
    for name in ("_CONDOR_SCRATCH_DIR", "TMPDIR", "TEMP", "TMP"):
        place = os.environ.get(name)
        if place and os.access(place, os.R_OK | os.W_OK | os.X_OK):
            return Path(place)
    return Path(tempfile.gettempdir())


def _find_prefix() -> str:
    return f"worker-{os.getuid()}-"


def remove_abandoned(root: Path) -> None:
    """Remove the folders of this user's workers below `root` that were killed."""
    for folder in root.glob(f"{_find_prefix()}*-*"):
        with suppress(OSError):
            if stat.S_ISDIR(folder.lstat().st_mode):
                _remove_if_abandoned(folder)


def _remove_if_abandoned(folder: Path) -> None:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:  # killed at its very begin or end
        if _is_old(folder.lstat()):
            folder.rmdir()
        return
    try:
        if _is_old(os.fstat(lock)):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(folder)
    finally:
        os.close(lock)


def _is_old(status: os.stat_result) -> bool:
    return status.st_uid == os.getuid() and time.time() - status.st_mtime >= _GRACE_SECONDS

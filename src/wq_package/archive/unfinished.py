"""Files and folders that are being written, under names of their own, until they take the name they are for (shell module).

Whoever writes one holds a lock on it, which the kernel gives back in whatever way the program ends: what nobody holds was left by
a program that was killed, and the next one that writes the same removes it. Knows nothing of what is in them.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["claim", "is_abandoned", "name_unfinished", "remove_abandoned"]

_SECONDS_TO_LOCK = 60
_NAME_SHOWN = 100


def name_unfinished(target: Path) -> Path:
    """Name a new file or folder, beside the one that it is going to be."""
    return target.parent / f"{_make_start(target)}{os.urandom(8).hex()}.tmp"


def _make_start(target: Path) -> str:
    return f".{target.name[:_NAME_SHOWN]}."


def claim(descriptor: int) -> None:
    """Hold an open file or folder for as long as it is open."""
    with suppress(OSError):  # where nothing can be locked, nothing is taken for abandoned
        fcntl.flock(descriptor, fcntl.LOCK_SH)


def is_abandoned(path: Path) -> bool:
    """Tell whether nobody holds a file or folder, which is done as soon as it is there."""
    try:
        if time.time() - path.stat().st_mtime < _SECONDS_TO_LOCK:
            return False
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def remove_abandoned(target: Path) -> None:
    """Remove what killed programs left that was going to be this file or folder."""
    pattern = re.compile(re.escape(_make_start(target)) + r"[0-9a-f]{16}\.tmp")
    with suppress(OSError):
        for path in target.parent.iterdir():
            if pattern.fullmatch(path.name) and is_abandoned(path):
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        import shutil  # costs 4 ms

        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

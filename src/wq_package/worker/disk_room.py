"""How much disk a worker has for its tasks, and when that is another amount than its manager knows of (shell module).

Knows what is free and what tasks hold. The store, files that are cached and other users of the disk need no account: they
leave less free.
"""

from __future__ import annotations

from pathlib import Path

from wq_package.worker.discovery import find_disk_mb
from wq_package.worker.options import WorkerOptions

__all__ = ["DiskRoom"]

_LOOK_SECONDS = 5.0  # as often as the original worker measures
_STEP_MB = 100
_STEP_SHARE = 0.05


class DiskRoom:
    """Looks at the disk now and then.

    Args:
        folder: where tasks work.
        now: when the manager was told first, in seconds of a clock that only goes forward.
    """

    def __init__(self, options: WorkerOptions, folder: Path, now: float) -> None:
        self._options = options
        self._folder = folder
        self._looked = now

    def find_change(self, known_mb: float, held_mb: float, now: float) -> int | None:
        """Find how much there is for tasks, if that differs much from what is known; looks every few seconds only.

        Args:
            known_mb: what the manager was told.
            held_mb: what running tasks hold of it.
            now: the time.
        """
        if now - self._looked < _LOOK_SECONDS:
            return None
        self._looked = now
        # Nobody knows how much of what they hold the tasks have written already: between nothing and all of it.
        least = find_disk_mb(self._options, self._folder)
        most = find_disk_mb(self._options, self._folder, held_mb)
        found = int(min(max(known_mb, least), most))
        return found if abs(found - known_mb) > max(_STEP_MB, known_mb * _STEP_SHARE) else None

"""Outputs that a real manager wants to see while they grow (logic module).

Knows names and sizes. See work-queue.md 2.4, `update`.
"""

from __future__ import annotations

from collections.abc import Iterator

from wq_package.protocol import messages as wire
from wq_package.worker.actions import WatchedPiece

LARGEST_PIECE = 2**20
"""How much of a file is told at once; the rest follows with the next look."""


class WatchTable:
    """The watched outputs of tasks that run, and how much of each has been told and is there."""

    def __init__(self) -> None:
        self._task_ids: dict[int, int] = {}
        self._told: dict[tuple[int, str], int] = {}
        self._seen: dict[tuple[int, str], int] = {}

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Go over serials and sandbox names."""
        return iter(list(self._told))

    def begin(self, serial: int, task: wire.TaskDescription) -> None:
        """Watch the outputs of a task that asks for it; not those whose name has a blank, which no manager could read."""
        for output in task.outputs:
            if output.flags & wire.FileFlags.WATCH and output.sandbox_name.split() == [output.sandbox_name]:
                self._task_ids[serial] = task.task_id
                self._told[serial, output.sandbox_name] = 0

    def end(self, serial: int) -> None:
        """Watch a task no longer: what it has left is fetched as always."""
        if self._task_ids.pop(serial, None) is not None:
            for key in [key for key in self._told if key[0] == serial]:
                del self._told[key]
                self._seen.pop(key, None)

    def note(self, serial: int, name: str, size: int) -> bool:
        """Note the size of a file; tell whether there is something to say about it."""
        key = (serial, name)
        if key not in self._told:
            return False
        if size < self._told[key]:  # it was begun anew
            self._told[key] = 0
        if size == self._told[key]:
            return False
        self._seen[key] = size
        return True

    def take(self) -> tuple[WatchedPiece, ...]:
        """Give what has not been told, and count it as told."""
        pieces = []
        for key, size in self._seen.items():
            serial, name = key
            offset = self._told[key]
            length = min(size - offset, LARGEST_PIECE)
            self._told[key] = offset + length
            pieces.append(WatchedPiece(self._task_ids[serial], serial, name, offset, length))
        self._seen.clear()
        return tuple(pieces)

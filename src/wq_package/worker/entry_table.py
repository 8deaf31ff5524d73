"""Which cache entries there are, and who still reads them (logic module).

Knows names and keys. A name that is put again gets a new key; the old entry goes when no task reads it any more. Knows
nothing of files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wq_package.protocol import messages as wire
from wq_package.worker.actions import Action, RemoveEntry, StagedFile

__all__ = ["EntryTable"]


@dataclass(slots=True)
class _Entry:
    key: int
    readers: int = 0
    is_unlinked: bool = False


class EntryTable:
    """The entries of one session."""

    def __init__(self) -> None:
        self._by_name: dict[str, _Entry] = {}
        self._by_key: dict[int, _Entry] = {}
        self._refused: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def find_key(self, name: str) -> int | None:
        """Find the entry of a name."""
        entry = self._by_name.get(name)
        return None if entry is None else entry.key

    def store(self, name: str, key: int) -> list[Action]:
        """Give a name to a new entry."""
        actions = self.unlink(name)
        self._refused.discard(name)
        self._by_name[name] = self._by_key[key] = _Entry(key)
        return actions

    def refuse(self, name: str) -> list[Action]:
        """Note that the disk has no room for what was to have a name."""
        actions = self.unlink(name)
        self._refused.add(name)
        return actions

    def was_refused(self, name: str) -> bool:
        """Tell whether the disk had no room for what was to have a name."""
        return name in self._refused

    def unlink(self, name: str) -> list[Action]:
        """Take a name away; absent is fine."""
        self._refused.discard(name)
        entry = self._by_name.pop(name, None)
        if entry is None:
            return []
        entry.is_unlinked = True
        return self._drop_unread(entry)

    def claim(self, files: Iterable[wire.TaskFile]) -> tuple[StagedFile, ...]:
        """Keep the entries of a task's inputs, all of which are here, until `release`.

        Managers, real ones and ours, name an uncached file for one task alone: that task may have the entry itself.
        """
        staged = []
        for file in files:
            entry = self._by_name[file.cache_name]
            is_private = not file.flags & wire.FileFlags.CACHE and not entry.readers
            entry.readers += 1
            staged.append(StagedFile(entry.key, file.sandbox_name, is_private))
        return tuple(staged)

    def release(self, staged: Iterable[StagedFile]) -> list[Action]:
        """Say that a task reads its inputs no more."""
        actions: list[Action] = []
        for file in staged:
            entry = self._by_key[file.key]
            entry.readers -= 1
            actions.extend(self._drop_unread(entry))
        return actions

    def _drop_unread(self, entry: _Entry) -> list[Action]:
        if entry.readers or not entry.is_unlinked:
            return []
        del self._by_key[entry.key]
        return [RemoveEntry(entry.key)]

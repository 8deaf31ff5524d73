"""Which protocol number a worker greets with (logic module).

A manager of Work Queue closes the connection without a word on a number that is not its own, and says before only in a catalog
which that is. Ours take any.
"""

from __future__ import annotations

__all__ = ["ProtocolChoice"]

_ORDER = (9, 11, 10)


class ProtocolChoice:
    """Tries one number after the other until a manager says something."""

    def __init__(self) -> None:
        self._tried: list[int] = []
        self.number = _ORDER[0]

    def take(self, number: int) -> None:
        """Take the number that a manager has told."""
        self.number = number

    def note_heard(self) -> None:
        """Stay with what a manager has answered to."""
        self._tried.clear()

    def note_silence(self) -> bool:
        """Take another number; tell whether it has not been tried since a manager was heard."""
        self._tried.append(self.number)
        left = [number for number in _ORDER if number not in self._tried]
        if not left:
            self._tried.clear()
        self.number = left[0] if left else _ORDER[0]
        return bool(left)

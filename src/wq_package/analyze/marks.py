"""The lines of a source that have certain words, so that only those are looked at closely (logic module).

Finding a word in a text costs a hundredth of walking a syntax tree. Does not know what the words mean.
"""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Marks", "find_places", "make_plain", "mark_lines"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Marks:
    """The marked lines of a source, in order; `None` if any may be."""

    lines: tuple[int, ...] | None = None

    def __bool__(self) -> bool:
        return self.lines is None or bool(self.lines)

    def touch(self, node: ast.AST) -> bool:
        """Whether a node may stand on a marked line."""
        first = getattr(node, "lineno", None)
        if self.lines is None or first is None or getattr(node, "decorator_list", None):
            return True
        place = bisect_left(self.lines, first)
        return place < len(self.lines) and self.lines[place] <= (getattr(node, "end_lineno", None) or first)


def make_plain(source: bytes | str) -> bytes:
    """Give a source without byte order mark and with plain line ends, as Python itself reads it; ASCII is ASCII in it."""
    text = source.encode("utf-8", "replace") if isinstance(source, str) else source
    text = text.removeprefix(_BYTE_ORDER_MARK)
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text


def find_places(text: bytes, words: Sequence[bytes]) -> Iterator[int]:
    """Find all places of some words in a text, word by word."""
    for word in words:
        place = text.find(word)
        while place >= 0:
            yield place
            place = text.find(word, place + 1)


def mark_lines(text: bytes, places: Iterable[int]) -> Marks:
    """Mark the lines of some places of a text."""
    lines: list[int] = []
    line, done = 1, 0
    for place in sorted(places):
        line += text.count(b"\n", done, place)
        done = place
        if not lines or lines[-1] != line:
            lines.append(line)
    return Marks(tuple(lines))

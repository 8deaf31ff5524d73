"""Program text → its top-level statements, without parsing them (logic module: bytes in, places out).

Most of a program imports nothing. Knows strings, comments, brackets and line continuations, and so where each top-level
statement starts; does not know Python's grammar, nor what anybody looks for. Several statements may be taken for one, never
one for several.
"""

from __future__ import annotations

import re
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["IS_TRUSTWORTHY", "Outline", "scan_program"]

IS_TRUSTWORTHY = sys.version_info >= (3, 11, 5)
"""Whether this Python's `re` keeps what possessive repetitions have taken: before 3.11.5 it does not always."""

_STRING = rb"""
    \"\"\"[^"\\]*+(?:(?:\\.|"(?!""))[^"\\]*+)*+\"\"\"
  | '''[^'\\]*+(?:(?:\\.|'(?!''))[^'\\]*+)*+'''
  | "[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"
  | '[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'
  | \#[^\n]*+
"""
_HIDDEN = re.compile(_STRING, re.VERBOSE | re.DOTALL)
# One match from each place that matters to the next: what lies between is passed over without a word to Python.
_TOKEN = re.compile(
    rb"""(?:
    [^"'\#()\[\]{}\n\\]++
  | \n(?![A-Za-z_@\x80-\xff]) | \n(?=(?:elif|else|except|finally)\b)     # the statement goes on
  | \\\n
  | \([^()\[\]{}"'\#\n\\]*+\) | \[[^()\[\]{}"'\#\n\\]*+\]
  |"""
    + _STRING
    + rb""")*+
(?: ([(\[{])
  | ([)\]}])
  | (\n(?=@))
  | (\n)
  | (["'\\])       # a string without an end, or no Python
  | \Z)
""",
    re.VERBOSE | re.DOTALL,
)
_OPENS, _CLOSES, _DECORATES, _STARTS, _STRAY = range(1, 6)
_ENCODING = re.compile(rb"[^\n]*\n?[^\n]*coding[:=][ \t]*(?!utf-?8\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Outline:
    """A program as a row of pieces, each of one or more whole top-level statements.

    Attributes:
        text: the program.
        starts: where each piece starts; the first at 0.
    """

    text: bytes
    starts: array[int]

    def find_pieces(self, words: Sequence[bytes], places: Sequence[int] = ()) -> list[int]:
        """Find pieces by what is in them.

        Args:
            words: one of these stands in the code; in strings and comments it does not count.
            places: or one of these places of the text.
        """
        candidates = {number for word in words for number in self._iter_pieces_with(word)}
        found = {number for number in candidates if self._has_in_code(number, words)}
        return sorted(found.union(map(self._find_piece, places)))

    def _iter_pieces_with(self, word: bytes) -> Iterator[int]:
        place = self.text.find(word)
        while place >= 0:
            number = self._find_piece(place)
            yield number
            place = self.text.find(word, self.find_span(number)[1])

    def _find_piece(self, place: int) -> int:
        return bisect_right(self.starts, place) - 1

    def _has_in_code(self, number: int, words: Sequence[bytes]) -> bool:
        code = _HIDDEN.sub(b"''", self.text[slice(*self.find_span(number))])
        return any(word in code for word in words)

    def find_span(self, number: int) -> tuple[int, int]:
        """Tell where a piece starts and ends."""
        last = number + 1 == len(self.starts)
        return self.starts[number], len(self.text) if last else self.starts[number + 1]

    def keep(self, numbers: list[int]) -> bytes:
        """Make the program without all other pieces; every line keeps its number."""
        parts: list[bytes] = []
        done = 0
        for number in numbers:
            start, end = self.find_span(number)
            parts += (b"\n" * self.text.count(b"\n", done, start), self.text[start:end])
            done = end
        return b"".join(parts)

    def iter_others(self, numbers: list[int], size: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield all other pieces, as programs of about a size; a larger piece comes by itself.

        Yields:
            Where such a program starts, where it ends, and the program.
        """
        batch: list[tuple[int, int]] = []
        length = 0
        for start, end in self._iter_gaps(numbers, size):
            if batch and length + end - start > size:
                yield self._join(batch)
                batch, length = [], 0
            batch.append((start, end))
            length += end - start
        if batch:
            yield self._join(batch)

    def _join(self, spans: list[tuple[int, int]]) -> tuple[int, int, bytes]:
        return spans[0][0], spans[-1][1], b"".join(self.text[start:end] for start, end in spans)

    def _iter_gaps(self, numbers: list[int], size: int) -> Iterator[tuple[int, int]]:
        """Yield the stretches between some pieces, cut between pieces where they are longer than a size."""
        for number, following in zip([-1, *numbers], [*numbers, len(self.starts)], strict=True):
            start = self.find_span(number)[1] if number >= 0 else 0
            limit = self.starts[following] if following < len(self.starts) else len(self.text)
            while start < limit:
                last = bisect_right(self.starts, start + size) - 1
                end = min(
                    limit, max(self.starts[last], self.find_span(bisect_right(self.starts, start) - 1)[1])
                )
                yield start, end
                start = end


def scan_program(text: bytes) -> Outline | None:
    """Find the top-level statements of a program; `None` if it takes a parser to tell.

    Args:
        text: the program, with plain line ends and no byte order mark.
    """
    if b"\0" in text or _ENCODING.match(text):
        return None
    starts = array("q", [0])
    depth = 0
    is_decorated = text.startswith(b"@")
    for token in _TOKEN.finditer(text):
        kind = token.lastindex
        if kind is None:
            continue
        if kind == _OPENS:
            depth += 1
        elif kind == _CLOSES:
            depth -= 1
        elif kind == _STRAY:
            return None
        elif depth == 0:
            if not is_decorated:
                starts.append(token.end())
            is_decorated = kind == _DECORATES
    return Outline(text, starts) if depth == 0 else None

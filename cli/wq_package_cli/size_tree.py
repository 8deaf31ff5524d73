"""Draws where the bytes of an environment are: its folders as a tree, each with a bar (logic module, for rich)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["draw_sizes", "sum_sizes"]

_BAR = 16
_PARTS = " ▏▎▍▌▋▊▉"
_SMALLEST = 0.02
"""Of the whole; what is smaller is gathered in one line."""
_LEVELS = 6


@dataclass(slots=True)
class Folder:
    """A folder, or a file, and the bytes and files below it."""

    size: int = 0
    files: int = 0
    inside: dict[str, Folder] = field(default_factory=dict)


def sum_sizes(files: Iterable[tuple[str, int]]) -> Folder:
    """Add up the sizes of files, given by path, for every folder that they are in."""
    root = Folder()
    for path, size in files:
        place = root
        place.size += size
        place.files += 1
        for name in path.split("/"):
            place = place.inside.setdefault(name, Folder())
            place.size += size
            place.files += 1
    return root


def draw_sizes(root: Folder) -> Table:
    """Draw a folder's parts, the largest first; a chain of folders that have nothing else is one line."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    for justify in ("right", "right", "left"):
        table.add_column(justify=justify, no_wrap=True)
    table.add_column(overflow="fold")
    whole = max(root.size, 1)
    for label, part in _iter_lines(root, whole, "", 1):
        share = part.size / whole
        table.add_row(f"{part.size / 1e6:.1f} MB", f"{share:.0%}", _draw_bar(share), Text(label))
    return table


def _iter_lines(folder: Folder, whole: int, guide: str, level: int) -> Iterator[tuple[str, Folder]]:
    shown, rest = [], Folder()
    for name, part in sorted(folder.inside.items(), key=lambda item: (-item[1].size, item[0])):
        if part.size >= _SMALLEST * whole:
            shown.append(_follow(name, part))
        else:
            rest.size += part.size
            rest.files += part.files
    if rest.files and shown:
        shown.append((f"{rest.files} smaller files", rest))
    for number, (label, part) in enumerate(shown, 1):
        is_last = number == len(shown)
        yield guide + ("└─\N{NO-BREAK SPACE}" if is_last else "├─\N{NO-BREAK SPACE}") + label, part
        if level < _LEVELS:
            yield from _iter_lines(part, whole, guide + ("   " if is_last else "│  "), level + 1)


def _follow(name: str, folder: Folder) -> tuple[str, Folder]:
    while len(folder.inside) == 1:
        inner, folder = next(iter(folder.inside.items()))
        name = f"{name}/{inner}"
    return _make_printable(name) + ("/" if folder.inside else ""), folder


def _draw_bar(share: float) -> str:
    eighths = round(share * _BAR * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + (_PARTS[part] if part else "")).ljust(_BAR)


def _make_printable(label: str) -> str:
    return label if label.isprintable() else ascii(label)[1:-1]

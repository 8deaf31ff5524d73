"""One source → its imports, whatever the source is like (logic module).

Decides how much of a source is parsed, and what is taken of one that cannot be. Does not know whose an import is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wq_package.analyze.analysis import Location, Problem, Severity
from wq_package.analyze.apps import AppNode, find_apps, has_app_marker
from wq_package.analyze.dynamic import CALL_WORDS, hides_calls, mark_calls
from wq_package.analyze.extract import Extraction, extract_imports
from wq_package.analyze.implied import find_implied_places
from wq_package.analyze.marks import Marks, make_plain, mark_lines
from wq_package.analyze.parsing import MAX_PARSED, is_valid, parse_loosely, parse_source
from wq_package.analyze.sources import SourceFile
from wq_package.analyze.target import Target
from wq_package.errors import SourceSyntaxError

if TYPE_CHECKING:
    from wq_package.analyze.outline import Outline

__all__ = ["Unit", "open_unit"]

_NOWHERE = Marks(())
_CHECKED = 256 * 1024
"""How much is checked at once: enough to be worth the call, little enough to need no memory to speak of."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One source with its imports.

    Attributes:
        implied: the lines that may imply anything that no import shows.
        problems: what was wrong with it when it was read and parsed.
    """

    source: SourceFile
    extraction: Extraction
    implied: Marks = _NOWHERE
    problems: tuple[Problem, ...] = ()

    def find_apps(self) -> list[AppNode]:
        """Find the Parsl apps of the source."""
        if not has_app_marker(self.source.text):
            return []
        return find_apps(self.extraction.tree, self.extraction.aliases)


def open_unit(source: SourceFile, target: Target, *, is_lenient: bool, is_whole: bool) -> Unit:
    """Parse a source.

    Args:
        source: the source.
        target: the Python that it will run on.
        is_whole: all of it is analysed, not one app: then the statements that import will do.
        is_lenient: of a source that cannot be parsed, take the plain import statements.

    Raises:
        SourceSyntaxError: it cannot be parsed by this Python, which is also the target's.
    """
    text = make_plain(source.text)
    places = find_implied_places(text)
    implied = mark_lines(text, places)
    problems = source.problems
    try:
        if is_whole and isinstance(source.text, bytes) and not has_app_marker(text):
            extraction = _extract_outline(text, source.path, places, target)
            if extraction is not None:
                return Unit(source, extraction, implied, problems)
        tree = parse_source(source.text, source.path)
    except SourceSyntaxError as error:
        if not is_lenient and target.is_running:
            raise
        tree = parse_loosely(text.decode("utf-8", "replace"))
        problem = "cannot be parsed; only its plain import statements are taken"
        severity = Severity.ERROR if target.is_running else Severity.WARNING
        place = source.locate(error.line) if error.line else Location(source.path)
        problems += (Problem(severity, f"{problem} ({error.text})", place),)
    return Unit(source, extract_imports(tree, target, calls=mark_calls(text)), implied, problems)


def _extract_outline(text: bytes, path: str, places: Sequence[int], target: Target) -> Extraction | None:
    """Parse only the statements that import; `None` if that would not do, or if any statement is not valid.

    Raises:
        SourceSyntaxError: a statement is not valid, and the whole is too large to be parsed.
    """
    from wq_package.analyze.outline import IS_TRUSTWORTHY, scan_program

    outline = scan_program(text) if IS_TRUSTWORTHY else None
    if outline is None:
        return None
    pieces = outline.find_pieces(CALL_WORDS, places)
    try:
        tree = parse_source(outline.keep(pieces), path)
    except SourceSyntaxError:
        return None
    extraction = extract_imports(tree, target, calls=mark_calls(text))
    if hides_calls(extraction.aliases) or not _check_others(outline, pieces, path):
        return None
    return extraction


def _check_others(outline: Outline, pieces: list[int], path: str) -> bool:
    """Check the statements that are not parsed; one that is larger than all that may be parsed is left alone."""
    for start, end, program in outline.iter_others(pieces, _CHECKED):
        if len(program) > MAX_PARSED or is_valid(program):
            continue
        if len(outline.text) <= MAX_PARSED:
            return False
        parse_source(b"\n" * outline.text.count(b"\n", 0, start) + outline.text[start:end], path)
    return True

"""One source → its imports, whatever the source is like (logic module).

Decides how much of a source is parsed, and what is taken of one that cannot be. Does not know whose an import is.
"""

from __future__ import annotations

from dataclasses import dataclass

from wq_package.analyze.analysis import Location, Problem, Severity
from wq_package.analyze.apps import AppNode, find_apps
from wq_package.analyze.extract import Extraction, extract_imports
from wq_package.analyze.parsing import parse_loosely, parse_source
from wq_package.analyze.sources import SourceFile
from wq_package.analyze.target import Target
from wq_package.errors import SourceSyntaxError

__all__ = ["Unit", "open_unit"]


@dataclass(frozen=True, slots=True)
class Unit:
    """One source with its imports.

    Attributes:
        problems: what was wrong with it when it was read and parsed.
    """

    source: SourceFile
    extraction: Extraction
    problems: tuple[Problem, ...] = ()

    def find_apps(self) -> list[AppNode]:
        """Find the Parsl apps of the source; nearly all sources lack the word that every app decorator ends in."""
        text = self.source.text
        has_word = b"_app" in text if isinstance(text, bytes) else "_app" in text
        return find_apps(self.extraction.tree, self.extraction.aliases) if has_word else []


def open_unit(source: SourceFile, target: Target, *, is_lenient: bool) -> Unit:
    """Parse a source.

    Args:
        source: the source.
        target: the Python that it will run on.
        is_lenient: of a source that cannot be parsed, take the plain import statements.

    Raises:
        SourceSyntaxError: it cannot be parsed by this Python, which is also the target's.
    """
    problems = source.problems
    try:
        tree = parse_source(source.text, source.path)
    except SourceSyntaxError as error:
        if not is_lenient and target.is_running:
            raise
        text = source.text if isinstance(source.text, str) else source.text.decode("utf-8", "replace")
        tree = parse_loosely(text)
        problem = "cannot be parsed; only its plain import statements are taken"
        severity = Severity.ERROR if target.is_running else Severity.WARNING
        place = source.locate(error.line) if error.line else Location(source.path)
        problems += (Problem(severity, f"{problem} ({error.text})", place),)
    return Unit(source, extract_imports(tree, target, source=source.text), problems)

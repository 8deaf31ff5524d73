"""The one place that prints: data on standard output, words on standard error (shell module).

rich is imported only when something is to be drawn on a terminal, so that quiet commands start fast.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from wq_package.errors import WQPackageError

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Printer:
    """Prints results, words and errors.

    Attributes:
        out: where data goes.
        err: where words go.
    """

    out: IO[str]
    err: IO[str]

    def print_data(self, text: str) -> None:
        """Write data to standard output, with a final newline."""
        print(text.rstrip("\n"), file=self.out, flush=True)

    def print_json(self, value: object) -> None:
        """Write a value as JSON to standard output."""
        print(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False), file=self.out, flush=True)

    def print_words(self, text: str) -> None:
        """Write words for people to standard error."""
        print(text, file=self.err, flush=True)

    def print_error(self, error: WQPackageError) -> None:
        """Write one error, and its hint on a line of its own."""
        self.print_words(f"error: {error}")
        if error.hint:
            self.print_words(f"hint: {error.hint}")

    @property
    def is_terminal(self) -> bool:
        """Whether progress may be drawn on standard error."""
        return self.err.isatty() and os.environ.get("TERM") != "dumb"

    def make_console(self, *, data: bool = False) -> Console:
        """Make a rich console on standard error, or on standard output for data; obeys `NO_COLOR`."""
        from rich.console import Console

        return Console(file=self.out if data else self.err)


def make_printer() -> Printer:
    """Make the printer of this process."""
    return Printer(sys.stdout, sys.stderr)

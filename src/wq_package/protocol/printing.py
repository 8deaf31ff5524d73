"""What peers say, made fit to be shown to people (logic module).

A host name or a sentence from the wire may hold anything: a line end that forges a line of the log, or a sequence that a
terminal obeys.
"""

from __future__ import annotations


def escape_controls(text: str) -> str:
    """Write what cannot be printed as Python does in a literal: with a backslash."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape", "backslashreplace").decode("ascii")

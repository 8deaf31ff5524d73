"""What was gathered → what the analysis says of it: pins with their reasons, problems, the spec (logic module).

Knows how an answer is told. Does not know how imports are found or resolved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wq_package.analyze.analysis import (
    Distribution,
    ImportUse,
    Location,
    Origin,
    Problem,
    Resolver,
    Severity,
)
from wq_package.analyze.closure import Pin
from wq_package.analyze.metadata import Need
from wq_package.analyze.resolve import Answer
from wq_package.errors import AnalysisError, UnresolvedImportsError

__all__ = ["Doubts", "Wanted", "describe_pin", "explain_doubt", "find_unpinned", "raise_errors"]

Doubts = Sequence[tuple[ImportUse, Answer]]
"""Imports of one name about which there is one and the same doubt."""


@dataclass(slots=True)
class Wanted:
    """One distribution that the code wants, and where."""

    need: Need
    resolver: Resolver
    detail: str
    locations: list[Location] = field(default_factory=list)


def find_unpinned(pins: Mapping[str, Pin], wanted: Mapping[str, Wanted]) -> Iterator[Problem]:
    """Tell what was asked for by name but is not installed, so that no version of it is known."""
    for key, entry in wanted.items():
        pin = pins.get(key)
        if pin is not None and pin.version is None and entry.resolver is not Resolver.TABLE:
            text = f"`{pin.name}` is not installed here; it goes into the spec without a version"
            hint = f"install `{pin.name}` here, or give a version"
            yield Problem(Severity.WARNING, text, next(iter(entry.locations), None), hint)


def raise_errors(problems: Iterable[Problem], doubts: Iterable[Doubts]) -> None:
    """Raise what is missing, all of it at once.

    Raises:
        UnresolvedImportsError: imports belong to nothing that can be found, and nothing else is wrong.
        AnalysisError: something else is wrong.
    """
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if not errors:
        return
    hint = "; ".join(dict.fromkeys(problem.hint for problem in errors if problem.hint)) or None
    issues = tuple(dict.fromkeys(map(str, errors)))
    if len(errors) == sum(answer.origin is Origin.UNKNOWN for (_, answer), *_ in doubts):
        raise UnresolvedImportsError(issues, hint=hint)
    raise AnalysisError(
        "\n".join(["the analysis is incomplete:", *(f"  - {issue}" for issue in issues)]), hint=hint
    )


def describe_pin(pin: Pin, wanted: Wanted | None) -> Distribution:
    """Say of one pin why it is there."""
    return Distribution(
        name=pin.name,
        version=pin.version,
        requirement=pin.requirement,
        resolver=pin.resolver or (wanted.resolver if wanted else Resolver.REQUIRED),
        detail=wanted.detail if wanted else "",
        imported_at=tuple(dict.fromkeys(wanted.locations)) if wanted else (),
        required_by=tuple(sorted(pin.required_by)),
        conda=pin.conda,
    )


def explain_doubt(doubts: Doubts) -> Problem:
    """Tell once, with its first place, what is a guess or not known about an import name."""
    use, answer = doubts[0]
    more = f" (and {len(doubts) - 1} more)" if len(doubts) > 1 else ""
    if answer.origin is not Origin.UNKNOWN:
        text = f"`{use.module}` {answer.warning}{more}"
        return Problem(Severity.WARNING, text, use.location, "check it, or say it with `--map`")
    if not answer.candidates:
        hint = "install what provides it, name it with `--map IMPORT=DISTRIBUTION`, or use `--keep-going`"
        return Problem(Severity.ERROR, f"nothing here provides `{use.module}`{more}", use.location, hint)
    names = ", ".join(f"`{candidate}`" for candidate in answer.candidates[:8])
    text = f"`{use.module}` may come from several distributions: {names}{more}"
    hint = f"choose with `--map {use.module.partition('.')[0]}={answer.candidates[0]}`"
    return Problem(Severity.ERROR, text, use.location, hint)

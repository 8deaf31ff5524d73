"""Whether pins are complete: nothing that a pinned distribution requires is missing (logic module).

Knows PEP 508 and markers of a target Python. Knows nothing of indexes: what is missing, a resolver must find.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from wq_package.spec.environment import canonicalize_name

__all__ = ["find_missing", "is_wanted"]


def is_wanted(requirement: str, python: str) -> bool:
    """Tell whether a requirement's marker holds for a Python version."""
    try:
        parsed = Requirement(requirement)
    except InvalidRequirement:
        return True
    return parsed.marker is None or parsed.marker.evaluate(dict(_make_environment(python, "")))


def find_missing(pins: Sequence[str], requires: Mapping[str, Sequence[str]], python: str) -> tuple[str, ...]:
    """Find what the pinned distributions require and no pin satisfies.

    Args:
        pins: PEP 508 texts with exact versions.
        requires: what each pinned distribution requires, by canonical name.
        python: version of the target Python.
    """
    parsed = [Requirement(pin) for pin in pins]
    versions = {canonicalize_name(pin.name): _find_version(pin) for pin in parsed}
    extras: dict[str, set[str]] = {}
    for pin in parsed:
        extras.setdefault(canonicalize_name(pin.name), set()).update(pin.extras)
    waiting = [(name, extra) for name in versions for extra in ("", *extras[name])]
    seen = set(waiting)
    missing: list[str] = []
    while waiting:
        name, extra = waiting.pop()
        for needed in _iter_needed(requires.get(name, ()), python, extra):
            target = canonicalize_name(needed.name)
            if target not in versions or not _fits(needed, versions[target]):
                missing.append(str(needed))
                continue
            new = {(target, each) for each in needed.extras} - seen
            seen |= new
            waiting += new
    return tuple(sorted(set(missing)))


def _iter_needed(requires: Sequence[str], python: str, extra: str) -> Iterator[Requirement]:
    environment = dict(_make_environment(python, extra))
    for text in requires:
        try:
            needed = Requirement(text)
        except InvalidRequirement:
            continue  # of an old distribution; what installed it did not care either
        if needed.marker is None or needed.marker.evaluate(environment):
            yield needed


def _make_environment(python: str, extra: str) -> Iterator[tuple[str, str]]:
    for name, value in default_environment().items():
        yield name, str(value)
    yield "python_full_version", python
    yield "python_version", ".".join(python.split(".")[:2])
    yield "implementation_version", python
    yield "extra", extra


def _find_version(pin: Requirement) -> Version | None:
    for specifier in pin.specifier:
        try:
            return Version(specifier.version)
        except InvalidVersion:
            return None
    return None


def _fits(needed: Requirement, version: Version | None) -> bool:
    return version is None or needed.specifier.contains(version, prereleases=True)

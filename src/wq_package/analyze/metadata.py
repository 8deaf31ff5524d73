"""The text of installed metadata: METADATA, Requires-Dist, direct_url.json, .pth and editable finders (logic module).

Reads only what an analysis needs, with nothing heavy imported: the `packaging` library is called for those environment
markers that are more than a plain `extra == "x"`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache

from wq_package.analyze.target import Target
from wq_package.spec.environment import canonicalize_name

__all__ = [
    "Metadata",
    "Need",
    "iter_needs",
    "parse_editable_folder",
    "parse_finder_mapping",
    "parse_metadata",
    "parse_need",
]

_NEED = re.compile(
    r"^\s*(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[(?P<extras>[^\]]*)\])?"
    r"\s*(?P<constraint>[^;]*?)\s*(?:;\s*(?P<marker>.*))?$"
)
_EXTRA = re.compile(r"""^extra\s*==\s*['"](?P<a>[^'"]+)['"]$|^['"](?P<b>[^'"]+)['"]\s*==\s*extra$""")
_LAST_EXTRA = re.compile(r"""^.*\band\s+extra\s*==\s*['"](?P<a>[^'"]+)['"]$""", re.DOTALL)
_MAPPING = re.compile(r"^MAPPING\s*(?::[^=]*)?=\s*(\{.*?\})\s*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a distribution says about itself."""

    name: str
    version: str
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Need:
    """A requirement of a distribution, or one that the user gave."""

    name: str
    extras: frozenset[str] = frozenset()
    constraint: str = ""
    marker: str = ""

    @property
    def key(self) -> str:
        """The canonical name."""
        return canonicalize_name(self.name)


def parse_metadata(text: str) -> Metadata | None:
    """Read the head of a METADATA or PKG-INFO file; `None` if it names no distribution or version."""
    name = version = ""
    requires: list[str] = []
    for line in text.splitlines():
        if not line:
            break
        key, _, value = line.partition(":")
        match key.lower():
            case "name":
                name = value.strip()
            case "version":
                version = value.strip()
            case "requires-dist":
                requires.append(value.strip())
            case _:
                pass
    return Metadata(name, version, tuple(requires)) if name and version else None


@lru_cache(maxsize=4096)
def parse_need(text: str) -> Need | None:
    """Read one PEP 508 requirement; `None` if it is none."""
    found = _NEED.match(text.strip())
    if not found:
        return None
    extras = frozenset(
        canonicalize_name(extra.strip()) for extra in (found["extras"] or "").split(",") if extra.strip()
    )
    return Need(found["name"], extras, found["constraint"].strip("() "), (found["marker"] or "").strip())


def iter_needs(requires: Iterable[str], extras: frozenset[str], target: Target) -> list[Need]:
    """Tell what a distribution requires on a target when the given extras are asked for."""
    needs = (parse_need(text) for text in requires)
    return [need for need in needs if need and _holds(need.marker, extras, target)]


def _holds(marker: str, extras: frozenset[str], target: Target) -> bool:
    if not marker:
        return True
    plain = _EXTRA.match(marker)
    if plain:
        return canonicalize_name(plain["a"] or plain["b"]) in extras
    last = _LAST_EXTRA.match(marker)
    if last and not re.search(r"\bor\b", marker) and canonicalize_name(last["a"]) not in extras:
        return False
    return _evaluate(marker, extras, target)


def _evaluate(marker: str, extras: frozenset[str], target: Target) -> bool:
    from packaging.markers import InvalidMarker, Marker, default_environment

    environment: dict[str, str | AbstractSet[str]] = dict(default_environment().items())  # type: ignore[arg-type]  # a TypedDict of texts
    if not target.is_running:
        environment["python_version"] = "{}.{}".format(*target.version[:2])
        environment["python_full_version"] = "{}.{}.{}".format(*target.version)
    try:
        parsed = Marker(marker)
        return any(parsed.evaluate({**environment, "extra": extra}) for extra in [*sorted(extras), ""])
    except (InvalidMarker, ValueError):
        return True  # a marker that nobody can read excludes nothing


def parse_editable_folder(text: str) -> str | None:
    """Read the project folder from a direct_url.json; `None` if the distribution is not an editable install."""
    try:
        document = json.loads(text)
        is_editable = document["dir_info"]["editable"]
        url = document["url"]
    except (ValueError, KeyError, TypeError):
        return None
    if not is_editable or not isinstance(url, str) or not url.startswith("file://"):
        return None
    from urllib.parse import unquote

    return unquote(url.removeprefix("file://"))


def parse_finder_mapping(text: str) -> dict[str, str]:
    """Read which folder each package is found in from setuptools' `__editable___*_finder.py`."""
    found = _MAPPING.search(text)
    if not found:
        return {}
    try:
        mapping = ast.literal_eval(found.group(1))
    except (ValueError, SyntaxError):
        return {}
    return {name: path for name, path in mapping.items() if isinstance(name, str) and isinstance(path, str)}

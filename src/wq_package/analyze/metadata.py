"""The text of installed metadata: METADATA, Requires-Dist, direct_url.json, .pth and editable finders (logic module).

Reads only what an analysis needs, with nothing heavy imported: the `packaging` library is called for those environment
markers that are more than a plain `extra == "x"`.
"""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from wq_package.analyze.target import Target
from wq_package.spec.environment import canonicalize_name

__all__ = [
    "Metadata",
    "Need",
    "is_requirement",
    "iter_needs",
    "parse_editable_folder",
    "parse_finder_mapping",
    "parse_install_plan",
    "parse_meson_loader",
    "parse_metadata",
    "parse_need",
    "parse_planned_files",
]

_NEED = re.compile(
    r"^\s*(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[(?P<extras>[^\]]*)\])?"
    r"\s*(?P<constraint>[^;]*?)\s*(?:;\s*(?P<marker>.*))?$"
)
_PLAIN_NEED = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:==\d+(?:\.\d+)*)?$")
_CLAUSE = re.compile(
    r"""^(?P<name>[a-z_]+)\s*(?P<sign>[<>=!]=|<|>)\s*(?P<quote>['"])(?P<value>[^'"]*)(?P=quote)$"""
)
_PLAIN_VERSION = re.compile(r"^\d{1,6}(?:\.\d{1,6})*$")
_OPERATORS: dict[str, Callable[[Any, Any], object]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MESON_FINDER = re.compile(
    r"MesonpyMetaFinder\(\s*(?:'[^']*',\s*)?\{[^}]*\},\s*(?P<folder>'[^'\n]*'|\"[^\"\n]*\")"
)
_MAPPING = re.compile(r"^MAPPING\s*(?::[^=]*)?=\s*(\{.*?\})\s*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a distribution says about itself."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    requires_python: str = ""


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
    name = version = python = ""
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
            case "requires-python":
                python = value.strip()
            case _:
                pass
    return Metadata(name, version, tuple(requires), python) if name and version else None


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


def is_requirement(text: str) -> bool:
    """Tell whether a text is a PEP 508 requirement, all of it."""
    if _PLAIN_NEED.match(text):
        return True
    from packaging.requirements import InvalidRequirement, Requirement  # costs 20 ms

    try:
        Requirement(text)
    except InvalidRequirement:
        return False
    return True


def iter_needs(requires: Iterable[str], extras: frozenset[str], target: Target) -> list[Need]:
    """Tell what a distribution requires on a target when the given extras are asked for."""
    needs = (parse_need(text) for text in requires)
    return [need for need in needs if need and _holds(need.marker, extras, target)]


def _holds(marker: str, extras: frozenset[str], target: Target) -> bool:
    """Evaluate a marker; those that are plain comparisons joined by `and`, which is nearly all, need no library."""
    if not marker:
        return True
    if " or " not in marker and "(" not in marker:
        clauses = [_CLAUSE.match(part.strip()) for part in marker.split(" and ")]
        answers = [_compare(clause, extras, target) if clause else None for clause in clauses]
        if False in answers or None not in answers:
            return False not in answers
    return _evaluate(marker, extras, target)


def _compare(clause: re.Match[str], extras: frozenset[str], target: Target) -> bool | None:
    """Evaluate one comparison; `None` if it is not a plain one."""
    name, sign, value = clause["name"], clause["sign"], clause["value"]
    if name == "extra":
        return {"==": canonicalize_name(value) in extras, "!=": canonicalize_name(value) not in extras}.get(
            sign
        )
    if name in ("python_version", "python_full_version"):
        numbers = target.version if name == "python_full_version" else target.version[:2]
        return _compare_versions(numbers, sign, value)
    known = {"sys_platform": target.platform, "platform_system": target.system, "os_name": target.os_name}
    if name not in known:
        return None
    return {"==": known[name] == value, "!=": known[name] != value}.get(sign)


def _compare_versions(numbers: tuple[int, ...], sign: str, value: str) -> bool | None:
    if sign not in _OPERATORS or not _PLAIN_VERSION.match(value):
        return None
    other = tuple(map(int, value.split(".")))
    length = max(len(numbers), len(other))
    left, right = (parts + (0,) * (length - len(parts)) for parts in (numbers, other))
    return bool(_OPERATORS[sign](left, right))


def _evaluate(marker: str, extras: frozenset[str], target: Target) -> bool:
    from packaging.markers import InvalidMarker, Marker, default_environment  # costs 20 ms

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


def parse_meson_loader(text: str) -> str | None:
    """Read the build folder from meson-python's `_*_editable_loader.py`; `None` if it names none."""
    found = _MESON_FINDER.search(text)
    try:
        return str(ast.literal_eval(found["folder"])) if found else None
    except (ValueError, SyntaxError):
        return None


def parse_install_plan(text: str) -> dict[str, str]:
    """Read which folder or file each package is found in from Meson's `intro-install_plan.json`."""
    places: dict[str, str] = {}
    for source, target in parse_planned_files(text):
        parts = target.split("/")
        if parts[1:] == ["__init__.py"]:
            places[parts[0]] = source.rpartition("/")[0]
        elif len(parts) == 1 and target.endswith(".py"):
            places[target.removesuffix(".py")] = source
    return places


def parse_planned_files(text: str) -> list[tuple[str, str]]:
    """Read every file that Meson would install for Python: where it is, and where it goes below `site-packages`."""
    try:
        files = [
            (source, str(entry["destination"]).split("/", 1))
            for group in json.loads(text).values()
            for source, entry in group.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return [(source, parts[1]) for source, parts in files if parts[0].startswith("{py_") and parts[1:]]


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

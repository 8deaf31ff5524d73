"""Which package of an environment owns a path, and which Python distributions conda brings (logic module).

Two conda packages may carry the same path; conda lets the one that is installed later win, dependencies first. Knows nothing
of files on disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from wq_package.build.conda.extracted import ExtractedPackage
from wq_package.spec.environment import canonicalize_name

__all__ = ["Ownership", "find_ownership", "sort_dependencies_first"]

_INFO = re.compile(r"(?P<name>[^/]+?)-(?P<version>[^-/]+)\.(?:dist-info|egg-info)(?:/.*)?")


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns what.

    Attributes:
        owners: name of the conda package that owns a path.
        shadowed: by package, the paths that another one owns.
        distributions: version of each Python distribution that a conda package brings, by canonical name.
    """

    owners: Mapping[str, str]
    shadowed: Mapping[str, frozenset[str]]
    distributions: Mapping[str, str] = field(default_factory=dict)


def find_ownership(packages: Sequence[ExtractedPackage], reserved: Iterable[str] = ()) -> Ownership:
    """Find the owner of every path.

    Args:
        packages: what the environment holds.
        reserved: paths that belong to the archive itself.
    """
    reserved = frozenset(reserved)
    owners: dict[str, str] = {}
    shadowed: dict[str, set[str]] = {package.record.name: set() for package in packages}
    for package in sort_dependencies_first(packages):
        name = package.record.name
        for path in package.iter_targets():
            if path in reserved:
                shadowed[name].add(path)
                continue
            if path in owners:
                shadowed[owners[path]].add(path)
            owners[path] = name
    return Ownership(
        owners, {name: frozenset(paths) for name, paths in shadowed.items()}, _find_distributions(packages)
    )


def _find_distributions(packages: Iterable[ExtractedPackage]) -> dict[str, str]:
    found: dict[str, str] = {}
    for package in packages:
        start = f"{package.site_packages}/"
        for path in package.iter_targets():
            match = _INFO.fullmatch(path.removeprefix(start)) if path.startswith(start) else None
            if match:
                found[canonicalize_name(match["name"])] = match["version"]
    return found


def sort_dependencies_first(packages: Sequence[ExtractedPackage]) -> list[ExtractedPackage]:
    """Sort packages so that each comes after what it depends on; among equals, by name."""
    by_name = {package.record.name: package for package in packages}
    ordered: dict[str, ExtractedPackage] = {}
    begun: set[str] = set()
    for start in sorted(by_name):
        waiting = [(start, False)]
        while waiting:
            name, is_expanded = waiting.pop()
            if is_expanded:
                ordered[name] = by_name[name]
            elif name in by_name and name not in begun:
                begun.add(name)
                depends = sorted({text.split()[0] for text in by_name[name].record.depends}, reverse=True)
                waiting += [(name, True), *((depend, False) for depend in depends)]
    return list(ordered.values())

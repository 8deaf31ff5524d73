"""What differs between two environments: packages, their versions, their files (logic module).

Values in, a value out. Where the values come from is the business of `wq_package.build.holdings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Comparison", "Holdings", "Package", "PackageChange", "compare"]


@dataclass(frozen=True, slots=True)
class Package:
    """A package of an environment.

    Attributes:
        kind: of its layer: `interpreter`, `wheel`, `conda` or `local`.
        version: and build, if it has one.
        files: what tells each file's content from another, by path.
    """

    kind: str
    name: str
    version: str
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an environment holds: its packages, by canonical name."""

    packages: Mapping[str, Package]


@dataclass(frozen=True, slots=True)
class PackageChange:
    """A package that both environments have, and not alike.

    Attributes:
        old: kind and version in the first environment; `new` in the second.
        files: how many files were added, removed or changed.
    """

    name: str
    old: Package
    new: Package
    files: int

    @property
    def is_same_version(self) -> bool:
        """Whether only files differ."""
        return (self.old.kind, self.old.version) == (self.new.kind, self.new.version)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a second environment differs from a first; everything is sorted by name.

    Attributes:
        files_added: paths that only the second has.
        files_removed: paths that only the first has.
        files_changed: paths that both have, with other contents.
    """

    added: tuple[Package, ...]
    removed: tuple[Package, ...]
    changed: tuple[PackageChange, ...]
    files_added: int
    files_removed: int
    files_changed: int

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.added or self.removed or self.changed)


def compare(first: Holdings, second: Holdings) -> Comparison:
    """Compare two environments."""
    old, new = first.packages, second.packages
    both = sorted(old.keys() & new.keys())
    added, removed, changed = _count_files(_join_files(first), _join_files(second))
    changes = [_compare_packages(old[name], new[name]) for name in both]
    return Comparison(
        added=tuple(new[name] for name in sorted(new.keys() - old.keys())),
        removed=tuple(old[name] for name in sorted(old.keys() - new.keys())),
        changed=tuple(change for change in changes if change.files or not change.is_same_version),
        files_added=added,
        files_removed=removed,
        files_changed=changed,
    )


def _join_files(holdings: Holdings) -> dict[str, str]:
    return {path: mark for each in holdings.packages.values() for path, mark in each.files.items()}


def _compare_packages(old: Package, new: Package) -> PackageChange:
    return PackageChange(new.name, old, new, sum(_count_files(old.files, new.files)))


def _count_files(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[int, int, int]:
    changed = sum(old[path] != new[path] for path in old.keys() & new.keys())
    return len(new.keys() - old.keys()), len(old.keys() - new.keys()), changed

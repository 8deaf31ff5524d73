"""Module name → file, as Python's own path finder would, without running anything (shell module: lists folders).

Knows packages, modules, extension modules and namespace portions along a list of folders. Does not know whose they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["FolderCache", "FoundModule", "find_module"]

_EXTENSION = re.compile(r"^(?P<name>[^.]+)(?:\.(?:cpython|pypy|abi3|cp)[^/]*)?\.(?:so|pyd|dll)$")
_MAX_LOOK = 3


@dataclass(frozen=True, slots=True)
class FoundModule:
    """The deepest part of a dotted name that is a file.

    Attributes:
        name: the part of the dotted name that was found.
        file: its file; for a namespace package, which has none, its first folder.
        root: the folder of the search path that it was found under; empty for an explicit location.
        is_package: it is a package with an `__init__`.
        portions: for a namespace package, all its folders.
        parents: files of the packages above it, outermost first.
    """

    name: str
    file: str
    root: str
    is_package: bool = False
    portions: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()

    @property
    def is_namespace(self) -> bool:
        """Whether it is a namespace package: folders without a file."""
        return bool(self.portions)


@dataclass(slots=True)
class FolderCache:
    """Listings of folders; each folder is listed once.

    Attributes:
        shared: a cache that lives longer, and the folders whose listings belong there: what is installed is indexed anew
            when it changes, what the user is working on has to be seen as it is now.
    """

    listings: dict[str, dict[str, str]] = field(default_factory=dict)
    shared: tuple[FolderCache, tuple[str, ...]] | None = None

    def list_folder(self, folder: str) -> dict[str, str]:
        """Map module names to the entries that could hold them: `{"numpy": "numpy/", "six": "six.py"}`."""
        if self.shared is not None and folder.startswith(self.shared[1]):
            return self.shared[0].list_folder(folder)
        listing = self.listings.get(folder)
        if listing is None:
            listing = self.listings[folder] = _list_folder(folder)
        return listing


def _list_folder(folder: str) -> dict[str, str]:
    """Python prefers, for one name: package, then extension module, then source, then bytecode."""
    listing: dict[str, tuple[int, str]] = {}
    try:
        entries = os.listdir(folder)  # noqa: PTH208 - a hot path
    except OSError:
        return {}
    for entry in entries:
        name, dot, suffix = entry.partition(".")
        if not dot:
            rank = (0, entry + "/")
        elif suffix in ("py", "pyw"):
            rank = (2, entry)
        elif _EXTENSION.match(entry):
            rank = (1, entry)
        elif suffix == "pyc":
            rank = (3, entry)
        else:
            continue
        # A package and a module of one name both stay known: the folder may turn out to be only a namespace.
        key = name if rank[0] else f"{name}/"
        if key not in listing or rank < listing[key]:
            listing[key] = rank
    return {key: entry for key, (_, entry) in listing.items()}


def find_module(name: str, path: Sequence[str], cache: FolderCache) -> FoundModule | None:
    """Find the deepest file that importing a dotted name runs.

    Args:
        name: the dotted name; its tail may be an attribute rather than a module.
        path: folders to search, in order.
        cache: listings already made.
    """
    parts = name.split(".")
    found: FoundModule | None = None
    folders: Sequence[str] = path
    parents: tuple[str, ...] = ()
    for depth, part in enumerate(parts):
        step = _find_in(part, folders, cache)
        if step is None:
            break
        parents += (found.file,) if found and not found.is_namespace else ()
        root = step.root if found is None else found.root or step.root
        if found is not None and found.is_namespace:
            root = _find_root(step.root, found.portions, path) or root
        found = FoundModule(
            ".".join(parts[: depth + 1]), step.file, root, step.is_package, step.portions, parents
        )
        if not (step.is_package or step.portions):
            break
        folders = step.portions or (os.path.dirname(step.file),)  # noqa: PTH120 - a hot path
    return found


def _find_root(folder: str, portions: tuple[str, ...], path: Sequence[str]) -> str | None:
    """Tell under which folder of the search path a namespace portion lies."""
    if folder not in portions:
        return None
    return next((root for root in path if folder.startswith(root.rstrip("/") + "/")), None)


def _find_in(part: str, folders: Sequence[str], cache: FolderCache) -> FoundModule | None:
    portions: list[str] = []
    for folder in folders:
        listing = cache.list_folder(folder)
        entry = listing.get(f"{part}/")
        if entry is not None:
            package = f"{folder}/{part}"
            inner = cache.list_folder(package)
            if "__init__" in inner:
                return FoundModule(part, f"{package}/{inner['__init__']}", folder, is_package=True)
            if part not in listing and _has_code(package, cache, _MAX_LOOK):
                portions.append(package)
        if part in listing:
            return FoundModule(part, f"{folder}/{listing[part]}", folder)
    if portions:
        return FoundModule(part, portions[0], os.path.dirname(portions[0]), portions=tuple(portions))  # noqa: PTH120 - a hot path
    return None


def _has_code(folder: str, cache: FolderCache, depth: int) -> bool:
    """Whether there are modules in a folder or a little below: a folder of data is nobody's namespace package."""
    listing = cache.list_folder(folder)
    if any(not key.endswith("/") for key in listing):
        return True
    return depth > 0 and any(
        _has_code(f"{folder}/{key[:-1]}", cache, depth - 1) for key in listing if key != "__pycache__/"
    )

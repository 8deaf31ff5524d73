"""Local modules → local source of the spec (shell module: looks at folders, computes digests).

Knows how much of a folder travels: the outermost regular package, or the module file. Does not know who imports it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from wq_package.analyze.finder import FoundModule
from wq_package.spec.environment import LocalSource
from wq_package.spec.local_source import digest_local_source

__all__ = ["LocalCollector"]


@dataclass(slots=True)
class LocalCollector:
    """Collects local modules; each import name once, the first one found."""

    places: dict[str, str] = field(default_factory=dict)

    def add(self, found: FoundModule) -> None:
        """Take a local module, with the package that it is part of."""
        name, place = _find_place(found)
        self.places.setdefault(name, place)

    def list_sources(self) -> tuple[LocalSource, ...]:
        """List the local source, with digests."""
        names = sorted(self.places)
        outer = [name for name in names if not any(name.startswith(f"{other}.") for other in names)]
        return tuple(
            LocalSource(name, self.places[name], digest_local_source(Path(self.places[name])))
            for name in outer
        )


def _find_place(found: FoundModule) -> tuple[str, str]:
    """Tell the import name and the path of what has to travel for a module."""
    if found.is_namespace:
        return found.name, found.portions[0]
    relative = found.file[len(found.root.rstrip("/")) + 1 :].split("/")
    folder = found.root.rstrip("/")
    names = found.name.split(".")
    for depth, part in enumerate(relative[:-1]):
        folder = f"{folder}/{part}"
        if _is_regular(folder):
            return ".".join(names[: depth + 1]), folder
    return found.name, found.file


def _is_regular(folder: str) -> bool:
    return any(os.path.isfile(f"{folder}/__init__.{suffix}") for suffix in ("py", "pyw", "so"))  # noqa: PTH113 - plain strings

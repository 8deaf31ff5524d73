"""Says how the Python that apps run in differs from that of this program (logic module).

Knows versions; knows nothing of where they come from. Apps and their arguments travel as pickles: another minor release of
Python cannot run them, another major release of numpy or another cloudpickle may read them wrongly.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Mapping

from wq_package.protocol.messages import VERSION_FEATURE

__all__ = ["compare_versions", "find_own_versions", "parse_features"]

_NAMES = ("python", "cloudpickle", "dill", "numpy", "parsl")
_NEEDED = ("python", "cloudpickle")


def find_own_versions() -> dict[str, str]:
    """Find the versions in this process."""
    found = {"python": platform.python_version()}
    for name in _NAMES[1:]:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def parse_features(features: Iterable[str]) -> dict[str, str]:
    """Read what a worker told of its own Python; empty for one that tells nothing."""
    found: dict[str, str] = {}
    for feature in features:
        if feature.startswith(VERSION_FEATURE):
            name, _, version = feature.removeprefix(VERSION_FEATURE).rpartition("-")
            found[name] = version
    return found


def compare_versions(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """Make a table of what differs; empty if nothing does that matters.

    Python itself and cloudpickle have to be there; anything else counts only where both have it.
    """
    rows = [
        (name, here.get(name, "-"), there.get(name, "-"))
        for name in _NAMES
        if (name in there or name in _NEEDED) and name in here and here[name] != there.get(name)
    ]
    if not rows:
        return ""
    lines = [("", "here", "there"), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    table = [
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    if _minor(here.get("python", "")) != _minor(there.get("python", "")):
        table.append(
            "apps cannot run there: they travel as bytecode, which is another in each minor release of Python"
        )
    return "\n".join(table)


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]

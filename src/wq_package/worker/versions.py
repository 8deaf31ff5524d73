"""Which versions the worker's own Python has of what decides whether pickles of elsewhere can be read (shell module).

Knows where distributions are noted, and reads names of folders only: `importlib.metadata` takes longer to import than this to run.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable

from wq_package.protocol.messages import VERSION_FEATURE

__all__ = ["find_versions", "make_version_features"]

_TOLD = ("cloudpickle", "dill", "numpy", "parsl")


def find_versions(path: Iterable[str], names: Iterable[str] = _TOLD) -> dict[str, str]:
    """Find the versions of distributions in the folders of a search path; what is not there is left out."""
    wanted = set(names)
    found: dict[str, str] = {}
    for folder in path:
        try:
            entries = os.listdir(folder or ".")
        except OSError:
            continue
        for entry in entries:
            name, _, rest = entry.partition("-")
            if name.lower() in wanted and rest.endswith(".dist-info"):
                found.setdefault(name.lower(), rest.removesuffix(".dist-info"))
    return found


def make_version_features() -> tuple[str, ...]:
    """Make the features that tell a manager of them."""
    versions = {"python": platform.python_version(), **find_versions(sys.path)}
    return tuple(f"{VERSION_FEATURE}{name}-{version}" for name, version in sorted(versions.items()))

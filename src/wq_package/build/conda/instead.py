"""Distributions of the Python package index that could take the place of conda packages (logic module).

Names are the same in most cases; where they are not, the index will say that it has no such distribution. Asks nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from wq_package.spec.environment import CondaRequirement

__all__ = ["find_wheels"]

_VERSION = re.compile(r"\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?")
_CONSTRAINT = re.compile(
    r"(?:(?:[<>]=?|[!=]=|~=)\d[\w.]*(?:\.\*)?)(?:,(?:[<>]=?|[!=]=|~=)\d[\w.]*(?:\.\*)?)*"
)
_PARTS_OF_A_RELEASE = 3


def find_wheels(requirements: Iterable[CondaRequirement]) -> tuple[str, ...]:
    """Write conda requirements as those of the Python package index; Python and pip themselves are left out."""
    return tuple(_iter_wheels(requirements))


def _iter_wheels(requirements: Iterable[CondaRequirement]) -> Iterator[str]:
    for requirement in requirements:
        if requirement.name not in ("python", "pip"):
            yield requirement.name + _translate(requirement)


def _translate(requirement: CondaRequirement) -> str:
    """Write the version; one that only conda understands is left out."""
    version = requirement.version
    if _VERSION.fullmatch(version):
        is_release = requirement.build or version.count(".") + 1 >= _PARTS_OF_A_RELEASE
        return f"=={version}" if is_release else f"=={version}.*"  # to conda, `numpy=2.4` is any 2.4
    if version.endswith(".*") and _VERSION.fullmatch(version[:-2]):
        return f"=={version}"
    return version if _CONSTRAINT.fullmatch(version) else ""

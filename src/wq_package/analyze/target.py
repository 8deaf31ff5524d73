"""The Python that code is analysed for: version, platform, standard library (value and logic module).

Knows what is true on the target. The running interpreter is the default target; nothing is asked of the disk.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass

from wq_package.errors import AnalysisError

__all__ = ["Target", "make_target"]


@dataclass(frozen=True, slots=True)
class Target:
    """A version of Python on a platform.

    Attributes:
        python: the version as the spec pins it, `3.11.7` or `3.12`.
        version: its numbers; unknown ones are 0.
    """

    python: str
    version: tuple[int, int, int]
    standard_library: frozenset[str]
    platform: str = sys.platform
    os_name: str = os.name
    system: str = "Linux"
    implementation: str = "cpython"

    @property
    def is_running(self) -> bool:
        """Whether the target has the minor version that runs now."""
        return self.version[:2] == sys.version_info[:2]


def make_target(python: str | None) -> Target:
    """Make the target of an analysis.

    Args:
        python: `X.Y` or `X.Y.Z`, or `None` for the running interpreter.

    Raises:
        AnalysisError: that is not a version of Python 3 that is known.
    """
    system = platform.system() if sys.platform != "linux" else "Linux"
    if python is None:
        numbers = sys.version_info[:3]
        return Target(
            "{}.{}.{}".format(*numbers), numbers, _find_standard_library(numbers[:2]), system=system
        )
    numbers = _parse_version(python)
    return Target(python, numbers, _find_standard_library(numbers[:2]), system=system)


def _parse_version(text: str) -> tuple[int, int, int]:
    parts = text.split(".")
    if len(parts) not in (2, 3) or not all(part.isascii() and part.isdigit() for part in parts):
        raise AnalysisError(f"`{text}` is not a version of Python", hint="write it as `3.12` or `3.12.4`")
    return int(parts[0]), int(parts[1]), int(parts[2]) if len(parts) == 3 else 0


def _find_standard_library(minor: tuple[int, int]) -> frozenset[str]:
    if minor == sys.version_info[:2]:
        return sys.stdlib_module_names | frozenset(sys.builtin_module_names) | {"__main__"}
    from stdlib_list import stdlib_list

    try:
        names = stdlib_list("{}.{}".format(*minor))
    except ValueError as error:
        hint = "the standard library of that version is not known"
        raise AnalysisError(
            "`{}.{}` is not a version of Python that is known".format(*minor), hint=hint
        ) from error
    return frozenset(name.partition(".")[0] for name in names) | {"__future__", "__main__"}

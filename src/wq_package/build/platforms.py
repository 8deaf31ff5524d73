"""The machines that an environment can be built for (value and logic module)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wq_package.errors import BuildError

__all__ = ["Platform", "parse_platform"]

_NAME = re.compile(
    r"(?:linux[-_]|manylinux(?P<year>1|2010|2014)_|manylinux_(?P<major>\d+)_(?P<minor>\d+)_)?(?P<machine>[a-z]\w*|64)"
)
_MACHINES = {"64": "x86_64", "x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
# The C libraries for which uv knows what wheels fit.
_KNOWN_TO_UV = ((2, 17), (2, 28), *((2, minor) for minor in range(31, 41)))
_YEARS = {"1": (2, 5), "2010": (2, 12), "2014": (2, 17)}


@dataclass(frozen=True, slots=True)
class Platform:
    """A kind of machine.

    Attributes:
        machine: architecture, in the words of `uname -m`.
        glibc: the oldest C library that is to do, or `None` if nothing is said of it.
    """

    machine: str
    glibc: tuple[int, int] | None = None

    @property
    def for_uv(self) -> str:
        """Its name among uv's target platforms."""
        if self.glibc is None:
            return f"{self.machine}-unknown-linux-gnu"
        major, minor = max(known for known in _KNOWN_TO_UV if known <= self.glibc)
        return f"{self.machine}-manylinux_{major}_{minor}"


def parse_platform(text: str) -> Platform:
    """Read `aarch64`, `linux-aarch64`, `manylinux2014_x86_64`, `manylinux_2_28_aarch64`.

    Raises:
        BuildError: it is none of these.
    """
    found = _NAME.fullmatch(text)
    machine = _MACHINES.get(found["machine"]) if found else None
    if found is None or machine is None:
        hint = "name one such as `x86_64`, `aarch64` or `manylinux_2_28_aarch64`"
        raise BuildError(f"`{text}` is no platform that an environment can be built for", hint=hint)
    glibc = (int(found["major"]), int(found["minor"])) if found["major"] else _YEARS.get(found["year"])
    if glibc and glibc < _KNOWN_TO_UV[0]:
        hint = "name a platform with glibc 2.17 or later, such as `manylinux2014_x86_64`"
        raise BuildError(f"the C library of the platform `{text}` is too old to be built for", hint=hint)
    return Platform(machine, glibc)

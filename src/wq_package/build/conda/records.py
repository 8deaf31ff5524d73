"""A conda package as a channel describes it (value module).

Knows the fields of a repodata record that a build needs, and keeps all of them as text for `conda-meta`. Knows nothing of
solving, fetching or layers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["CondaRecord", "parse_record"]


@dataclass(frozen=True, slots=True)
class CondaRecord:
    """One package that a solution holds.

    Attributes:
        url: where the package is, credentials included: never write it into an archive as it is.
        sha256: hex digest of the package, or empty where a channel gives only an MD5.
        noarch: `python`, `generic`, or empty.
        site_packages: of a Python, where its distributions go, or empty for the usual place.
        text: all fields, as the JSON object that the channel gave.
    """

    name: str
    version: str
    build: str
    subdir: str
    file_name: str
    url: str
    channel: str
    sha256: str
    md5: str
    size: int
    depends: tuple[str, ...]
    noarch: str
    site_packages: str
    text: str

    @property
    def stem(self) -> str:
        """`name-version-build`, which names it in `conda-meta`."""
        return f"{self.name}-{self.version}-{self.build}"

    def find_site_packages(self) -> str:
        """Tell where a Python's distributions go, relative to its prefix."""
        minor = ".".join(self.version.split(".")[:2])
        return self.site_packages or f"lib/python{minor}/site-packages"


def parse_record(fields: Mapping[str, Any]) -> CondaRecord:
    """Read a record from its JSON object."""
    return CondaRecord(
        name=fields["name"],
        version=fields["version"],
        build=fields["build"],
        subdir=fields.get("subdir") or "",
        file_name=fields["fn"],
        url=fields["url"],
        channel=fields.get("channel") or "",
        sha256=fields.get("sha256") or "",
        md5=fields.get("md5") or "",
        size=fields.get("size") or 0,
        depends=tuple(fields.get("depends") or ()),
        noarch=_parse_noarch(fields.get("noarch")),
        site_packages=fields.get("python_site_packages_path") or "",
        text=json.dumps(fields, sort_keys=True),
    )


def _parse_noarch(value: object) -> str:
    """Old packages write `true`, which means generic."""
    if value is True:
        return "generic"
    return value if isinstance(value, str) else ""

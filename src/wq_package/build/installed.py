"""The distributions that are installed in a folder, found by their `.dist-info` (shell module).

Knows where installers leave their records. Knows nothing of imports (that is `analyze`) or of layers.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wq_package.spec.environment import canonicalize_name

__all__ = ["InstalledDistribution", "find_distributions", "find_running_distributions"]

_INFO = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)\.dist-info")
_REQUIRES = re.compile(r"^Requires-Dist:[ \t]*(.+?)\s*$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class InstalledDistribution:
    """A distribution on disk.

    Attributes:
        name: as the index writes it.
        site_folder: the folder that has its `.dist-info`.
        info: name of its `.dist-info` folder.
    """

    name: str
    version: str
    site_folder: str
    info: str

    @property
    def info_folder(self) -> Path:
        """Its `.dist-info`."""
        return Path(self.site_folder, self.info)

    def read(self, name: str) -> bytes | None:
        """Read a file of its `.dist-info`; `None` if it has none of that name."""
        try:
            return (self.info_folder / name).read_bytes()
        except OSError:
            return None

    @property
    def is_editable(self) -> bool:
        """Whether its code lies elsewhere, in a folder of its author."""
        return b'"editable": true' in (self.read("direct_url.json") or b"").replace(
            b'"editable":true', b'"editable": true'
        )

    @property
    def requires(self) -> tuple[str, ...]:
        """What it requires, as its metadata says."""
        head, _, _ = (self.read("METADATA") or b"").decode("utf-8", "replace").partition("\n\n")
        return tuple(_REQUIRES.findall(head.replace("\r\n", "\n")))


def find_distributions(folders: Iterable[str]) -> dict[str, InstalledDistribution]:
    """Find what is installed in some folders, by name; the first folder wins, as it does for imports."""
    found: dict[str, InstalledDistribution] = {}
    for folder in folders:
        for info in _list_infos(folder):
            match = _INFO.fullmatch(info)
            if match:
                name = canonicalize_name(match["name"])
                found.setdefault(name, InstalledDistribution(name, match["version"], folder, info))
    return found


def _list_infos(folder: str) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(".dist-info"))
    except OSError:
        return []


def find_running_distributions() -> dict[str, InstalledDistribution]:
    """Find what the Python of this process can import."""
    return find_distributions(os.path.realpath(folder) for folder in sys.path if folder)

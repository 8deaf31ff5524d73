"""The record of an installed conda package, `conda-meta/<name>-<version>-<build>.json` (logic module).

conda, its relatives and `wq-package analyze` read it. Everything in it follows from the package: no folder of this machine, no
cache, no password, no time of indexing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from wq_package.build.conda.channels import scrub_url
from wq_package.build.conda.records import CondaRecord

__all__ = ["InstalledPath", "render_conda_meta"]

# What the package is. When its channel was indexed, where it was cached and who asked for it is left out.
_KEPT = [
    "arch",
    "build",
    "build_number",
    "constrains",
    "depends",
    "features",
    "fn",
    "license",
    "license_family",
    "md5",
    "name",
    "noarch",
    "platform",
    "python_site_packages_path",
    "sha256",
    "size",
    "subdir",
    "timestamp",
    "track_features",
    "version",
]
_SUBDIR = re.compile(r"/(noarch|(linux|osx|win|freebsd|zos|emscripten|wasi)-[\w]+)$")


@dataclass(frozen=True, slots=True, order=True)
class InstalledPath:
    """One file of an installed package.

    Attributes:
        kind: conda's word: `hardlink`, `softlink`, `directory` or `unix_python_entry_point`.
        sha256: hex digest, empty where the file differs from prefix to prefix.
    """

    path: str
    kind: str
    sha256: str = ""


def render_conda_meta(record: CondaRecord, paths: Iterable[InstalledPath]) -> str:
    """Write the record of one package."""
    ordered = sorted(paths)
    known = json.loads(record.text)
    # Clients differ in whether they write what is empty.
    fields: dict[str, object] = {name: known[name] for name in _KEPT if known.get(name) not in (None, "", [])}
    fields |= {
        "channel": scrub_url(_SUBDIR.sub("", record.channel.rstrip("/")), keep=1),
        "depends": known.get("depends") or [],
        "url": scrub_url(record.url, keep=3),
        "extracted_package_dir": "",
        "files": [each.path for each in ordered],
        "link": {"source": "", "type": 1},
        "paths_data": {"paths": [_render_path(each) for each in ordered], "paths_version": 1},
        "requested_spec": "",
    }
    return json.dumps(fields, indent=1, sort_keys=True) + "\n"


def _render_path(each: InstalledPath) -> dict[str, str]:
    row = {"_path": each.path, "path_type": each.kind}
    return row | ({"sha256": each.sha256, "sha256_in_prefix": each.sha256} if each.sha256 else {})

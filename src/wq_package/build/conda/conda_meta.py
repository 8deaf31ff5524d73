"""The record of an installed conda package, `conda-meta/<name>-<version>-<build>.json` (logic module).

conda, its relatives and `wq-package analyze` read it. Everything in it follows from the package: no folder of this machine, no
cache, no password, no time of indexing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from wq_package.build.conda.channels import scrub_url
from wq_package.build.conda.records import CondaRecord

__all__ = ["InstalledPath", "render_conda_meta"]

_VOLATILE = ("indexed_timestamp",)  # when the channel was indexed, not what the package is


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
    fields = {name: value for name, value in json.loads(record.text).items() if name not in _VOLATILE}
    fields |= {
        "channel": scrub_url(record.channel, keep=1),
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

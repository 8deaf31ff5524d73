"""RECORD, the list of a distribution's installed files (logic module).

Text in, rows out, and back. Also tells where each file goes in an environment, whatever scheme it was installed by. Knows
nothing of files on disk.
"""

from __future__ import annotations

import base64
import csv
import io
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "RecordRow",
    "encode_digest",
    "find_prefix",
    "is_installer_trace",
    "map_path",
    "parse_record",
    "render_record",
]

_SITE = re.compile(r"(?:local/)?lib(?:64)?/python[^/]*/(?:site|dist)-packages")
_SITE_AT_END = re.compile(r"(?P<prefix>.*?)/" + _SITE.pattern)
_HEADERS = re.compile(r"include/(?:site/)?python[^/]*/(?P<rest>.+)")
# What an installer leaves behind; the wheel itself has none of it.
_TRACES = re.compile(
    r"[^/]+\.dist-info/(INSTALLER|REQUESTED|RECORD(\.jws|\.p7s)?|direct_url\.json|uv_\w+\.json|provenance\.json)"
)


@dataclass(frozen=True, slots=True, order=True)
class RecordRow:
    """One file of a distribution.

    Attributes:
        path: relative to the folder that has the `.dist-info`, as written.
        digest: `sha256=<urlsafe base64>`, another algorithm likewise, or empty.
    """

    path: str
    digest: str = ""


def parse_record(text: str) -> tuple[RecordRow, ...]:
    """Read a RECORD; rows without a path are left out."""
    rows = csv.reader(io.StringIO(text, newline=""))
    return tuple(
        RecordRow(row[0].replace("\\", "/"), row[1] if len(row) > 1 else "") for row in rows if row and row[0]
    )


def render_record(files: Iterable[tuple[str, str, int]], own_path: str) -> str:
    """Write a RECORD of `(path, digest, size)`, sorted, that ends with its own path."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(sorted((path, digest, str(size)) for path, digest, size in files))
    writer.writerow((own_path, "", ""))
    return text.getvalue()


def encode_digest(digest: bytes) -> str:
    """Write a sha256 as RECORD does."""
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def is_installer_trace(path: str) -> bool:
    """Tell whether a row is of the installer's making and not of the wheel's."""
    return path.endswith((".pyc", ".pyo")) or _TRACES.fullmatch(path) is not None


def find_prefix(site_folder: str) -> str | None:
    """Find the prefix above a `site-packages` folder; `None` if it does not lie in the usual place."""
    match = _SITE_AT_END.fullmatch(site_folder)
    return match["prefix"] if match else None


def map_path(path: str, site_folder: str, site_packages: str) -> str | None:
    """Tell where a file of a RECORD goes in an environment.

    Args:
        path: as RECORD writes it.
        site_folder: absolute folder of the `.dist-info`.
        site_packages: that folder in the environment, relative to the prefix.

    Returns:
        A path relative to the prefix; `None` if the file lies outside every place that an environment has.
    """
    site_folder = posixpath.normpath(site_folder)  # a cache may have been named with `..`
    absolute = posixpath.normpath(posixpath.join(site_folder, path))
    if absolute.startswith(site_folder + "/"):
        return f"{site_packages}/{absolute[len(site_folder) + 1 :]}"
    prefix = find_prefix(site_folder)
    if prefix is None or not absolute.startswith(prefix + "/"):
        return None
    relative = absolute[len(prefix) + 1 :]
    if site := _SITE.match(relative):
        return site_packages + relative[site.end() :]
    if headers := _HEADERS.fullmatch(relative):
        return f"include/{posixpath.basename(posixpath.dirname(site_packages))}/{headers['rest']}"
    return relative.removeprefix("local/")

"""Where the files of a conda package go and what they need (logic module).

Knows `info/paths.json`, its older forms, `info/link.json`, and how `noarch: python` packages are laid out in a prefix. Text
in, values out; the files themselves are the caller's business.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from wq_package.archive.layer import RelocationMode
from wq_package.archive.member_paths import check_path
from wq_package.errors import BuildError

__all__ = [
    "PackageFile",
    "parse_entry_points",
    "parse_legacy_paths",
    "parse_paths",
    "parse_row",
    "place_file",
]

_LEGACY_PLACEHOLDER = (
    "/opt/anaconda1anaconda2anaconda3"  # conda-build's, from before packages named their own
)
_ENTRY_POINT = re.compile(r"\s*(?P<name>[^=\s]+)\s*=\s*(?P<target>[\w.]+\s*:\s*[\w.]+)")


@dataclass(frozen=True, slots=True)
class PackageFile:
    """One row of a package's list of files.

    Attributes:
        path: in the package.
        mode: how its placeholder is replaced, or `None` if it has none.
        sha256: hex digest in the package, or empty.
        is_folder: whether it is an empty folder.
    """

    path: str
    mode: RelocationMode | None = None
    placeholder: str = ""
    sha256: str = ""
    is_folder: bool = False


def parse_paths(text: str | bytes) -> tuple[PackageFile, ...]:
    """Read `info/paths.json`."""
    try:
        return tuple(parse_row(row) for row in json.loads(text)["paths"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BuildError("a package's `info/paths.json` cannot be read", hint=_DAMAGED) from error


_DAMAGED = "the package is damaged: download it again, or tell the channel's owner"


def parse_row(row: Mapping[str, object]) -> PackageFile:
    """Read one row of `paths.json`, or of the `paths_data` in `conda-meta`."""
    path, placeholder = str(row["_path"]), row.get("prefix_placeholder")
    check_path(path)
    return PackageFile(
        path=path,
        mode=RelocationMode(row.get("file_mode") or "text") if placeholder else None,
        placeholder=str(placeholder or ""),
        sha256=str(row.get("sha256") or ""),
        is_folder=row.get("path_type") == "directory",
    )


def parse_legacy_paths(files: str, has_prefix: str) -> tuple[PackageFile, ...]:
    """Read `info/files` and `info/has_prefix`, which packages had before 2017.

    A row of `has_prefix` is a path alone, or a placeholder, a mode and a path.
    """
    prefixes: dict[str, tuple[str, RelocationMode]] = {}
    for line in has_prefix.splitlines():
        words = shlex.split(line, posix=False)
        if len(words) == 3:
            placeholder, mode, path = (word.strip("\"'") for word in words)
            prefixes[path] = (placeholder, RelocationMode(mode))
        elif line.strip():
            prefixes[line.strip()] = (_LEGACY_PLACEHOLDER, RelocationMode.TEXT)
    return tuple(_make_legacy(path, prefixes) for path in files.splitlines() if path.strip())


def _make_legacy(path: str, prefixes: dict[str, tuple[str, RelocationMode]]) -> PackageFile:
    check_path(path)
    placeholder, mode = prefixes.get(path, ("", None))
    return PackageFile(path, mode, placeholder)


def parse_entry_points(text: str | bytes) -> dict[str, str]:
    """Read the entry points of `info/link.json`: `module:attribute` by command name."""
    try:
        noarch = json.loads(text).get("noarch") or {}
        return dict(_iter_entry_points(noarch.get("entry_points") or ()))
    except (ValueError, TypeError, AttributeError) as error:
        raise BuildError("a package's `info/link.json` cannot be read", hint=_DAMAGED) from error


def _iter_entry_points(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        found = _ENTRY_POINT.match(line)
        if found is None:
            raise BuildError(f"`{line}` is not an entry point", hint=_DAMAGED)
        check_path(f"bin/{found['name']}")
        yield found["name"], re.sub(r"\s", "", found["target"])


def place_file(path: str, site_packages: str, *, noarch: str) -> str:
    """Tell where a file of a package goes in a prefix.

    Args:
        path: in the package.
        site_packages: where the environment's Python looks for distributions, relative to the prefix.
        noarch: of the package.
    """
    if noarch == "python" and path.startswith("site-packages/"):
        return site_packages + path.removeprefix("site-packages")
    if noarch == "python" and path.startswith("python-scripts/"):
        return "bin" + path.removeprefix("python-scripts")
    return path

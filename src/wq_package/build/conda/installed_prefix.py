"""Find the conda packages of a spec in the conda environment that runs this program (shell module).

A build needs neither channel nor network when every package is pinned by version and build and is installed here. What
`conda-meta` says of each file decides whether it is still as it was released. Knows nothing of how layers are made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from wq_package.build.conda.extracted import ExtractedPackage
from wq_package.build.conda.package_files import PackageFile, parse_row
from wq_package.build.conda.records import CondaRecord, parse_record
from wq_package.errors import BuildError
from wq_package.spec.environment import CondaRequirement, EnvironmentSpec

__all__ = ["find_installed_packages", "list_prefix", "list_prefix_files", "open_prefix"]

_META = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)\.json")
_IMPORT = re.compile(r"^from (?P<module>[\w.]+) import \w+", re.MULTILINE)
_CALL = re.compile(r"sys\.exit\((?P<attribute>[\w.]+)\(\)\)")


def find_installed_packages(
    spec: EnvironmentSpec, prefix: Path, wished: Iterable[str] = ()
) -> tuple[ExtractedPackage, ...]:
    """Find the packages of a spec, and all that they depend on, in a conda environment.

    Args:
        spec: only exact pins, by version and build, can be found.
        prefix: of the environment.
        wished: packages to add if they are installed.

    Returns:
        The packages, sorted by name; nothing if one is missing or is no exact pin.
    """
    installed = _list_installed(prefix)
    if "python" not in installed or not all(_is_installed(each, installed) for each in spec.conda):
        return ()
    if not _satisfies(installed["python"][0], spec.python):
        return ()
    names = ["python", *(each.name for each in spec.conda), *(name for name in wished if name in installed)]
    documents = _load_closure(names, installed, prefix)
    if not documents:
        return ()
    return _open_all(documents, prefix)


def list_prefix(prefix: Path) -> tuple[CondaRequirement, ...]:
    """Pin all that is installed in a conda environment; Python is part of it."""
    installed = _list_installed(prefix)
    return tuple(CondaRequirement(name, *installed[name]) for name in sorted(installed))


def list_prefix_files(prefix: Path) -> frozenset[str]:
    """List all paths that the packages of a conda environment own, relative to it."""
    documents = (_load(path) for path in (prefix / "conda-meta").glob("*.json"))
    return frozenset(str(path) for document in documents for path in document.get("files") or ())


def open_prefix(prefix: Path, *, keep_edits: bool = False) -> tuple[ExtractedPackage, ...]:
    """Open all packages of a conda environment, whatever they depend on and wherever they came from.

    Raises:
        BuildError: there is no Python, or conda-meta lacks the list of a package's files.
    """
    documents = {
        name: _load(_name_meta(prefix, name, *each)) for name, each in _list_installed(prefix).items()
    }
    if "python" not in documents:
        raise BuildError(f"the conda environment `{prefix}` has no Python", hint="install `python` there")
    vague = sorted(name for name, each in documents.items() if not isinstance(each.get("paths_data"), dict))
    if vague:
        hint = "install them anew with a conda of this decade"
        raise BuildError(f"conda-meta does not list the files of: {', '.join(vague)}", hint=hint)
    return tuple(
        replace(each, keep_edits=keep_edits, is_stamped=True) for each in _open_all(documents, prefix)
    )


def _name_meta(prefix: Path, name: str, version: str, build: str) -> Path:
    return prefix / "conda-meta" / f"{name}-{version}-{build}.json"


def _list_installed(prefix: Path) -> dict[str, tuple[str, str]]:
    """List version and build of each installed package, by name."""
    found = (_META.fullmatch(path.name) for path in sorted((prefix / "conda-meta").glob("*.json")))
    return {match["name"]: (match["version"], match["build"]) for match in found if match}


def _is_installed(requirement: CondaRequirement, installed: Mapping[str, tuple[str, str]]) -> bool:
    return not requirement.channel and installed.get(requirement.name) == (
        requirement.version,
        requirement.build,
    )


def _satisfies(version: str, wanted: str | None) -> bool:
    if wanted is None:
        return True
    parts = wanted.removesuffix(".*").split(".")
    return version.split(".")[: len(parts)] == parts


def _load_closure(
    names: Iterable[str], installed: Mapping[str, tuple[str, str]], prefix: Path
) -> dict[str, dict[str, Any]]:
    """Load what conda-meta says of some packages and their dependencies; nothing if one is not installed."""
    waiting, documents = list(names), dict[str, dict[str, Any]]()
    while waiting:
        name = waiting.pop()
        if name in documents or name.startswith("__"):  # `__glibc` and its like belong to the machine
            continue
        if name not in installed:
            return {}
        path = prefix / "conda-meta" / f"{'-'.join((name, *installed[name]))}.json"
        document = _load(path)
        if not document.get("sha256") or not isinstance(document.get("paths_data"), dict):
            return {}
        documents[name] = document
        waiting += [depend.split()[0] for depend in document.get("depends") or ()]
    return documents


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _open_all(documents: Mapping[str, dict[str, Any]], prefix: Path) -> tuple[ExtractedPackage, ...]:
    try:
        records = {name: parse_record(documents[name]) for name in sorted(documents)}
    except KeyError:
        return ()
    site_packages = records["python"].find_site_packages()
    return tuple(_open(records[name], documents[name], prefix, site_packages) for name in records)


def _open(
    record: CondaRecord, document: dict[str, Any], prefix: Path, site_packages: str
) -> ExtractedPackage:
    rows = document["paths_data"].get("paths") or ()
    return ExtractedPackage(
        record=record,
        folder=prefix,
        files=tuple(_iter_files(rows)),
        entry_points=dict(_iter_entry_points(rows, prefix)),
        site_packages=site_packages,
        installed_prefix=str(prefix),
    )


def _iter_files(rows: Iterable[dict[str, Any]]) -> Iterator[PackageFile]:
    for row in rows:
        if row.get("path_type") not in ("pyc_file", "unix_python_entry_point"):
            yield parse_row(row)


def _iter_entry_points(rows: Iterable[dict[str, Any]], prefix: Path) -> Iterator[tuple[str, str]]:
    """Read commands back from the scripts that conda made of them."""
    for row in rows:
        if row.get("path_type") == "unix_python_entry_point":
            text = _read(prefix / row["_path"])
            module, call = _IMPORT.search(text), _CALL.search(text)
            if module and call:
                yield Path(row["_path"]).name, f"{module['module']}:{call['attribute']}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

"""What an archive, or the environment that runs this program, holds (shell module).

Reads manifests and RECORD files, and hashes what is installed. Unpacks nothing, and decides nothing: see
`wq_package.build.comparison`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from wq_package.archive.contents import read_archived_manifest
from wq_package.archive.layer import LayerHeader, LayerKind, Member, MemberKind
from wq_package.archive.reader import ArchiveReader
from wq_package.build.comparison import Holdings, Package
from wq_package.build.installed import InstalledDistribution, find_running_distributions
from wq_package.build.interpreter import describe_running_interpreter
from wq_package.build.record import is_installer_trace, map_path, parse_record
from wq_package.spec.environment import canonicalize_name

__all__ = ["describe_archive", "describe_running_environment", "limit_to_distributions"]

_OF_EVERY_LAYER = ".wq-package/"


def describe_archive(path: Path) -> Holdings:
    """Tell what an archive holds, out of its layers' manifests.

    Raises:
        ArchiveError: in one of its kinds.
    """
    packages: dict[str, Package] = {}
    with ArchiveReader(path) as archive:
        for layer in archive.index.layers:
            if layer.header.kind is LayerKind.LAUNCHER:
                continue
            members = read_archived_manifest(archive, layer).members
            files = {member.path: _mark(member) for member in members if not _is_made_here(member.path)}
            packages[_make_key(layer.header)] = _make_package(layer.header, files)
    return Holdings(packages)


def _make_key(header: LayerHeader) -> str:
    """Name a package; a local module may have the name of a distribution without being it."""
    name = canonicalize_name(header.name)
    return f"local {name}" if header.kind is LayerKind.LOCAL else name


def _make_package(header: LayerHeader, files: dict[str, str]) -> Package:
    version = "=".join(word for word in (header.version, header.build) if word)
    return Package(header.kind.value, header.name, version, files)


def _mark(member: Member) -> str:
    if member.kind is MemberKind.FILE:
        return f"{member.digest} {member.mode & 0o100}"
    return f"{member.kind.value} {member.target}"


def _is_made_here(path: str) -> bool:
    """Tell whether a file is made by the build out of others: bytecode, the list of files."""
    return path.endswith((".pyc", ".dist-info/RECORD")) or path.startswith((_OF_EVERY_LAYER, "conda-meta/"))


def describe_running_environment() -> Holdings:
    """Tell what the Python of this process can import: its distributions, as they are on disk now."""
    interpreter = describe_running_interpreter()
    packages = {
        name: Package(
            LayerKind.WHEEL.value,
            each.name,
            each.version,
            dict(_iter_files(each, interpreter.site_packages)),
        )
        for name, each in find_running_distributions().items()
    }
    packages["python"] = Package(LayerKind.INTERPRETER.value, "python", interpreter.version)
    return Holdings(packages | dict(_iter_conda_packages(Path(sys.prefix))))


def _iter_conda_packages(prefix: Path) -> Iterator[tuple[str, Package]]:
    """Name what conda installed; it has the last word where a package is also a distribution."""
    for path in sorted((prefix / "conda-meta").glob("*.json")):
        try:
            fields = json.loads(path.read_bytes())
            name, version = str(fields["name"]), f"{fields['version']}={fields['build']}"
        except (OSError, ValueError, KeyError, TypeError):
            continue  # conda would not know it either
        yield canonicalize_name(name), Package(LayerKind.CONDA.value, name, version)


def _iter_files(distribution: InstalledDistribution, site_packages: str) -> Iterator[tuple[str, str]]:
    rows = parse_record((distribution.read("RECORD") or b"").decode("utf-8", "replace"))
    for row in rows:
        path = map_path(row.path, distribution.site_folder, site_packages)
        if path is None or is_installer_trace(row.path) or not path.startswith(site_packages + "/"):
            continue
        try:
            source = Path(distribution.site_folder, row.path)
            with source.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            yield path, f"{digest} {source.stat().st_mode & 0o100}"
        except OSError:
            continue  # it is listed and not there: a difference


def limit_to_distributions(holdings: Holdings, site_packages: str | None = None) -> Holdings:
    """Leave out of an archive's holdings what an environment on disk cannot be asked for.

    That is local source, files outside `site-packages`, and all files of the interpreter and of conda packages.
    """
    start = f"{site_packages or describe_running_interpreter().site_packages}/"
    kept = (LayerKind.WHEEL.value, LayerKind.CONDA.value, LayerKind.INTERPRETER.value)
    return Holdings(
        {
            key: Package(each.kind, each.name, each.version, _select(each, start))
            for key, each in holdings.packages.items()
            if each.kind in kept
        }
    )


def _select(package: Package, start: str) -> dict[str, str]:
    if package.kind != LayerKind.WHEEL.value:
        return {}
    return {path: mark for path, mark in package.files.items() if path.startswith(start)}

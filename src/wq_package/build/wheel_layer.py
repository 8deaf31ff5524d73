"""Make the layer of one distribution from its installed files (shell module).

The files may be those of the running environment or of a folder that uv has just filled: after normalising, both give the
same layer. What every RECORD says is verified; nothing of the installer, of the scripts' old home or of old bytecode gets in.
Knows nothing of how layers are stored.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path, PurePosixPath

from wq_package.archive.layer import LayerEntry, LayerHeader, LayerKind
from wq_package.build.artefacts import UNKNOWN, Artefact, parse_direct_url, parse_wheel_tags
from wq_package.build.elf import ElfFacts, is_elf, read_elf
from wq_package.build.elf_files import find_needs
from wq_package.build.installed import InstalledDistribution
from wq_package.build.interpreter import Interpreter
from wq_package.build.layer_plan import LayerPlan
from wq_package.build.record import (
    RecordRow,
    encode_digest,
    is_installer_trace,
    map_path,
    parse_record,
    render_record,
)
from wq_package.build.script_text import normalize_script, parse_entry_points, render_entry_point
from wq_package.errors import AlteredDistributionError

__all__ = ["find_edits", "plan_wheel_layer"]

_LOG = logging.getLogger(__name__)
_KEPT_IN_MEMORY = 2**16
_HEAD = 128
# pip adds names of its own choosing to what the wheel of pip or of an old setuptools asks for.
_VERSIONED_SCRIPT = re.compile(r"(pip|easy_install)-?[\d.]+")


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    origin: Path | None
    source: Path | bytes
    mode: int
    digest: str
    size: int
    facts: ElfFacts | None


def plan_wheel_layer(
    distribution: InstalledDistribution, interpreter: Interpreter, *, keep_edits: bool = False
) -> LayerPlan:
    """Collect and verify the files of a distribution.

    Args:
        distribution: what is installed.
        interpreter: the Python that it is for.
        keep_edits: take edited files as they are, leave out missing ones, and say so; the layer is marked as edited.

    Raises:
        AlteredDistributionError: files are missing or differ from RECORD, or RECORD itself is missing; all are named.
    """
    files, issues = _collect(distribution, interpreter.site_packages, keep_edits=keep_edits)
    if issues and not keep_edits:
        raise _make_error(distribution, issues)
    if issues:
        _LOG.warning("`%s` is packed as it is: %s", distribution.name, ", ".join(issues))
    header = _make_header(distribution, files, interpreter.site_packages)
    record = f"{interpreter.site_packages}/{distribution.info}/RECORD"
    entries = [LayerEntry(file.path, file.mode, file.source) for file in files]
    entries.append(LayerEntry(record, 0o644, _render_record(files, interpreter.site_packages, record)))
    return LayerPlan(
        header=replace(header, build="edited") if issues else header,
        entries=tuple(entries),
        sources=tuple(_iter_sources(files, interpreter.site_packages)),
        requires=distribution.requires,
        artefact=_describe_artefact(distribution),
    )


def _describe_artefact(distribution: InstalledDistribution) -> Artefact:
    direct = parse_direct_url(distribution.name, _read_text(distribution, "direct_url.json"))
    tags = parse_wheel_tags(_read_text(distribution, "WHEEL"))
    return replace(direct or UNKNOWN, tags=tags)


def _read_text(distribution: InstalledDistribution, name: str) -> str:
    return (distribution.read(name) or b"").decode("utf-8", "replace")


def find_edits(distribution: InstalledDistribution, interpreter: Interpreter) -> tuple[str, ...]:
    """Say which files of a distribution are not as it was released.

    Raises:
        AlteredDistributionError: RECORD is missing.
    """
    return _collect(distribution, interpreter.site_packages, keep_edits=False)[1]


def _collect(
    distribution: InstalledDistribution, site_packages: str, *, keep_edits: bool
) -> tuple[list[_File], tuple[str, ...]]:
    """Read all files; also say what is wrong with them."""
    record = distribution.read("RECORD")
    if record is None:
        raise _make_error(distribution, ("RECORD is missing",))
    entry_points = parse_entry_points(_read_text(distribution, "entry_points.txt"))
    issues: list[str] = []
    files = [_make_script(name, target) for name, target in entry_points.items()]
    for row in parse_record(record.decode("utf-8", "replace")):
        if is_installer_trace(row.path):
            continue
        path = map_path(row.path, distribution.site_folder, site_packages)
        if path is None:
            issues.append(f"`{row.path}` lies outside the environment")
        elif not _is_generated(path, entry_points):
            file = _read_file(row, path, distribution.site_folder)
            if isinstance(file, str):
                issues.append(file)
                if keep_edits:
                    file = _read_file(RecordRow(row.path), path, distribution.site_folder)
            if isinstance(file, _File):
                files.append(file)
    return files, tuple(issues)


def _make_error(distribution: InstalledDistribution, issues: tuple[str, ...]) -> AlteredDistributionError:
    return AlteredDistributionError(distribution.name, distribution.version, issues)


def _is_generated(path: str, entry_points: Iterable[str]) -> bool:
    folder, _, name = path.rpartition("/")
    return folder == "bin" and (name in entry_points or _VERSIONED_SCRIPT.fullmatch(name) is not None)


def _make_script(name: str, target: str) -> _File:
    return _describe(f"bin/{name}", render_entry_point(target).encode(), 0o755)


def _read_file(row: RecordRow, path: str, site_folder: str) -> _File | str:
    """Read and verify one file; a string says what is wrong with it."""
    source = Path(site_folder, row.path)
    try:
        with source.open("rb", buffering=0) as opened:
            found = os.fstat(opened.fileno())
            head = opened.read(_HEAD)
            is_script = path.startswith("bin/") and not is_elf(head)
            if found.st_size > _KEPT_IN_MEMORY and not is_script:
                return _check_large(row, path, source, opened)
            data = head + opened.read()
    except OSError as error:
        return f"`{row.path}` cannot be read ({error.strerror})"
    if row.digest and not _matches(row.digest, lambda algorithm: hashlib.new(algorithm, data).digest()):
        return f"`{row.path}` was edited"
    if path.startswith("bin/"):
        data = normalize_script(data)
    return replace(_describe(path, data, found.st_mode), origin=source)


def _check_large(row: RecordRow, path: str, source: Path, opened: FileIO) -> _File | str:
    """Verify a file piece by piece, without ever having all of it in memory."""

    def digest(algorithm: str) -> bytes:
        opened.seek(0)
        return hashlib.file_digest(opened, algorithm).digest()

    if row.digest and not _matches(row.digest, digest):
        return f"`{row.path}` was edited"
    recorded = row.digest if row.digest.startswith("sha256=") else encode_digest(digest("sha256"))
    found = os.fstat(opened.fileno())
    with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        facts = read_elf(data) if is_elf(data) else None
    return _File(path, source, source, found.st_mode, recorded, found.st_size, facts)


def _matches(recorded: str, compute: Callable[[str], bytes]) -> bool:
    algorithm, _, digest = recorded.partition("=")
    if algorithm not in hashlib.algorithms_guaranteed or algorithm.startswith("shake"):
        return False
    return encode_digest(compute(algorithm)).partition("=")[2] == digest


def _describe(path: str, data: bytes, mode: int) -> _File:
    facts = read_elf(data) if is_elf(data) else None
    return _File(path, None, data, mode, encode_digest(hashlib.sha256(data).digest()), len(data), facts)


def _render_record(files: Sequence[_File], site_packages: str, record: str) -> bytes:
    rows = ((_relate(file.path, site_packages), file.digest, file.size) for file in files)
    return render_record(rows, _relate(record, site_packages)).encode()


def _relate(path: str, site_packages: str) -> str:
    if path.startswith(site_packages + "/"):
        return path[len(site_packages) + 1 :]
    return "../" * (site_packages.count("/") + 1) + path


def _make_header(
    distribution: InstalledDistribution, files: Sequence[_File], site_packages: str
) -> LayerHeader:
    machine, glibc = find_needs(file.facts for file in files)
    return LayerHeader(
        kind=LayerKind.WHEEL,
        name=distribution.name,
        version=distribution.version,
        machine=machine,
        glibc=glibc,
        imports=tuple(sorted(set(_iter_import_names(files, site_packages)))),
    )


def _iter_import_names(files: Iterable[_File], site_packages: str) -> Iterator[str]:
    for file in files:
        if not file.path.startswith(site_packages + "/") or not file.path.endswith((".py", ".so", ".pyi")):
            continue
        name = file.path[len(site_packages) + 1 :].split("/")[0].split(".")[0]
        if name.isidentifier():
            yield name


def _iter_sources(files: Iterable[_File], site_packages: str) -> Iterator[tuple[Path, str]]:
    for file in sorted(files, key=lambda file: file.path):
        if (
            file.origin is None
            or not file.path.endswith(".py")
            or not file.path.startswith(site_packages + "/")
        ):
            continue
        relative = PurePosixPath(file.path).relative_to(site_packages)
        if not {"test", "tests"} & set(
            relative.parts[1:-1]
        ):  # a third of pandas, and never imported by a task
            yield file.origin, file.path

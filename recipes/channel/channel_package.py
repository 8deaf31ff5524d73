"""A conda package and how it is written as a `.conda` file (value and shell module).

Knows the second conda package format: a zip of three members, two of them zstd-compressed tars. Knows nothing of where
files come from. The same package gives the same bytes, whenever and wherever it is written.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import zstandard

PLACEHOLDER = ("/opt/wq_package_channel_placeholder" + "_placehold" * 22)[:255]
"""Stands for the prefix in the files of a package. As long as that of a package from conda-forge, because a path in a
compiled file can only be replaced by one that is not longer."""

_TIME = 1735689600  # 2025-01-01: nothing here depends on the clock
_LEVEL = 3


@dataclass(frozen=True, slots=True)
class PackageFile:
    """One file or symbolic link of a package.

    Attributes:
        path: relative to the prefix; of a `noarch: python` package below `site-packages/` or `python-scripts/`.
        source: where its bytes are; `None` for a link.
        prefix_mode: `text` or `binary` if it holds `PLACEHOLDER`, or empty.
    """

    path: str
    source: Path | bytes | None
    executable: bool = False
    link_target: str = ""
    prefix_mode: str = ""

    def read(self) -> bytes:
        """Return its bytes."""
        return (
            self.source
            if isinstance(self.source, bytes)
            else self.source.read_bytes()
            if self.source
            else b""
        )


@dataclass(frozen=True, slots=True)
class Package:
    """A conda package.

    Attributes:
        build: the build string; see `name_build`.
        noarch: `python`, `generic`, or empty for one of this platform.
        entry_points: `command = module:function`, for `noarch: python`.
    """

    name: str
    version: str
    build: str
    files: tuple[PackageFile, ...]
    depends: tuple[str, ...] = ()
    noarch: str = ""
    entry_points: tuple[str, ...] = ()
    summary: str = ""
    license: str = ""


def name_build(package: Package, prefix: str) -> str:
    """Name the build as conda-build does, with seven digits that stand for what is in it: `py311h1a2b3c4_0`."""
    digest = hashlib.sha256(repr((package.depends, package.entry_points, package.noarch)).encode())
    for file in sorted(package.files, key=lambda each: each.path):
        content = hashlib.sha256(file.read()).hexdigest()
        digest.update(f"{file.path}\0{file.executable}\0{file.link_target}\0{content}\n".encode())
    return f"{prefix}h{digest.hexdigest()[:7]}_0"


def with_build(package: Package, prefix: str) -> Package:
    """Return the package with the build string that its content gives it."""
    return replace(package, build=name_build(package, prefix))


def write_package(package: Package, channel: Path, subdir: str) -> Path:
    """Write the package into the folder of its platform, and return the file."""
    folder = channel / ("noarch" if package.noarch else subdir)
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{package.name}-{package.version}-{package.build}"
    partial = folder / f".{stem}.partial"
    files = sorted(package.files, key=lambda each: each.path)
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        _add_member(archive, "metadata.json", json.dumps({"conda_pkg_format_version": 2}).encode())
        _add_member(archive, f"info-{stem}.tar.zst", _pack(_make_info(package, files, subdir)))
        _add_member(archive, f"pkg-{stem}.tar.zst", _pack(files))
    return partial.rename(folder / f"{stem}.conda")


def _add_member(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, (2025, 1, 1, 0, 0, 0))
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    archive.writestr(info, data)


def _make_info(package: Package, files: Iterable[PackageFile], subdir: str) -> list[PackageFile]:
    files = list(files)
    documents: dict[str, object] = {
        "index.json": _make_index(package, subdir),
        "paths.json": {"paths": [_describe(file) for file in files], "paths_version": 1},
        "about.json": {"summary": package.summary, "license": package.license},
    }
    if package.noarch == "python":
        noarch = {"type": "python", "entry_points": list(package.entry_points)}
        documents["link.json"] = {"noarch": noarch, "package_metadata_version": 1}
    info = [
        PackageFile(f"info/{name}", json.dumps(document, indent=1, sort_keys=True).encode() + b"\n")
        for name, document in sorted(documents.items())
    ]
    return [*info, PackageFile("info/files", "".join(f"{file.path}\n" for file in files).encode())]


def _make_index(package: Package, subdir: str) -> dict[str, object]:
    platform, _, machine = subdir.partition("-")
    index: dict[str, object] = {
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "build_number": 0,
        "depends": list(package.depends),
        "license": package.license,
        "timestamp": _TIME * 1000,
        "subdir": "noarch" if package.noarch else subdir,
    }
    if package.noarch:
        return index | {"noarch": package.noarch}
    return index | {"platform": platform, "arch": "x86_64" if machine == "64" else machine}


def _describe(file: PackageFile) -> dict[str, object]:
    data = file.read()
    row: dict[str, object] = {
        "_path": file.path,
        "path_type": "softlink" if file.link_target else "hardlink",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_in_bytes": len(data),
    }
    if file.prefix_mode:
        row |= {"file_mode": file.prefix_mode, "prefix_placeholder": PLACEHOLDER}
    return row


def _pack(files: Iterable[PackageFile]) -> bytes:
    raw = io.BytesIO()
    compressor = zstandard.ZstdCompressor(level=_LEVEL, threads=2)
    with (
        compressor.stream_writer(raw, closefd=False) as sink,
        tarfile.open(fileobj=sink, mode="w|", format=tarfile.GNU_FORMAT) as tar,
    ):
        for file in files:
            data = file.read()
            tar.addfile(_make_tar_header(file, len(data)), io.BytesIO(data))
    return raw.getvalue()


def _make_tar_header(file: PackageFile, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(file.path)
    header.mtime = _TIME
    header.mode = 0o755 if file.executable or file.link_target else 0o644
    if file.link_target:
        header.type = tarfile.SYMTYPE
        header.linkname = file.link_target
    else:
        header.size = size
    return header

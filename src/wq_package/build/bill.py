"""Collects what the packages of an archive say about themselves, for its bill of materials (shell module)."""

from __future__ import annotations

from pathlib import Path

from wq_package.archive.contents import read_archived_files
from wq_package.archive.layer import IndexedLayer, LayerKind
from wq_package.archive.reader import ArchiveReader
from wq_package.build.sbom import Material, parse_conda_record, parse_distribution_metadata, render_sbom
from wq_package.errors import CorruptArchiveError

__all__ = ["make_sbom"]


def make_sbom(path: Path) -> str:
    """Write the bill of materials of an archive; every layer that says more than its name is read and verified.

    Raises:
        ArchiveError: in one of its kinds.
    """
    with ArchiveReader(path) as archive:
        materials = {layer.digest: _read_material(archive, layer) for layer in archive.index.layers}
        return render_sbom(archive.index, materials)


def _read_material(archive: ArchiveReader, layer: IndexedLayer) -> Material:
    if layer.header.kind is LayerKind.WHEEL:
        found = read_archived_files(archive, layer, _is_metadata)
        return parse_distribution_metadata(_join(found))
    if layer.header.kind is LayerKind.CONDA:
        stem = f"{layer.header.name}-{layer.header.version}-{layer.header.build}"
        found = read_archived_files(archive, layer, f"conda-meta/{stem}.json".__eq__)
        try:
            return parse_conda_record(_join(found) or "{}")
        except (ValueError, AttributeError, TypeError) as error:
            issue = f"the record of `{layer.header.name}` is damaged"
            raise CorruptArchiveError(str(archive.path), (issue,)) from error
    return Material()


def _is_metadata(path: str) -> bool:
    parts = path.split("/")
    return len(parts) > 1 and parts[-1] == "METADATA" and parts[-2].endswith(".dist-info")


def _join(found: dict[str, bytes]) -> str:
    return next(iter(found.values()), b"").decode("utf-8", "replace")

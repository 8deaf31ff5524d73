"""Small layers and archives for tests of any room."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from wq_package.archive.layer import (
    ArchiveIndex,
    Compression,
    LayerEntry,
    LayerHeader,
    LayerKind,
    Relocation,
    StoredLayer,
)
from wq_package.archive.writer import write_archive, write_layer

Content = bytes | tuple[str] | None
"""Of a member: bytes of a file, the target of a link in a tuple, or `None` for a folder."""

PLACEHOLDER = "/wq-package-placeholder" + "/p" * 60


def make_entries(members: Mapping[str, Content]) -> list[LayerEntry]:
    """Make entries; what lies in `bin` is executable."""
    entries = []
    for path, content in members.items():
        mode = 0o755 if path.startswith("bin/") else 0o644
        if isinstance(content, tuple):
            entries.append(LayerEntry(path, mode, None, content[0]))
        else:
            entries.append(LayerEntry(path, mode, content))
    return entries


def make_layer(
    members: Mapping[str, Content],
    name: str = "thing",
    *,
    version: str = "1.0",
    relocations: Iterable[Relocation] = (),
    compression: Compression = Compression.ZSTD,
    header: LayerHeader | None = None,
) -> tuple[StoredLayer, bytes]:
    """Make a layer; return what is known of it and its stored bytes."""
    header = header or LayerHeader(LayerKind.WHEEL, name, version)
    sink = io.BytesIO()
    layer = write_layer(header, make_entries(members), relocations, sink, compression)
    return layer, sink.getvalue()


def make_archive(
    folder: Path, layers: Iterable[tuple[StoredLayer, bytes]], *, name: str = "env.tar.zst", lock: str = ""
) -> tuple[Path, ArchiveIndex]:
    """Write an archive of some layers; return its path and index."""
    files = []
    for number, (layer, stored) in enumerate(layers):
        path = folder / f"{name}.layer-{number}"
        path.write_bytes(stored)
        files.append((layer, path))
    archive = folder / name
    index = write_archive(files, archive, make_lock=lambda _: lock, python="3.11.7")
    for _, path in files:
        path.unlink()
    return archive, index


def read_tree(folder: Path) -> dict[str, bytes | str | None]:
    """Read what is in a folder, without the metadata of the archive: bytes of files, targets of links, `None` for empty folders."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.startswith(".wq-package"):
            continue
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
        elif not any(path.iterdir()):
            found[name] = None
    return found

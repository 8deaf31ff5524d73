"""What a layer and an environment archive are (value module).

Knows the parts of a layer, its stored form and the index of an archive. Knows nothing of bytes on disk: text forms are
in `wq_package.archive.index_text`, the tar members in `wq_package.archive.tar_segment`.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from pathlib import Path

FORMAT_VERSION = 1
"""Version of the archive format; a reader refuses any other."""

METADATA_FOLDER = ".wq-package"
"""The folder of an environment that belongs to this package alone."""

INDEX_PATH = f"{METADATA_FOLDER}/index.json"
MANIFEST_FOLDER = f"{METADATA_FOLDER}/layers"
MAX_MANIFEST = 64 * 2**20
"""Bytes of a manifest that a reader takes in."""
PREFIX_NOTE = f"{METADATA_FOLDER}/prefix"
"""The file of an unpacked environment that says where it was relocated to."""

FIXED_MTIME = 946684800
"""The modification time of every member: 2000-01-01, later than any date that tar or zip dislike."""


class LayerKind(enum.Enum):
    """Where a layer's files come from."""

    INTERPRETER = "interpreter"
    WHEEL = "wheel"
    CONDA = "conda"
    LOCAL = "local"
    DATA = "data"
    LAUNCHER = "launcher"


class RelocationMode(enum.Enum):
    """How a placeholder in a file is replaced by the prefix."""

    TEXT = "text"
    BINARY = "binary"
    """Inside NUL-terminated strings, which keep their length."""


class Compression(enum.Enum):
    """How the stored bytes of a layer are compressed."""

    ZSTD = "zstd"
    GZIP = "gzip"


@dataclass(frozen=True, slots=True, order=True)
class Relocation:
    """A file that carries the prefix, for which `placeholder` stands in the layer."""

    path: str
    mode: RelocationMode
    placeholder: str


@dataclass(frozen=True, slots=True)
class LayerHeader:
    """What a layer is.

    Attributes:
        build: conda's build string, or empty.
        source: `sha256:<hex>` of the artefact that it was made from, or empty.
        machine: architecture (`x86_64`), or empty if it runs on any.
        glibc: the oldest C library that it runs on, or `None` if it needs none.
        imports: top-level import names that it provides.
    """

    kind: LayerKind
    name: str
    version: str
    build: str = ""
    source: str = ""
    machine: str = ""
    glibc: tuple[int, int] | None = None
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """A file, symbolic link or empty folder that goes into a layer.

    A file has a `source` (a path to read, or its bytes), a link has a `link_target`, a folder has neither.

    Attributes:
        path: relative to the prefix, with `/`.
        mode: only whether it is executable counts.
    """

    path: str
    mode: int
    source: Path | bytes | None
    link_target: str | None = None


class MemberKind(enum.Enum):
    """What a member of a layer is; there are no other kinds."""

    FILE = "file"
    LINK = "link"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a layer, as its manifest names it.

    Attributes:
        size: of a file, in bytes.
        digest: hex sha256 of a file's bytes; empty for links and folders.
        target: of a link.
    """

    path: str
    kind: MemberKind
    mode: int
    size: int = 0
    digest: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class LayerManifest:
    """The last member of every layer: what is in it and what must be relocated."""

    header: LayerHeader
    members: tuple[Member, ...]
    relocations: tuple[Relocation, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """One piece of a stored layer that is decompressed on its own.

    Attributes:
        offset: of its first byte in the stored layer.
        stored: bytes that it takes there.
        raw: bytes of tar that it holds.
    """

    offset: int
    stored: int
    raw: int


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A layer as it is kept and sent.

    Attributes:
        digest: hex sha256 of the uncompressed tar bytes; the layer's name everywhere.
        size: uncompressed bytes.
        stored_size: compressed bytes.
        stored_digest: hex sha256 of the compressed bytes.
        files: members, without the manifest.
    """

    header: LayerHeader
    digest: str
    size: int
    stored_size: int
    stored_digest: str
    files: int
    frames: tuple[Frame, ...]
    compression: Compression


@dataclass(frozen=True, slots=True)
class IndexedLayer:
    """A stored layer at its place in an archive."""

    stored: StoredLayer
    offset: int

    @property
    def digest(self) -> str:
        """The layer's name."""
        return self.stored.digest

    @property
    def header(self) -> LayerHeader:
        """What the layer is."""
        return self.stored.header

    @property
    def size(self) -> int:
        """Uncompressed bytes."""
        return self.stored.size

    @property
    def stored_size(self) -> int:
        """Bytes in the archive."""
        return self.stored.stored_size


@dataclass(frozen=True, slots=True)
class ArchiveIndex:
    """The table of contents of an environment archive.

    Attributes:
        environment: digest of the ordered layers; the environment's name everywhere.
        python: version of the interpreter in it (`3.11.7`).
        machine: architecture that it runs on, or empty for any.
        glibc: the oldest C library that it runs on, or `None`.
        lock: the lock that it was built from, or empty.
    """

    format_version: int
    environment: str
    compression: Compression
    python: str
    machine: str
    glibc: tuple[int, int] | None
    layers: tuple[IndexedLayer, ...]
    lock: str = ""

    @property
    def digests(self) -> tuple[str, ...]:
        """The layers' digests, in order."""
        return tuple(layer.digest for layer in self.layers)


def make_manifest_path(header: LayerHeader) -> str:
    """Name the member that holds a layer's manifest."""
    words = (header.name, header.version, header.build)
    stem = "-".join(re.sub(r"[^A-Za-z0-9._+!-]", "_", word)[:80] for word in words if word)
    return f"{MANIFEST_FOLDER}/{stem}.json"

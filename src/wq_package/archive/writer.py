"""Writes layers and environment archives (shell module).

Meets the files that go in and the file that comes out. Which members are safe is decided in `wq_package.archive.member_paths`, their
bytes in `tar_segment` and `frames`. Holds a few frames in memory, never a layer.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from wq_package.archive.frames import FRAME_SIZE, encode_frame
from wq_package.archive.index_text import compute_environment_digest, render_index, render_manifest
from wq_package.archive.layer import (
    FORMAT_VERSION,
    INDEX_PATH,
    METADATA_FOLDER,
    ArchiveIndex,
    Compression,
    Frame,
    IndexedLayer,
    LayerEntry,
    LayerHeader,
    LayerManifest,
    Member,
    MemberKind,
    Relocation,
    StoredLayer,
    make_manifest_path,
)
from wq_package.archive.member_paths import check_link, check_path
from wq_package.archive.tar_segment import END_OF_ARCHIVE, TarMember, encode_header, make_mode, pad
from wq_package.archive.trailer import Trailer, encode_trailer
from wq_package.archive.unfinished import claim, name_unfinished, remove_abandoned
from wq_package.errors import ArchiveError, BuildError, CorruptArchiveError, DiskFullError, UnsafeMemberError

__all__ = ["compute_environment_digest", "write_archive", "write_layer"]

_THREADS = min(4, os.cpu_count() or 1)
_COPY_SIZE = 2**20
_NOT_HERE = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}
"""What the kernel says where it cannot copy between two files by itself, or reserve room in one."""
_RECORD = 20 * 512  # tar reads whole records of this size


def write_layer(
    header: LayerHeader,
    entries: Iterable[LayerEntry],
    relocations: Iterable[Relocation],
    sink: BinaryIO,
    compression: Compression,
) -> StoredLayer:
    """Write a layer's stored bytes to `sink` and tell what they are.

    The same header, entries and relocations give the same bytes, in whatever order and from whatever folder they come.

    Raises:
        UnsafeMemberError: an entry may not be a member.
        BuildError: a file could not be read or changed while it was read, or a path is there twice.
    """
    ordered = _sort_entries(entries)
    segment = _SegmentWriter(sink, compression)
    try:
        members = tuple(segment.add_entry(entry) for entry in ordered)
        manifest = LayerManifest(header, members, _check_relocations(relocations, members))
        segment.add_bytes(make_manifest_path(header), render_manifest(manifest).encode("ascii"))
        segment.finish()
    finally:
        segment.close()
    return StoredLayer(
        header=header,
        digest=segment.raw_hash.hexdigest(),
        size=segment.raw_size,
        stored_size=segment.stored_size,
        stored_digest=segment.stored_hash.hexdigest(),
        files=len(members),
        frames=tuple(segment.frames),
        compression=compression,
    )


def write_archive(
    layers: Iterable[tuple[StoredLayer | IndexedLayer, Path]],
    output: Path,
    *,
    make_lock: Callable[[Sequence[StoredLayer]], str] | None = None,
    python: str,
    verified: bool = False,
) -> ArchiveIndex:
    """Join stored layers into an environment archive, which appears at `output` complete or not at all.

    Args:
        layers: in order, each with the file that holds its stored bytes: a file of its own, or another archive, where they
            stand at the layer's offset. Each is copied as soon as it is there, while the next ones may still be made.
        output: where the archive goes; replaced if it is there.
        make_lock: writes the text of the environment's lock.
        python: version of the interpreter in it.
        verified: the caller has made sure that the files hold the layers; they are copied by the kernel, unread.

    Raises:
        CorruptArchiveError: a layer's file does not hold that layer.
    """
    copy = _copy_verified if verified else _copy_layer
    with _open_new(output) as file:
        written = [_copy_into(file, copy, layer, path) for layer, path in layers]
        index = _make_index(written, make_lock(written) if make_lock else "", python)
        _write_index(index, file)
    return index


def _copy_into(
    file: BinaryIO,
    copy: Callable[[IndexedLayer, Path, BinaryIO], None],
    layer: StoredLayer | IndexedLayer,
    path: Path,
) -> StoredLayer:
    placed = layer if isinstance(layer, IndexedLayer) else IndexedLayer(layer, 0)
    # A file whose room is given to it before it is written need not be flushed when it takes another one's name,
    # which takes as long as writing it; and a full disk is found at once.
    file.flush()
    with _ignored(_NOT_HERE):
        os.posix_fallocate(file.fileno(), file.tell(), placed.stored_size)
    copy(placed, path, file)
    return placed.stored


@contextmanager
def _ignored(numbers: Collection[int]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise


def _sort_entries(entries: Iterable[LayerEntry]) -> list[LayerEntry]:
    ordered = sorted(entries, key=lambda entry: entry.path)
    seen: set[str] = set()
    for entry in ordered:
        check_path(entry.path)
        if entry.path.split("/", 1)[0] == METADATA_FOLDER:
            raise UnsafeMemberError(entry.path, f"`{METADATA_FOLDER}` belongs to the archive itself")
        if entry.path in seen:
            raise BuildError(f"`{entry.path}` goes into one layer twice")
        seen.add(entry.path)
    return ordered


def _check_relocations(
    relocations: Iterable[Relocation], members: Sequence[Member]
) -> tuple[Relocation, ...]:
    files = {member.path for member in members if member.kind is MemberKind.FILE}
    ordered = tuple(sorted(relocations, key=lambda item: (item.path, item.mode.value, item.placeholder)))
    for item in ordered:
        if item.path not in files:
            raise BuildError(f"`{item.path}` is to be relocated and is not a file of the layer")
        if not item.placeholder.startswith("/"):
            raise BuildError(f"the placeholder of `{item.path}` is not an absolute path")
    return ordered


class _SegmentWriter:
    """Cuts tar members into frames, compresses them on several cores and writes them in order."""

    def __init__(self, sink: BinaryIO, compression: Compression) -> None:
        self.raw_hash = hashlib.sha256()
        self.raw_size = 0
        self.stored_hash = hashlib.sha256()
        self.stored_size = 0
        self.frames: list[Frame] = []
        self._sink = sink
        self._compression = compression
        self._buffer = bytearray()
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[tuple[int, Future[bytes]]] = deque()

    def add_entry(self, entry: LayerEntry) -> Member:
        if entry.link_target is not None:
            check_link(entry.path, entry.link_target)
            member = Member(entry.path, MemberKind.LINK, 0o777, target=entry.link_target)
        elif entry.source is None:
            member = Member(entry.path, MemberKind.FOLDER, 0o755)
        elif isinstance(entry.source, Path):
            return self._add_file(entry, entry.source)
        else:
            return self.add_bytes(entry.path, entry.source, entry.mode)
        self._add(encode_header(TarMember(member.path, member.kind, member.mode, 0, member.target)))
        return member

    def add_bytes(self, path: str, data: bytes, mode: int = 0o644) -> Member:
        mode = make_mode(MemberKind.FILE, mode)
        self._add(encode_header(TarMember(path, MemberKind.FILE, mode, len(data))))
        self._add(data)
        self._add(bytes(pad(len(data))))
        return Member(path, MemberKind.FILE, mode, len(data), hashlib.sha256(data).hexdigest())

    def _add_file(self, entry: LayerEntry, source: Path) -> Member:
        with _explained(source):
            file = source.open("rb", buffering=0)
        with file:
            size = os.fstat(file.fileno()).st_size
            mode = make_mode(MemberKind.FILE, entry.mode)
            self._add(encode_header(TarMember(entry.path, MemberKind.FILE, mode, size)))
            digest = self._copy_file(file.fileno(), size, source)
        self._add(bytes(pad(size)))
        return Member(entry.path, MemberKind.FILE, mode, size, digest)

    def _copy_file(self, file: int, size: int, source: Path) -> str:
        digest = hashlib.sha256()
        left = size
        while left:
            with _explained(
                source
            ):  # and not what goes wrong while it is written: a full disk is no fault of the source
                data = os.read(file, min(left, _COPY_SIZE))
            if not data:
                break
            digest.update(data)
            self._add(data)
            left -= len(data)
        if left or os.read(file, 1):
            raise BuildError(
                f"`{source}` changed while it was read", hint="build again when nothing writes to it"
            )
        return digest.hexdigest()

    def finish(self) -> None:
        if self._buffer:
            self._send(bytes(self._buffer))
        while self._waiting:
            self._write_next()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _add(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= FRAME_SIZE:
            self._send(bytes(memoryview(self._buffer)[:FRAME_SIZE]))
            del self._buffer[:FRAME_SIZE]

    def _send(self, raw: bytes) -> None:
        self.raw_hash.update(raw)
        self.raw_size += len(raw)
        if self._pool is None and len(raw) < FRAME_SIZE:  # a layer of one small frame needs no threads
            self._write(len(raw), encode_frame(raw, self._compression))
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, "wq-package-compress")
        self._waiting.append((len(raw), self._pool.submit(encode_frame, raw, self._compression)))
        if len(self._waiting) > _THREADS:
            self._write_next()

    def _write_next(self) -> None:
        raw_size, frame = self._waiting.popleft()
        self._write(raw_size, frame.result())

    def _write(self, raw_size: int, frame: bytes) -> None:
        self.stored_hash.update(frame)
        self.frames.append(Frame(self.stored_size, len(frame), raw_size))
        self.stored_size += len(frame)
        self._sink.write(frame)


@contextmanager
def _explained(source: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BuildError(f"`{source}` cannot be read ({error.strerror})") from error


def _make_index(layers: Sequence[StoredLayer], lock: str, python: str) -> ArchiveIndex:
    _check_layers(layers)
    indexed: list[IndexedLayer] = []
    offset = 0
    for layer in layers:
        indexed.append(IndexedLayer(layer, offset))
        offset += layer.stored_size
    return ArchiveIndex(
        format_version=FORMAT_VERSION,
        environment=compute_environment_digest([layer.digest for layer in layers]),
        compression=layers[0].compression,
        python=python,
        machine=next((layer.header.machine for layer in layers if layer.header.machine), ""),
        glibc=max((layer.header.glibc for layer in layers if layer.header.glibc), default=None),
        layers=tuple(indexed),
        lock=lock,
    )


def _check_layers(layers: Sequence[StoredLayer]) -> None:
    if not layers:
        raise ArchiveError("an archive has at least one layer")
    if len({layer.compression for layer in layers}) > 1:
        raise ArchiveError("the layers of one archive are compressed in different ways")
    machines = {layer.header.machine for layer in layers if layer.header.machine}
    if len(machines) > 1:
        raise BuildError(f"layers for different architectures: {', '.join(sorted(machines))}")
    names = [make_manifest_path(layer.header) for layer in layers]
    for name in names:
        if names.count(name) > 1:
            raise BuildError(f"two layers of one archive are both `{Path(name).stem}`")


@contextmanager
def _open_new(output: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name when all went well, and goes away when not."""
    remove_abandoned(output)
    temporary = name_unfinished(output)
    try:
        file = temporary.open("xb")
    except OSError as error:
        hint = "name a file in a folder that you may write to"
        raise BuildError(
            f"nothing can be written to `{output.parent}` ({error.strerror})", hint=hint
        ) from error
    try:
        with file:
            claim(file.fileno())
            yield file
        temporary.replace(output)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            hint = "free some space, or name a file on another disk"
            raise DiskFullError(f"`{output}` cannot be written ({error.strerror})", hint=hint) from error
        raise


def _copy_layer(layer: IndexedLayer, path: Path, file: BinaryIO) -> None:
    digest = hashlib.sha256()
    left = layer.stored_size
    try:
        with path.open("rb") as source:
            source.seek(layer.offset)
            while data := source.read(min(left, _COPY_SIZE)):
                digest.update(data)
                file.write(data)
                left -= len(data)
    except OSError as error:
        if error.filename is None:
            raise
        raise ArchiveError(f"`{path}` cannot be read ({error.strerror})") from error
    if digest.hexdigest() != layer.stored.stored_digest:
        raise _make_corrupt(layer, path)


def _copy_verified(layer: IndexedLayer, path: Path, file: BinaryIO) -> None:
    left = layer.stored_size
    try:
        with path.open("rb") as source:
            source.seek(layer.offset)
            while left and (done := os.copy_file_range(source.fileno(), file.fileno(), left)):
                left -= done
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        file.seek(left - layer.stored_size, os.SEEK_CUR)
        _copy_layer(layer, path, file)
        return
    if left:
        raise _make_corrupt(layer, path)


def _make_corrupt(layer: IndexedLayer, path: Path) -> CorruptArchiveError:
    return CorruptArchiveError(
        str(path), (f"it does not hold layer {layer.digest[:12]} ({layer.header.name})",)
    )


def _write_index(index: ArchiveIndex, file: BinaryIO) -> None:
    text = render_index(index).encode("ascii")
    raw = (
        encode_header(TarMember(INDEX_PATH, MemberKind.FILE, 0o644, len(text))) + text + bytes(pad(len(text)))
    )
    raw += END_OF_ARCHIVE
    raw += bytes(-(sum(layer.size for layer in index.layers) + len(raw)) % _RECORD)
    pieces = [raw[start : start + FRAME_SIZE] for start in range(0, len(raw), FRAME_SIZE)]
    stored = b"".join(encode_frame(piece, index.compression) for piece in pieces)
    offset = sum(layer.stored_size for layer in index.layers)
    trailer = Trailer(index.compression, offset, len(stored), hashlib.sha256(stored).digest())
    file.write(stored + encode_trailer(trailer))

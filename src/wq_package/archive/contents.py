"""Reads what a layer holds, out of its last frames: names and digests, without unpacking (shell module).

The manifest is a layer's last member, so that a few frames from the end are enough. Takes it for what it says: that a
manifest is true, `wq_package.archive.verify` finds out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

from wq_package.archive.decoder import LayerDecoder
from wq_package.archive.frames import FrameError, decode_body, decode_head
from wq_package.archive.index_text import TextError, parse_manifest
from wq_package.archive.layer import IndexedLayer, LayerManifest, MemberKind, StoredLayer, make_manifest_path
from wq_package.archive.reader import ArchiveReader
from wq_package.archive.tar_segment import SegmentError, SegmentParser, TarMember, encode_header, pad
from wq_package.errors import CorruptArchiveError

__all__ = ["read_archived_files", "read_archived_manifest", "read_manifest", "read_stored_files"]

_BLOCK = 512


def read_manifest(descriptor: int, offset: int, layer: StoredLayer) -> LayerManifest:
    """Read the manifest of a stored layer.

    Args:
        descriptor: of an open file that has the layer's stored bytes.
        offset: where they begin.
        layer: what is known of it.

    Raises:
        FrameError: the stored bytes are damaged.
        TextError: there is no manifest at their end.
    """
    tail = b""
    for frame in reversed(layer.frames):
        stored = os.pread(descriptor, frame.stored, offset + frame.offset)
        head = decode_head(stored[:64])
        tail = decode_body(head, stored[head.size : head.size + head.body]) + tail
        text = _find_manifest(tail, make_manifest_path(layer.header))
        if text is not None:
            return parse_manifest(text)
    raise TextError("it has no manifest")


def _find_manifest(tail: bytes, path: str) -> bytes | None:
    """Find the last member in the end of a segment; its text has no NUL, so no header can be mistaken for it."""
    name = path.encode()[:100]
    for start in range(len(tail) - _BLOCK, -1, -_BLOCK):
        if not tail.startswith(name, start):
            continue
        try:
            size = int(tail[start + 124 : start + 135], 8)
        except ValueError:
            continue
        header = encode_header(TarMember(path, MemberKind.FILE, 0o644, size))[-_BLOCK:]
        if tail.startswith(header, start) and start + _BLOCK + size + pad(size) == len(tail):
            return tail[start + _BLOCK : start + _BLOCK + size]
    return None


def read_archived_manifest(archive: ArchiveReader, layer: IndexedLayer) -> LayerManifest:
    """Read the manifest of a layer of an archive.

    Raises:
        CorruptArchiveError: the layer is damaged.
    """
    try:
        return read_manifest(archive.fileno(), layer.offset, layer.stored)
    except (FrameError, TextError) as error:
        raise _refuse(archive, layer, error) from error


def read_archived_files(
    archive: ArchiveReader, layer: IndexedLayer, is_wanted: Callable[[str], bool]
) -> dict[str, bytes]:
    """Read some small files of a layer, by their paths; the layer's digest is compared on the way.

    Raises:
        CorruptArchiveError: the layer is damaged.
    """
    try:
        with archive.open_layer(layer.digest) as stream:
            return read_stored_files(stream, layer.stored, is_wanted)
    except (FrameError, SegmentError) as error:
        raise _refuse(archive, layer, error) from error


def read_stored_files(
    stream: BinaryIO, layer: StoredLayer, is_wanted: Callable[[str], bool]
) -> dict[str, bytes]:
    """Read some small files of a stored layer, by their paths; the layer's digest is compared on the way.

    Raises:
        FrameError: the stored bytes are damaged.
        SegmentError: the layer is not in canonical form.
    """
    found: dict[str, bytearray] = {}
    for path, data in _iter_pieces(stream, layer):
        if path in found or is_wanted(path):
            found.setdefault(path, bytearray()).extend(data)
    return {path: bytes(data) for path, data in found.items()}


def _iter_pieces(stream: BinaryIO, layer: StoredLayer) -> Iterator[tuple[str, bytes | memoryview]]:
    parser = SegmentParser()
    with LayerDecoder() as decoder:
        for raw in decoder.iter_raw(stream, layer.digest, layer.size):
            for piece in parser.feed(raw):
                yield piece.member.path, piece.data


def _refuse(archive: ArchiveReader, layer: IndexedLayer, error: Exception) -> CorruptArchiveError:
    issue = f"layer `{layer.header.name}` {layer.header.version}: {error}"
    return CorruptArchiveError(str(archive.path), (issue,), hint="fetch or build it again")

"""Reads the index of an environment archive and the stored bytes of its layers (shell module).

Opens the file once and never reads more of it than it is asked for. Unpacks nothing: that is `wq_package.archive.unpack`.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from wq_package.archive.frames import FrameError, decode_body, decode_head
from wq_package.archive.index_text import TextError, compute_environment_digest, parse_index, render_index
from wq_package.archive.layer import INDEX_PATH, ArchiveIndex, IndexedLayer, MemberKind
from wq_package.archive.tar_segment import END_OF_ARCHIVE, TarMember, encode_header, pad
from wq_package.archive.trailer import MAX_SIZE, Trailer, decode_trailer
from wq_package.errors import ArchiveError, CorruptArchiveError

_MAX_INDEX = 16 * 2**20
_COPY_SIZE = 2**20


class ArchiveReader:
    """An open environment archive.

    Safe to use from several threads: every read names its own offset.

    Raises:
        ArchiveError: the file cannot be opened.
        CorruptArchiveError: it is not an archive of ours, or its end is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise ArchiveError(
                f"`{path}` cannot be opened ({error.strerror})",
                hint="`wq-package build SPEC -o ARCHIVE` makes an archive",
            ) from error
        try:
            self.index, self.index_text = self._read_index()
        except BaseException:
            self._file.close()
            raise
        self._layers = {layer.digest: layer for layer in self.index.layers}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def fileno(self) -> int:
        """Give the open file's descriptor, for `sendfile`."""
        return self._file.fileno()

    def find_layer(self, digest: str) -> IndexedLayer | None:
        """Find a layer by its digest."""
        return self._layers.get(digest)

    def layer_range(self, digest: str) -> tuple[int, int]:
        """Tell where a layer's stored bytes are: offset and length."""
        layer = self._layers.get(digest)
        if layer is None:
            raise ArchiveError(f"`{self.path}` has no layer {digest[:12]}")
        return layer.offset, layer.stored_size

    def open_layer(self, digest: str) -> BinaryIO:
        """Open a layer's stored bytes as a stream of their own."""
        offset, size = self.layer_range(digest)
        return io.BufferedReader(_Range(self._file, offset, size), _COPY_SIZE)

    def find_damage(self) -> tuple[str, ...]:
        """Read every layer's stored bytes and name those that are damaged."""
        return tuple(issue for layer in self.index.layers if (issue := self._check_layer(layer)))

    def _check_layer(self, layer: IndexedLayer) -> str:
        digest = hashlib.sha256()
        with self.open_layer(layer.digest) as stream:
            while data := stream.read(_COPY_SIZE):
                digest.update(data)
        if digest.hexdigest() == layer.stored.stored_digest:
            return ""
        return f"layer `{layer.header.name}` {layer.header.version} ({layer.digest[:12]}) was altered"

    def _read_index(self) -> tuple[ArchiveIndex, str]:
        try:
            trailer, trailer_size = self._read_trailer()
            text = self._read_index_text(trailer)
            index = parse_index(text)
            if render_index(index) != text:
                raise TextError("its index is not in canonical form")
            self._check_index(index, trailer, trailer_size)
        except (FrameError, TextError) as error:
            raise self._refuse(str(error)) from error
        except OSError as error:
            raise ArchiveError(f"`{self.path}` cannot be read ({error.strerror})") from error
        return index, text

    def _read_trailer(self) -> tuple[Trailer, int]:
        self._size = os.fstat(self._file.fileno()).st_size
        start = max(0, self._size - MAX_SIZE)
        return decode_trailer(os.pread(self._file.fileno(), self._size - start, start))

    def _read_index_text(self, trailer: Trailer) -> str:
        if trailer.length > _MAX_INDEX or trailer.offset + trailer.length > self._size:
            raise FrameError("its end does not fit its length")
        stored = os.pread(self._file.fileno(), trailer.length, trailer.offset)
        if hashlib.sha256(stored).digest() != trailer.digest:
            raise FrameError("its index was altered")
        return _extract_index(_decode_frames(stored))

    def _check_index(self, index: ArchiveIndex, trailer: Trailer, trailer_size: int) -> None:
        offset = 0
        for layer in index.layers:
            if layer.offset != offset:
                raise TextError("its layers do not follow each other")
            offset += layer.stored_size
        if offset != trailer.offset or trailer.offset + trailer.length + trailer_size != self._size:
            raise TextError("its layers, index and end do not fill it")
        if len(set(index.digests)) != len(index.layers):
            raise TextError("it has a layer twice")
        if index.environment != compute_environment_digest(index.digests):
            raise TextError("its name is not that of its layers")
        compressions = {index.compression, *(layer.stored.compression for layer in index.layers)}
        if compressions != {trailer.compression}:
            raise TextError("its index names another compression than it has")

    def _refuse(self, issue: str) -> CorruptArchiveError:
        return CorruptArchiveError(
            str(self.path),
            (issue,),
            hint="it is incomplete, altered or not an environment archive: fetch or build it again",
        )


def _decode_frames(stored: bytes) -> bytes:
    raw = bytearray()
    position = 0
    while position < len(stored):
        head = decode_head(stored[position : position + 64])
        body = stored[position + head.size : position + head.size + head.body]
        if len(body) != head.body or len(raw) + head.raw > _MAX_INDEX:
            raise FrameError("its index is cut short or too large")
        raw += decode_body(head, body)
        position += head.size + head.body
    return bytes(raw)


def _extract_index(raw: bytes) -> str:
    """Take the index's text out of the last segment, which holds it and the tar's end and nothing else."""
    try:
        size = int(raw[124:135], 8)
        text = raw[512 : 512 + size]
        expected = (
            encode_header(TarMember(INDEX_PATH, MemberKind.FILE, 0o644, size)) + text + bytes(pad(size))
        )
        end = raw[len(expected) :]
        if raw.startswith(expected) and not any(end) and len(end) >= len(END_OF_ARCHIVE):
            return text.decode("ascii")
    except ValueError:
        pass
    raise FrameError("its index is damaged")


class _Range(io.RawIOBase):
    """A part of a file as a stream with a position of its own."""

    def __init__(self, file: io.FileIO, offset: int, size: int) -> None:
        self._file = file
        self._position = offset
        self._end = offset + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # narrower than typeshed's Buffer
        view = memoryview(buffer)[: self._end - self._position]
        count = os.preadv(self._file.fileno(), [view], self._position) if len(view) else 0
        self._position += count
        return count

"""The compressed pieces of a layer, each of which says how long it is (logic module).

A frame is a head and a body. The head is something that `zstd` and `gzip` skip by themselves: a skippable frame, or the extra
field of the member's header. It gives the sizes of the body, stored and raw, so that a stream can be cut into frames
without decompressing it, frames can be decompressed on several cores, and nothing can grow beyond what it announced.
Knows nothing of tar or of files. The codecs are imported when first used.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from functools import partial

from wq_package.archive.layer import Compression

FRAME_SIZE = 4 * 2**20
"""Raw bytes in every frame of a layer but the last."""

MAX_RAW_FRAME = 16 * 2**20
"""A reader refuses frames that announce more."""

HEAD_SIZE = 16
"""Bytes that are enough to read any head's sizes: gzip's extra field ends later, see `FrameHead.size`."""

_ZSTD_LEVEL = 3
_GZIP_LEVEL = 3
_ZSTD_HEAD = struct.Struct("<IIII")
_ZSTD_SKIPPABLE = 0x184D2A57
_GZIP_HEAD = struct.Struct("<10sH2sHII")
# Magic, deflate, FEXTRA, no time, no flags, unknown system (RFC 1952).
GZIP_MEMBER = b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff"
_GZIP_FIELD = b"WQ"
_GZIP_TAIL = struct.Struct("<II")


class FrameError(Exception):
    """The bytes are not a frame; the shell that met them says where."""


@dataclass(frozen=True, slots=True)
class FrameHead:
    """What a frame's head says.

    Attributes:
        size: of the head itself.
        body: bytes that follow it.
        raw: bytes that they decompress to.
    """

    compression: Compression
    size: int
    body: int
    raw: int


def head_size(compression: Compression) -> int:
    """Tell how long the head of every frame of a compression is."""
    return _ZSTD_HEAD.size if compression is Compression.ZSTD else _GZIP_HEAD.size


def decode_head(start: bytes) -> FrameHead:
    """Read a head from a frame's first bytes, of which `HEAD_SIZE` tell the compression and all of them the sizes."""
    if start[:4] == _ZSTD_SKIPPABLE.to_bytes(4, "little"):
        return _decode_zstd_head(start)
    if start[:10] == GZIP_MEMBER:
        return _decode_gzip_head(start)
    raise FrameError("no frame of an environment archive begins here")


def find_compression(start: bytes) -> Compression:
    """Tell a frame's compression from its first bytes."""
    if start[:4] == _ZSTD_SKIPPABLE.to_bytes(4, "little"):
        return Compression.ZSTD
    if start[:10] == GZIP_MEMBER:
        return Compression.GZIP
    raise FrameError("no frame of an environment archive begins here")


def _decode_zstd_head(start: bytes) -> FrameHead:
    if len(start) < _ZSTD_HEAD.size:
        raise FrameError("a frame is cut short")
    _, length, body, raw = _ZSTD_HEAD.unpack_from(start)
    if length != 8:
        raise FrameError("a frame's head is damaged")
    return _check_head(FrameHead(Compression.ZSTD, _ZSTD_HEAD.size, body, raw))


def _decode_gzip_head(start: bytes) -> FrameHead:
    if len(start) < _GZIP_HEAD.size:
        raise FrameError("a frame is cut short")
    _, extra, name, length, body, raw = _GZIP_HEAD.unpack_from(start)
    if (extra, name, length) != (12, _GZIP_FIELD, 8):
        raise FrameError("a frame's head is damaged")
    return _check_head(FrameHead(Compression.GZIP, _GZIP_HEAD.size, body, raw))


def _check_head(head: FrameHead) -> FrameHead:
    # Compression never makes a frame much longer than what goes in.
    if not 0 < head.raw <= MAX_RAW_FRAME or not 0 < head.body <= MAX_RAW_FRAME + 2**16:
        raise FrameError("a frame announces a size that no frame has")
    return head


def encode_frame(raw: bytes, compression: Compression) -> bytes:
    """Compress `raw` into a frame; the same bytes always give the same frame."""
    if compression is Compression.ZSTD:
        body = _compress_zstd(raw)
        return _ZSTD_HEAD.pack(_ZSTD_SKIPPABLE, 8, len(body), len(raw)) + body
    body = _compress_gzip(raw)
    return _GZIP_HEAD.pack(GZIP_MEMBER, 12, _GZIP_FIELD, 8, len(body), len(raw)) + body


def decode_body(head: FrameHead, body: bytes) -> bytes:
    """Decompress a frame's body; never gives more than its head announced."""
    decompress = partial(_DECOMPRESSORS[head.compression], body, head.raw)
    raw = decompress()
    if len(raw) != head.raw:
        raise FrameError("a frame holds less or more than it announces")
    return raw


def _compress_zstd(raw: bytes) -> bytes:
    import zstandard  # here, because only whoever meets zstd pays for it

    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True, write_content_size=True)
    return bytes(compressor.compress(raw))


def _decompress_zstd(body: bytes, limit: int) -> bytes:
    import zstandard  # here, because only whoever meets zstd pays for it

    try:
        # zstandard allocates what the frame itself announces, whatever limit it is given.
        if zstandard.frame_content_size(body) != limit:
            raise FrameError("a frame holds less or more than it announces")
        raw = zstandard.ZstdDecompressor().decompress(body, limit, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise FrameError(f"a frame cannot be decompressed ({error})") from error
    return bytes(raw)


def _compress_gzip(raw: bytes) -> bytes:
    from isal import isal_zlib  # here, because only whoever meets gzip pays for it

    deflated = isal_zlib.compress(raw, _GZIP_LEVEL, -15)
    return bytes(deflated) + _GZIP_TAIL.pack(zlib.crc32(raw), len(raw))


def _decompress_gzip(body: bytes, limit: int) -> bytes:
    from isal import isal_zlib  # here, because only whoever meets gzip pays for it

    inflater = isal_zlib.decompressobj(-15)
    try:
        raw = bytes(inflater.decompress(body, limit + 1))
    except isal_zlib.error as error:  # type: ignore[misc]  # isal's stub calls the class an instance
        raise FrameError(f"a frame cannot be decompressed ({error})") from error
    if not inflater.eof or inflater.unused_data != _GZIP_TAIL.pack(zlib.crc32(raw), len(raw)):
        raise FrameError("a frame's checksum is wrong")
    return raw


_DECOMPRESSORS = {Compression.ZSTD: _decompress_zstd, Compression.GZIP: _decompress_gzip}

"""The last bytes of an archive, which say where its index is (logic module).

Something that `zstd` and `gzip` skip: a skippable frame, or an empty gzip member whose extra field holds the payload. Both have one
fixed length and one canonical form, so that a reader finds them from the end of the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from wq_package.archive.frames import GZIP_MEMBER, FrameError
from wq_package.archive.layer import FORMAT_VERSION, Compression

_PAYLOAD = struct.Struct("<8sHQQ32s")
_MAGIC = b"wqpindex"
_SKIPPABLE = struct.pack("<II", 0x184D2A58, _PAYLOAD.size)
_GZIP_EXTRA = struct.pack("<H2sH", 4 + _PAYLOAD.size, b"WI", _PAYLOAD.size)
_GZIP_END = b"\x03\x00" + bytes(8)  # an empty deflate block, the CRC and the size of nothing

MAX_SIZE = 10 + len(_GZIP_EXTRA) + _PAYLOAD.size + len(_GZIP_END)
"""The last bytes of a file that are enough to find any trailer in."""


@dataclass(frozen=True, slots=True)
class Trailer:
    """Where the index segment of an archive is.

    Attributes:
        offset: of its first byte in the file.
        length: of its compressed bytes.
        digest: sha256 of them.
    """

    compression: Compression
    offset: int
    length: int
    digest: bytes


def encode_trailer(trailer: Trailer) -> bytes:
    """Write an archive's last bytes."""
    payload = _PAYLOAD.pack(_MAGIC, FORMAT_VERSION, trailer.offset, trailer.length, trailer.digest)
    if trailer.compression is Compression.ZSTD:
        return _SKIPPABLE + payload
    return GZIP_MEMBER + _GZIP_EXTRA + payload + _GZIP_END


def decode_trailer(end: bytes) -> tuple[Trailer, int]:
    """Read the trailer from the end of a file, and tell how long it is.

    Raises:
        FrameError: no trailer of this format is there.
    """
    for compression, tail in ((Compression.ZSTD, b""), (Compression.GZIP, _GZIP_END)):
        stop = len(end) - len(tail)
        start = stop - _PAYLOAD.size
        if start < 0 or end[start : start + len(_MAGIC)] != _MAGIC:
            continue
        _, version, offset, length, digest = _PAYLOAD.unpack_from(end, start)
        if version != FORMAT_VERSION:
            raise FrameError(
                f"it has format version {version}, and this program reads version {FORMAT_VERSION}"
            )
        trailer = Trailer(compression, offset, length, digest)
        encoded = encode_trailer(trailer)
        if end.endswith(encoded):
            return trailer, len(encoded)
    raise FrameError("it does not end as an environment archive does")

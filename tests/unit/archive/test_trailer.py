from __future__ import annotations

import gzip
import hashlib

import pytest

from wq_package.archive.frames import FrameError
from wq_package.archive.layer import Compression
from wq_package.archive.trailer import MAX_SIZE, Trailer, decode_trailer, encode_trailer

_TRAILERS = [Trailer(kind, 2**40 + 7, 12345, hashlib.sha256(b"i").digest()) for kind in Compression]


@pytest.mark.parametrize("trailer", _TRAILERS, ids=lambda trailer: trailer.compression.value)
def test_trailer__at_the_end_of_a_file__is_found(trailer: Trailer) -> None:
    encoded = encode_trailer(trailer)
    assert len(encoded) <= MAX_SIZE
    assert decode_trailer((b"before" * 100 + encoded)[-MAX_SIZE:]) == (trailer, len(encoded))


@pytest.mark.parametrize("trailer", _TRAILERS, ids=lambda trailer: trailer.compression.value)
def test_trailer__any_byte_flipped__is_an_error_or_other_numbers(trailer: Trailer) -> None:
    encoded = encode_trailer(trailer)
    for position in range(len(encoded)):
        damaged = bytearray(encoded)
        damaged[position] ^= 1
        try:
            assert decode_trailer(bytes(damaged))[0] != trailer
        except FrameError:
            continue


def test_trailer__in_gzip__is_an_empty_member() -> None:
    assert gzip.decompress(gzip.compress(b"x") + encode_trailer(_TRAILERS[1])) == b"x"


def test_decode_trailer__another_version__says_so() -> None:
    encoded = encode_trailer(_TRAILERS[0])
    with pytest.raises(FrameError, match="format version 9"):
        decode_trailer(encoded[:16] + b"\x09\x00" + encoded[18:])


@pytest.mark.parametrize("end", [b"", b"x", bytes(MAX_SIZE)])
def test_decode_trailer__none_there__is_an_error(end: bytes) -> None:
    with pytest.raises(FrameError, match="does not end"):
        decode_trailer(end)

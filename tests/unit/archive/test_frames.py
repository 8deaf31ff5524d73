from __future__ import annotations

import gzip
import os

import pytest
import zstandard

from wq_package.archive.frames import (
    MAX_RAW_FRAME,
    FrameError,
    decode_body,
    decode_head,
    encode_frame,
    find_compression,
    head_size,
)
from wq_package.archive.layer import Compression

_RAW = b"some text, " * 1000 + os.urandom(1000)


@pytest.fixture(params=list(Compression), ids=lambda value: value.value)
def compression(request: pytest.FixtureRequest) -> Compression:
    assert isinstance(request.param, Compression)
    return request.param


def _decode(frame: bytes) -> bytes:
    head = decode_head(frame)
    body = frame[head.size :]
    assert len(body) == head.body
    return decode_body(head, body)


def _decode_cut(frame: bytes) -> bytes:
    head = decode_head(frame)
    return decode_body(head, frame[head.size :])


def test_frame__encoded_and_decoded__is_the_same(compression: Compression) -> None:
    frame = encode_frame(_RAW, compression)
    assert find_compression(frame) is compression
    assert decode_head(frame).size == head_size(compression)
    assert _decode(frame) == _RAW
    assert encode_frame(_RAW, compression) == frame


def test_frame__two_in_a_row__are_one_stream_to_others() -> None:
    assert gzip.decompress(encode_frame(_RAW, Compression.GZIP) * 2) == _RAW * 2
    reader = zstandard.ZstdDecompressor().stream_reader(
        encode_frame(_RAW, Compression.ZSTD) * 2, read_across_frames=True
    )
    assert reader.read(3 * len(_RAW)) == _RAW * 2


def test_decode__any_byte_of_a_frame_flipped__never_gives_other_bytes(compression: Compression) -> None:
    frame = encode_frame(_RAW[:300], compression)
    for position in range(len(frame)):
        damaged = bytearray(frame)
        damaged[position] ^= 1 << position % 8
        try:
            head = decode_head(bytes(damaged))
            assert decode_body(head, bytes(damaged[head.size : head.size + head.body])) == _RAW[:300]
        except FrameError:
            continue


def test_decode__cut_at_any_byte__is_an_error(compression: Compression) -> None:
    frame = encode_frame(_RAW[:300], compression)
    for length in range(len(frame)):
        with pytest.raises(FrameError):
            _decode_cut(frame[:length])


@pytest.mark.parametrize("start", [b"", b"BZh9", b"\x1f\x8b\x08\x00" + bytes(20), bytes(64)])
def test_decode_head__something_else__is_an_error(start: bytes) -> None:
    with pytest.raises(FrameError, match="no frame"):
        decode_head(start)
    with pytest.raises(FrameError, match="no frame"):
        find_compression(start)


def test_decode_head__announces_more_than_any_frame_has__is_an_error(compression: Compression) -> None:
    frame = encode_frame(b"x", compression)
    head = head_size(compression)
    bomb = frame[: head - 4] + (MAX_RAW_FRAME + 1).to_bytes(4, "little") + frame[head:]
    with pytest.raises(FrameError, match="no frame has"):
        decode_head(bomb)


def test_decode_body__holds_more_than_announced__is_an_error(compression: Compression) -> None:
    frame = encode_frame(bytes(100_000), compression)
    head = head_size(compression)
    lie = frame[: head - 4] + (50).to_bytes(4, "little") + frame[head:]
    with pytest.raises(FrameError):
        _decode(lie)


def test_decode_body__zstd_frame_that_claims_a_terabyte__allocates_nothing() -> None:
    # Frame header descriptor 0xE0: single segment, content size in 8 bytes.
    body = b"\x28\xb5\x2f\xfd\xe0" + (2**40).to_bytes(8, "little") + b"\x01\x00\x00"
    head = decode_head(encode_frame(b"x" * 50, Compression.ZSTD))
    with pytest.raises(FrameError, match="announces"):
        decode_body(head, body)

from __future__ import annotations

import hashlib
import io
import threading

import pytest

from small_archives import make_layer
from wq_package.archive.decoder import LayerDecoder
from wq_package.archive.frames import FrameError, encode_frame
from wq_package.archive.layer import Compression


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("size", [10, 30_000_000])
def test_iter_raw__any_size__gives_the_segment_in_order(compression: Compression, size: int) -> None:
    layer, stored = make_layer({"a": bytes(range(250)) * (size // 250)}, compression=compression)
    with LayerDecoder() as decoder:
        raw = b"".join(decoder.iter_raw(io.BytesIO(stored), layer.digest, layer.size))
    assert len(raw) == layer.size
    assert hashlib.sha256(raw).hexdigest() == layer.digest


def test_iter_raw__wrong_digest__is_an_error_in_the_end() -> None:
    layer, stored = make_layer({"a": bytes(9_000_000)})
    with LayerDecoder() as decoder, pytest.raises(FrameError, match="was altered"):
        for _ in decoder.iter_raw(io.BytesIO(stored), "0" * 64, layer.size):
            pass


class _Counting(io.BytesIO):
    """Counts what was read of it."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_iter_raw__nobody_takes_the_bytes__reads_only_a_few_frames_ahead() -> None:
    frame = encode_frame(bytes(4 * 2**20), Compression.ZSTD)
    stream = _Counting(frame * 50)
    with LayerDecoder() as decoder:
        pieces = decoder.iter_raw(stream, "0" * 64, 200 * 2**20)
        next(pieces)
        assert stream.taken <= 7 * len(frame)


def test_close__after_large_layers__ends_the_threads() -> None:
    layer, stored = make_layer({"a": bytes(9_000_000)})
    before = threading.active_count()
    with LayerDecoder() as decoder:
        next(decoder.iter_raw(io.BytesIO(stored), layer.digest, layer.size))
        assert threading.active_count() > before
    assert threading.active_count() == before

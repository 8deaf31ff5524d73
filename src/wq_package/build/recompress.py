"""Turn a stored layer into the other compression, which takes a tenth of making it again (shell module).

Knows frames. The tar bytes inside stay the same, and so does the layer's digest.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from wq_package.archive.frames import FrameError, decode_body, decode_head, encode_frame
from wq_package.archive.layer import Compression, Frame, StoredLayer
from wq_package.errors import CorruptArchiveError

__all__ = ["recompress_layer"]

_THREADS = min(4, os.cpu_count() or 1)


def recompress_layer(layer: StoredLayer, path: Path, sink: BinaryIO, compression: Compression) -> StoredLayer:
    """Write the stored bytes of `layer`, which `path` holds, in another compression.

    Raises:
        CorruptArchiveError: the file does not hold the layer.
    """
    raw_hash, stored_hash, frames, offset = hashlib.sha256(), hashlib.sha256(), list[Frame](), 0
    try:
        for raw, stored in _iter_frames(layer, path, compression):
            raw_hash.update(raw)
            stored_hash.update(stored)
            sink.write(stored)
            frames.append(Frame(offset, len(stored), len(raw)))
            offset += len(stored)
    except FrameError as error:
        raise CorruptArchiveError(str(path), (str(error),)) from error
    if raw_hash.hexdigest() != layer.digest:
        raise CorruptArchiveError(str(path), (f"it does not hold layer {layer.digest[:12]}",))
    return replace(
        layer,
        stored_size=offset,
        stored_digest=stored_hash.hexdigest(),
        frames=tuple(frames),
        compression=compression,
    )


def _iter_frames(layer: StoredLayer, path: Path, compression: Compression) -> Iterator[tuple[bytes, bytes]]:
    """Decompress and compress on several cores; a few frames are in memory at once."""

    def convert(frame: bytes) -> tuple[bytes, bytes]:
        head = decode_head(frame)
        raw = decode_body(head, frame[head.size :])
        return raw, encode_frame(raw, compression)

    waiting: deque[Future[tuple[bytes, bytes]]] = deque()
    with ThreadPoolExecutor(_THREADS, "wq-package-recompress") as pool:
        for frame in _read_frames(layer.frames, path):
            waiting.append(pool.submit(convert, frame))
            if len(waiting) > _THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read_frames(frames: Iterable[Frame], path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for frame in frames:
            yield file.read(frame.stored)

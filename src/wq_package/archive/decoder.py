"""Decompresses a stored layer from a stream, on several threads, and checks its digest (shell module).

Reads the stream in the caller's thread and gives raw bytes back in order, a few frames in memory at a time. Knows nothing of what the
bytes mean or where they go.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO, Self

from wq_package.archive.frames import (
    FrameError,
    FrameHead,
    decode_body,
    decode_head,
    find_compression,
    head_size,
)

_AHEAD = 4
_THREADS = min(4, os.cpu_count() or 1)


class LayerDecoder:
    """Decompresses any number of layers, one after the other. Threads start with the first layer that is large."""

    def __init__(self) -> None:
        self._decoders: ThreadPoolExecutor | None = None
        self._hasher: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads."""
        for pool in (self._decoders, self._hasher):
            if pool is not None:
                pool.shutdown(cancel_futures=True)

    def iter_raw(self, stream: BinaryIO, digest: str, size: int) -> Iterator[bytes]:
        """Yield a layer's raw bytes, a frame at a time; raise `FrameError` in the end if they have another digest."""
        found = hashlib.sha256()
        hashing: deque[Future[None]] = deque()
        for raw in self._iter_frames(stream, size):
            if self._hasher is None:
                found.update(raw)
            else:
                hashing.append(self._hasher.submit(found.update, raw))
            yield raw
            if len(hashing) > _AHEAD:  # or what is not hashed yet fills the memory
                hashing.popleft().result()
        if hashing:
            hashing[-1].result()  # one thread hashes in order: the last one done means all done
        if found.hexdigest() != digest:
            raise FrameError(f"layer {digest[:12]} was altered: it has digest {found.hexdigest()[:12]}")

    def _iter_frames(self, stream: BinaryIO, size: int) -> Iterator[bytes]:
        waiting: deque[Future[bytes]] = deque()
        for head, body in _iter_bodies(stream, size):
            if head.raw == size:  # a layer of one frame needs no threads
                yield decode_body(head, body)
                continue
            waiting.append(self._start_threads().submit(decode_body, head, body))
            while len(waiting) > _AHEAD or (waiting and waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _start_threads(self) -> ThreadPoolExecutor:
        if self._decoders is None:
            self._decoders = ThreadPoolExecutor(_THREADS, "wq-package-decompress")
            self._hasher = ThreadPoolExecutor(1, "wq-package-hash")
        return self._decoders


def _iter_bodies(stream: BinaryIO, size: int) -> Iterator[tuple[FrameHead, bytes]]:
    """Cut a stream into frames that hold `size` raw bytes altogether."""
    left = size
    while start := _read(stream, 16, may_end=True):
        start += _read(stream, head_size(find_compression(start)) - len(start))
        head = decode_head(start)
        left -= head.raw
        if left < 0:
            raise FrameError("it holds more than its index says")
        yield head, _read(stream, head.body)
    if left:
        raise FrameError("it is cut short")


def _read(stream: BinaryIO, count: int, *, may_end: bool = False) -> bytes:
    """Read exactly `count` bytes, or nothing at the stream's end where it may end."""
    pieces: list[bytes] = []
    have = 0
    while have < count and (data := stream.read(count - have)):
        pieces.append(data)
        have += len(data)
    if have < count and (have or not may_end):
        raise FrameError("it is cut short")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)

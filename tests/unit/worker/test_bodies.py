from __future__ import annotations

import errno
import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wq_package.errors import RemoteProtocolError
from wq_package.worker.bodies import BodyReceiver, keep_function

BODY = b"x" * 1000
DIGEST = hashlib.sha256(BODY).hexdigest()


@contextmanager
def short_files(size: int) -> Iterator[None]:
    """Let no file become larger, as if the disk were full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_keep_function__disk_is_full_in_the_middle_of_it__the_next_time_it_is_whole(tmp_path: Path) -> None:
    with short_files(10), pytest.raises(OSError, match="File too large") as caught:
        keep_function(DIGEST, BODY, "", tmp_path)
    assert caught.value.errno == errno.EFBIG
    assert not (tmp_path / DIGEST).exists()

    keep_function(DIGEST, BODY, "", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [DIGEST]
    assert (tmp_path / DIGEST).read_bytes() == BODY


@pytest.mark.parametrize("size", [1000, 200_000])
def test_keep_function__as_it_was_received__is_where_interpreters_look(tmp_path: Path, size: int) -> None:
    receiver = BodyReceiver(tmp_path / "bodies")
    receiver.begin(size)
    for start in range(0, size, 1000):
        receiver.take(b"%1000d" % start)
    whole = b"".join(b"%1000d" % start for start in range(0, size, 1000))
    digest = hashlib.sha256(whole).hexdigest()
    keep_function(digest, *receiver.finish(), tmp_path)
    assert (tmp_path / digest).read_bytes() == whole
    assert list((tmp_path / "bodies").iterdir()) == []


def test_keep_function__other_bytes_than_its_name_says__is_refused(tmp_path: Path) -> None:
    with pytest.raises(RemoteProtocolError):
        keep_function("0" * 64, BODY, "", tmp_path)
    assert list(tmp_path.iterdir()) == []

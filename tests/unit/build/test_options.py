from __future__ import annotations

from pathlib import Path

import pytest

from wq_package.archive.layer import Compression
from wq_package.build.options import find_compression
from wq_package.errors import BuildError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.tar.gz", Compression.GZIP),
        ("a.tgz", Compression.GZIP),
        ("a.b.tar.zst", Compression.ZSTD),
        ("a.tzst", Compression.ZSTD),
    ],
)
def test_find_compression__known_endings(name: str, expected: Compression) -> None:
    assert find_compression(Path("folder", name)) is expected


@pytest.mark.parametrize("name", ["a.zip", "a", "a.tar", ".tar.gz", "a.tar.gz.part"])
def test_find_compression__others__say_what_to_write(name: str) -> None:
    with pytest.raises(BuildError) as caught:
        find_compression(Path(name))

    assert ".tar.gz" in str(caught.value.hint)

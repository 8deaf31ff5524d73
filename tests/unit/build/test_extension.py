from __future__ import annotations

import pytest

from wq_package.archive.layer import (
    ArchiveIndex,
    Compression,
    IndexedLayer,
    LayerHeader,
    LayerKind,
    StoredLayer,
)
from wq_package.build.extension import list_kept


def _make_index(*headers: LayerHeader) -> ArchiveIndex:
    stored = [StoredLayer(header, "0" * 64, 1, 1, "0" * 64, 1, (), Compression.ZSTD) for header in headers]
    layers = tuple(IndexedLayer(layer, 0) for layer in stored)
    return ArchiveIndex(1, "0" * 64, Compression.ZSTD, "3.11.7", "", None, layers)


@pytest.mark.parametrize(
    ("there", "new", "stays"),
    [
        ("mine", "mine", False),
        ("mine", "mine.part", True),
        ("mine", "yours", True),
        ("mine-1.0.dist-info", "mine-1.0.dist-info", False),
        ("mine-1.0.dist-info", "mine-1.1.dist-info", False),
        ("My.Own-1.0.dist-info", "my_own-1.1.dist-info", False),
        ("mine-1.0.dist-info", "mine", True),
        ("mine", "mine-1.0.dist-info", True),
        ("mine-1.0.dist-info", "mine_too-1.0.dist-info", True),
    ],
)
def test_list_kept__local_source__stays_unless_there_is_another_of_it(
    there: str, new: str, stays: bool
) -> None:
    index = _make_index(LayerHeader(LayerKind.LOCAL, there, "0"))
    assert list_kept(index, [LayerHeader(LayerKind.LOCAL, new, "1")]) == (index.layers if stays else ())


def test_list_kept__distribution__always_stays() -> None:
    index = _make_index(LayerHeader(LayerKind.WHEEL, "mine", "1.0"))
    assert list_kept(index, [LayerHeader(LayerKind.LOCAL, "mine", "1")]) == index.layers

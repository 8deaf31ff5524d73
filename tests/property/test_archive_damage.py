"""Whatever happens to an archive's bytes, nothing but an `ArchiveError` comes of it, and nothing half-written is left."""

from __future__ import annotations

import functools
import io
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from small_archives import PLACEHOLDER, make_archive, make_layer, read_tree
from wq_package.archive.layer import Compression, Relocation, RelocationMode
from wq_package.archive.reader import ArchiveReader
from wq_package.archive.unpack import unpack_archive, unpack_layer
from wq_package.archive.verify import verify_archive
from wq_package.errors import ArchiveError, CorruptArchiveError
from wq_package.worker.store import Store

_COMPRESSIONS = st.sampled_from(list(Compression))


@functools.cache
def _make(compression: Compression) -> bytes:
    """An archive of two layers with every kind of member."""
    relocation = Relocation("etc/place", RelocationMode.TEXT, PLACEHOLDER)
    one = make_layer(
        {"bin/tool": b"#!/bin/sh\n", "etc/place": PLACEHOLDER.encode(), "lib/link": ("a",), "var": None},
        "one",
        relocations=[relocation],
        compression=compression,
    )
    two = make_layer(
        {"lib/" + "n" * 130: bytes(range(256)) * 3, "lib/empty": b""}, "two", compression=compression
    )
    with tempfile.TemporaryDirectory() as folder:
        path, _ = make_archive(Path(folder), [one, two], lock="a lock")
        return path.read_bytes()


def _try_unpack(data: bytes, compression: Compression) -> bool:
    """Unpack altered bytes; tell whether that succeeded, with the result of the unaltered ones, or left nothing at all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "e").write_bytes(data)
        try:
            unpack_archive(folder / "e", folder / "env")
        except ArchiveError:
            assert [path.name for path in folder.iterdir()] == ["e"]
            return False
        (folder / "e").write_bytes(_make(compression))
        found = read_tree(folder / "env")
        shutil.rmtree(folder / "env")
        unpack_archive(folder / "e", folder / "env")
        assert found == read_tree(folder / "env")
        return True


@pytest.mark.parametrize("compression", list(Compression))
def test_archive__cut_at_any_byte__is_refused(compression: Compression, tmp_path: Path) -> None:
    whole = _make(compression)
    for length in range(len(whole)):
        path = tmp_path / "e"
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptArchiveError):
            ArchiveReader(path)
        with pytest.raises(CorruptArchiveError):
            unpack_archive(path, tmp_path / "env")
    assert [entry.name for entry in tmp_path.iterdir()] == ["e"]


@pytest.mark.parametrize("compression", list(Compression))
def test_archive__any_one_byte_altered__verify_refuses_it(compression: Compression, tmp_path: Path) -> None:
    whole = _make(compression)
    path = tmp_path / "e"
    path.write_bytes(whole)
    verify_archive(path)
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position * 5 % 8)
        path.write_bytes(damaged)
        with pytest.raises(ArchiveError):
            verify_archive(path)


@given(_COMPRESSIONS, st.data())
@settings(max_examples=300, deadline=None)
def test_archive__some_bytes_altered__is_refused_or_means_the_same(
    compression: Compression, data: st.DataObject
) -> None:
    damaged = bytearray(_make(compression))
    changes = st.dictionaries(st.integers(0, len(damaged) - 1), st.integers(1, 255), min_size=1, max_size=4)
    for position, change in data.draw(changes).items():
        damaged[position] ^= change
    _try_unpack(bytes(damaged), compression)


@given(_COMPRESSIONS, st.data())
@settings(max_examples=150, deadline=None)
def test_archive__pieces_moved_removed_or_doubled__is_refused_or_means_the_same(
    compression: Compression, data: st.DataObject
) -> None:
    whole = _make(compression)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), min_size=2, max_size=4)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    order = data.draw(st.lists(st.sampled_from(range(len(pieces))), max_size=6))
    mixed = b"".join(pieces[number] for number in order)
    assert not _try_unpack(mixed, compression) or mixed == whole


@given(
    st.binary(max_size=2000), st.sampled_from([b"", b"\x1f\x8b\x08\x04", b"\x57\x2a\x4d\x18\x08\x00\x00\x00"])
)
@settings(max_examples=200, deadline=None)
def test_layer__arbitrary_bytes__are_refused(data: bytes, start: bytes) -> None:
    layer, _ = make_layer({"a": b"1"})
    with tempfile.TemporaryDirectory() as name, pytest.raises(ArchiveError):
        unpack_layer(io.BytesIO(start + data), layer, Path(name))


@given(_COMPRESSIONS, st.data())
@settings(max_examples=100, deadline=None)
def test_store__layer_altered_on_the_way__is_refused_or_means_the_same(
    compression: Compression, data: st.DataObject
) -> None:
    layer, stored = make_layer({"lib/a": b"x" * 700, "lib/b": ("a",)}, compression=compression)
    damaged = bytearray(stored)
    damaged[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name) / "store")
        try:
            store.add_layer(layer.digest, layer.size, io.BytesIO(bytes(damaged)))
        except ArchiveError:
            assert store.find_missing_layers([layer.digest])
            assert not list((store.root / "tmp").iterdir())
            assert not list((store.root / "layers").iterdir())
        else:
            assert read_tree(store.root / "layers" / layer.digest) == {"lib/a": b"x" * 700, "lib/b": "a"}

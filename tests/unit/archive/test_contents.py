from __future__ import annotations

import os
from pathlib import Path

import pytest

from small_archives import make_archive, make_layer
from wq_package.archive.contents import read_archived_files, read_archived_manifest
from wq_package.archive.layer import Compression, LayerHeader, LayerKind, Member, MemberKind
from wq_package.archive.reader import ArchiveReader
from wq_package.archive.tar_segment import TarMember, encode_header
from wq_package.errors import CorruptArchiveError


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("size", [0, 1, 4 * 2**20 - 700, 4 * 2**20 + 1])
def test_manifest__layer_of_any_size__is_found_at_its_end(
    tmp_path: Path, compression: Compression, size: int
) -> None:
    layer = make_layer({"a": os.urandom(size), "z": (("a",))}, compression=compression)
    path, index = make_archive(tmp_path, [make_layer({"b": b""}, "b", compression=compression), layer])

    with ArchiveReader(path) as archive:
        manifest = read_archived_manifest(archive, index.layers[1])

    assert manifest.header == layer[0].header
    assert [(member.path, member.size) for member in manifest.members] == [("a", size), ("z", 0)]
    assert manifest.members[1] == Member("z", MemberKind.LINK, 0o777, target="a")


def test_manifest__so_long_that_frames_cut_it__is_put_together(tmp_path: Path) -> None:
    names = {f"folder-{number:06}/{'x' * 80}": b"" for number in range(30_000)}
    path, index = make_archive(tmp_path, [make_layer(names)])

    with ArchiveReader(path) as archive:
        assert len(index.layers[0].stored.frames) > 1
        assert len(read_archived_manifest(archive, index.layers[0]).members) == len(names)


def test_manifest__name_longer_than_a_tar_field__is_found(tmp_path: Path) -> None:
    header = LayerHeader(LayerKind.WHEEL, "n" * 90, "1" * 90, "b" * 90)
    path, index = make_archive(tmp_path, [make_layer({"a": b"1"}, header=header)])

    with ArchiveReader(path) as archive:
        assert read_archived_manifest(archive, index.layers[0]).header == header


def test_manifest__file_that_looks_like_one__is_not_taken_for_it(tmp_path: Path) -> None:
    forged = encode_header(TarMember(".wq-package/layers/thing-1.0.json", MemberKind.FILE, 0o644, 3))
    path, index = make_archive(tmp_path, [make_layer({"a": forged + b"{}\n" + bytes(509)})])

    with ArchiveReader(path) as archive:
        assert [m.path for m in read_archived_manifest(archive, index.layers[0]).members] == ["a"]


def test_manifest__damaged_layer__is_refused(tmp_path: Path) -> None:
    path, index = make_archive(tmp_path, [make_layer({"a": b"1"})])
    data = bytearray(path.read_bytes())
    data[index.layers[0].stored_size // 2] ^= 0xFF
    path.write_bytes(data)

    with ArchiveReader(path) as archive, pytest.raises(CorruptArchiveError, match="layer `thing`"):
        read_archived_manifest(archive, index.layers[0])


def test_files__some_are_wanted__only_they_are_read(tmp_path: Path) -> None:
    path, index = make_archive(tmp_path, [make_layer({"a": b"1" * 9_000_000, "b": b"22", "c": b""})])

    with ArchiveReader(path) as archive:
        found = read_archived_files(archive, index.layers[0], lambda path: path in ("b", "c"))

    assert found == {"b": b"22", "c": b""}

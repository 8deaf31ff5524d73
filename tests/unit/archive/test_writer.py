from __future__ import annotations

import dataclasses
import errno
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from small_archives import make_archive, make_entries, make_layer
from wq_package.archive.frames import FRAME_SIZE
from wq_package.archive.layer import (
    Compression,
    IndexedLayer,
    LayerEntry,
    LayerHeader,
    LayerKind,
    Relocation,
    RelocationMode,
    StoredLayer,
)
from wq_package.archive.reader import ArchiveReader
from wq_package.archive.writer import compute_environment_digest, write_archive, write_layer
from wq_package.errors import ArchiveError, BuildError, CorruptArchiveError, UnsafeMemberError

_MEMBERS = {"bin/tool": b"#!/bin/sh\n", "lib/data": b"x" * 5000, "lib/link": ("data",), "var": None}
_HEADER = LayerHeader(LayerKind.WHEEL, "thing", "1.0")


@pytest.mark.parametrize("compression", list(Compression))
def test_write_layer__entries_in_any_order_and_from_any_source__same_bytes(
    compression: Compression, tmp_path: Path
) -> None:
    (tmp_path / "tool").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o600)
    entries = make_entries(_MEMBERS)
    entries[0] = LayerEntry("bin/tool", 0o711, tmp_path / "tool")
    sink = io.BytesIO()
    layer = write_layer(_HEADER, reversed(entries), [], sink, compression)
    assert (layer, sink.getvalue()) == make_layer(_MEMBERS, compression=compression)


def test_write_layer__digest__does_not_depend_on_the_compression() -> None:
    digests = {make_layer(_MEMBERS, compression=compression)[0].digest for compression in Compression}
    # Pinned: a layer that is stored anywhere keeps its name.
    assert digests == {"d18e6c7e95248a24737b202859f989993fd9201b9b9cd662e4c241ef30678df9"}


def test_write_layer__header__is_part_of_the_digest() -> None:
    assert make_layer(_MEMBERS)[0].digest != make_layer(_MEMBERS, version="1.1")[0].digest


def test_write_layer__larger_than_a_frame__is_cut_into_frames_that_add_up() -> None:
    layer, stored = make_layer({"a": b"a" * 9_000_000, "b": bytes(100)})
    assert len(layer.frames) == 3
    assert sum(frame.stored for frame in layer.frames) == layer.stored_size == len(stored)
    assert sum(frame.raw for frame in layer.frames) == layer.size
    assert layer.files == 2


@pytest.mark.parametrize("path", ["../x", "/x", ".wq-package/index.json", ".wq-package"])
def test_write_layer__member_that_could_not_be_unpacked__is_refused(path: str) -> None:
    with pytest.raises(UnsafeMemberError):
        make_layer({path: b""})


def test_write_layer__link_that_leads_out__is_refused() -> None:
    with pytest.raises(UnsafeMemberError):
        make_layer({"a": ("/usr/bin/python3",)})


def test_write_layer__path_twice__is_refused() -> None:
    with pytest.raises(BuildError, match="twice"):
        write_layer(_HEADER, make_entries({"a": b"1"}) * 2, [], io.BytesIO(), Compression.ZSTD)


@pytest.mark.parametrize(
    "relocation",
    [
        Relocation("lib/link", RelocationMode.TEXT, "/old"),
        Relocation("nowhere", RelocationMode.TEXT, "/old"),
        Relocation("lib/data", RelocationMode.TEXT, "old"),
    ],
)
def test_write_layer__relocation_that_cannot_be__is_refused(relocation: Relocation) -> None:
    with pytest.raises(BuildError):
        make_layer(_MEMBERS, relocations=[relocation])


def test_write_layer__source_is_missing__says_which(tmp_path: Path) -> None:
    entry = LayerEntry("a", 0o644, tmp_path / "gone")
    with pytest.raises(BuildError, match=r"gone.*No such file"):
        write_layer(_HEADER, [entry], [], io.BytesIO(), Compression.ZSTD)


def test_write_layer__source_is_endless__is_refused() -> None:
    with pytest.raises(BuildError, match="changed while it was read"):
        write_layer(_HEADER, [LayerEntry("a", 0o644, Path("/dev/zero"))], [], io.BytesIO(), Compression.ZSTD)


@pytest.mark.parametrize("compression", list(Compression))
def test_write_archive__read_by_tar_alone__has_every_member(compression: Compression, tmp_path: Path) -> None:
    name = "env.tar.zst" if compression is Compression.ZSTD else "env.tar.gz"
    layers = [
        make_layer(_MEMBERS, compression=compression),
        make_layer({"big": bytes(range(256)) * 40_000}, "big", compression=compression),
    ]
    archive, index = make_archive(tmp_path, layers, name=name)
    if compression is Compression.GZIP:
        with tarfile.open(archive) as tar:
            names = tar.getnames()
            assert len(tar.extractfile("big").read()) == 256 * 40_000  # type: ignore[union-attr]  # it is a file
    else:
        if shutil.which("zstd") is None and not os.environ.get("CI"):
            pytest.skip("`zstd` is missing")
        raw = subprocess.run(["zstd", "-dcq", archive], check=True, capture_output=True).stdout
        assert len(raw) % 10_240 == 0
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            names = tar.getnames()
    assert names == [
        "bin/tool", "lib/data", "lib/link", "var", ".wq-package/layers/thing-1.0.json",
        "big", ".wq-package/layers/big-1.0.json", ".wq-package/index.json",
    ]  # fmt: skip
    assert index.environment == compute_environment_digest([layer.digest for layer, _ in layers])


def test_write_archive__machine_and_glibc__are_the_most_demanding(tmp_path: Path) -> None:
    headers = [
        LayerHeader(LayerKind.WHEEL, "a", "1"),
        LayerHeader(LayerKind.WHEEL, "b", "1", machine="x86_64", glibc=(2, 9)),
        LayerHeader(LayerKind.WHEEL, "c", "1", machine="x86_64", glibc=(2, 28)),
    ]
    layers = [make_layer({header.name: b""}, header=header) for header in headers]
    _, index = make_archive(tmp_path, layers)
    assert (index.machine, index.glibc) == ("x86_64", (2, 28))


def test_write_archive__same_layers__same_file(tmp_path: Path) -> None:
    layers = [make_layer(_MEMBERS), make_layer({"x": b"1"}, "other")]
    one, _ = make_archive(tmp_path, layers, name="one", lock="lock")
    two, _ = make_archive(tmp_path, layers, name="two", lock="lock")
    assert one.read_bytes() == two.read_bytes()


def test_write_archive__a_layers_file_was_altered__is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    layer, stored = make_layer(_MEMBERS)
    (tmp_path / "layer").write_bytes(stored[:-1] + bytes([stored[-1] ^ 1]))
    (tmp_path / "env").write_bytes(b"old")
    with pytest.raises(CorruptArchiveError, match="thing"):
        write_archive([(layer, tmp_path / "layer")], tmp_path / "env", python="3.11")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["env", "layer"]
    assert (tmp_path / "env").read_bytes() == b"old"


@pytest.mark.parametrize("verified", [False, True])
def test_write_archive__layers_of_another_archive__are_copied_from_their_places(
    tmp_path: Path, verified: bool
) -> None:
    base, index = make_archive(tmp_path, [make_layer(_MEMBERS), make_layer({"x": b"1"}, "other")])
    layer, stored = make_layer({"y": b"2"}, "new")
    (tmp_path / "layer").write_bytes(stored)
    layers: list[tuple[StoredLayer | IndexedLayer, Path]]
    layers = [(index.layers[1], base), (layer, tmp_path / "layer"), (index.layers[0], base)]
    written = write_archive(layers, tmp_path / "env", python="3.11", verified=verified)
    assert [each.header.name for each in written.layers] == ["other", "new", "thing"]
    with ArchiveReader(tmp_path / "env") as reader:
        assert reader.find_damage() == ()
        assert reader.index == written


def test_write_archive__another_archive_is_not_what_its_index_says__is_refused(tmp_path: Path) -> None:
    base, index = make_archive(tmp_path, [make_layer(_MEMBERS), make_layer({"x": b"1"}, "other")])
    moved = dataclasses.replace(index.layers[1], offset=index.layers[1].offset - 1)
    with pytest.raises(CorruptArchiveError, match="other"):
        write_archive([(moved, base)], tmp_path / "env", python="3.11")
    short = dataclasses.replace(index.layers[1], offset=base.stat().st_size - 1)
    with pytest.raises(CorruptArchiveError, match="other"):
        write_archive([(short, base)], tmp_path / "env", python="3.11", verified=True)
    assert not (tmp_path / "env").exists()


def test_write_archive__a_layers_file_is_missing__says_which(tmp_path: Path) -> None:
    layer, _ = make_layer(_MEMBERS)
    with pytest.raises(ArchiveError, match="gone"):
        write_archive([(layer, tmp_path / "gone")], tmp_path / "env", python="3.11")
    assert not list(tmp_path.iterdir())


def test_write_layer__sink_has_no_room__is_not_blamed_on_the_file_that_is_read(tmp_path: Path) -> None:
    class _Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    source = tmp_path / "data"
    with source.open("wb") as file:
        file.truncate(8 * FRAME_SIZE)
    entries = [LayerEntry("data", 0o644, source)]
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
        write_layer(_HEADER, entries, (), _Full(), Compression.ZSTD)
    assert caught.value.errno == errno.ENOSPC


def test_write_archive__folder_is_missing__says_so(tmp_path: Path) -> None:
    layer, stored = make_layer(_MEMBERS)
    (tmp_path / "layer").write_bytes(stored)
    with pytest.raises(BuildError, match="nothing can be written"):
        write_archive([(layer, tmp_path / "layer")], tmp_path / "no" / "env", python="3.11")


@pytest.mark.parametrize(
    ("headers", "compressions", "reason"),
    [
        ([], [], "at least one"),
        ([("a", ""), ("b", "")], [Compression.ZSTD, Compression.GZIP], "different ways"),
        ([("a", "x86_64"), ("b", "aarch64")], [Compression.ZSTD] * 2, "aarch64, x86_64"),
        ([("a", ""), ("a", "")], [Compression.ZSTD] * 2, "both `a-1`"),
    ],
)
def test_write_archive__layers_that_do_not_fit_together__are_refused(
    headers: list[tuple[str, str]], compressions: list[Compression], reason: str, tmp_path: Path
) -> None:
    layers = [
        make_layer(
            {f"f{number}": b""},
            header=LayerHeader(LayerKind.WHEEL, name, "1", machine=machine),
            compression=kind,
        )
        for number, ((name, machine), kind) in enumerate(zip(headers, compressions, strict=True))
    ]
    with pytest.raises((ArchiveError, BuildError), match=reason):
        make_archive(tmp_path, layers)
    assert not (tmp_path / "env.tar.zst").exists()

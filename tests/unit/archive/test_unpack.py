from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from small_archives import PLACEHOLDER, make_archive, make_layer, read_tree
from wq_package.archive.frames import encode_frame
from wq_package.archive.index_text import render_manifest
from wq_package.archive.layer import (
    FIXED_MTIME,
    Compression,
    LayerHeader,
    LayerKind,
    LayerManifest,
    Member,
    MemberKind,
    Relocation,
    RelocationMode,
    StoredLayer,
)
from wq_package.archive.tar_segment import TarMember, encode_header, pad
from wq_package.archive.unpack import Unpacker, unpack_archive, unpack_layer
from wq_package.errors import ArchiveError, CorruptArchiveError, DiskFullError, UnsafeMemberError

_MEMBERS = {
    "bin/tool": b"#!/bin/sh\n",
    "empty": b"",
    "lib/a/b/c": b"deep",
    "lib/data": bytes(range(256)) * 40_000,
    "lib/link": ("data",),
    "lib/zz": b"up again",
    "ä ö/" + "n" * 200: b"long",
    "var": None,
}


@pytest.fixture(params=list(Compression), ids=lambda value: value.value)
def compression(request: pytest.FixtureRequest) -> Compression:
    assert isinstance(request.param, Compression)
    return request.param


def test_unpack_layer__every_kind_of_member__is_as_it_was(tmp_path: Path, compression: Compression) -> None:
    layer, stored = make_layer(_MEMBERS, compression=compression)
    manifest = unpack_layer(io.BytesIO(stored), layer, tmp_path)
    expected = {
        path: content[0] if isinstance(content, tuple) else content for path, content in _MEMBERS.items()
    }
    assert read_tree(tmp_path) == expected
    assert manifest.header == layer.header
    assert {member.path for member in manifest.members} == set(_MEMBERS)


def test_unpack_layer__modes_and_times__are_the_fixed_ones(tmp_path: Path) -> None:
    layer, stored = make_layer(_MEMBERS)
    old = os.umask(0o022)
    try:
        unpack_layer(io.BytesIO(stored), layer, tmp_path)
    finally:
        os.umask(old)
    tool, data = (tmp_path / "bin/tool").stat(), (tmp_path / "lib/data").stat()
    assert (stat.S_IMODE(tool.st_mode), stat.S_IMODE(data.st_mode)) == (0o755, 0o644)
    assert tool.st_mtime_ns == data.st_mtime_ns == FIXED_MTIME * 10**9


def test_unpack_layer__read_only__nothing_may_be_written(tmp_path: Path) -> None:
    layer, stored = make_layer(_MEMBERS)
    unpack_layer(io.BytesIO(stored), layer, tmp_path, read_only=True)
    assert not any(path.stat().st_mode & 0o222 for path in tmp_path.rglob("*") if path.is_file())


class _Trickle(io.RawIOBase):
    """Gives a few bytes at a time, as a socket may."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 7))


def test_unpack_layer__stream_gives_few_bytes_at_a_time__is_the_same(tmp_path: Path) -> None:
    layer, stored = make_layer({"a": b"some text"})
    unpack_layer(_Trickle(stored), layer, tmp_path)  # type: ignore[arg-type]  # read is all it needs
    assert read_tree(tmp_path) == {"a": b"some text"}


@pytest.mark.parametrize("name", ["digest", "size"])
def test_unpack_layer__not_the_layer_that_was_named__is_refused(tmp_path: Path, name: str) -> None:
    layer, stored = make_layer(_MEMBERS)
    wrong = replace(layer, digest="0" * 64) if name == "digest" else replace(layer, size=layer.size + 512)
    with pytest.raises(CorruptArchiveError):
        unpack_layer(io.BytesIO(stored), wrong, tmp_path)


def test_unpack_layer__holds_more_than_the_index_says__stops_before_it_is_written(tmp_path: Path) -> None:
    layer, stored = make_layer({"bomb": bytes(50_000_000)})
    assert layer.stored_size < 100_000
    with pytest.raises(CorruptArchiveError, match="more than its index says"):
        unpack_layer(io.BytesIO(stored), replace(layer, size=8 * 2**20), tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*")) <= 8 * 2**20


@dataclass(frozen=True)
class _Named:
    digest: str
    size: int


def _forge(
    members: list[tuple[TarMember, bytes]], *, manifest: LayerManifest | None = None
) -> tuple[_Named, bytes]:
    """Write a layer as no writer of ours would, with a digest that fits."""
    if manifest is None:
        found = [
            Member(
                member.path, member.kind, member.mode, member.size,
                hashlib.sha256(data).hexdigest() if member.kind is MemberKind.FILE else "", member.target,
            )
            for member, data in members
        ]  # fmt: skip
        manifest = LayerManifest(LayerHeader(LayerKind.WHEEL, "forged", "1"), tuple(found), ())
    text = render_manifest(manifest).encode()
    path = ".wq-package/layers/forged-1.json"
    members = [*members, (TarMember(path, MemberKind.FILE, 0o644, len(text)), text)]
    raw = b"".join(encode_header(member) + data + bytes(pad(len(data))) for member, data in members)
    return _Named(hashlib.sha256(raw).hexdigest(), len(raw)), encode_frame(raw, Compression.ZSTD)


def _link(path: str, target: str) -> tuple[TarMember, bytes]:
    return TarMember(path, MemberKind.LINK, 0o777, target=target), b""


def _file(path: str, data: bytes = b"evil") -> tuple[TarMember, bytes]:
    return TarMember(path, MemberKind.FILE, 0o644, len(data)), data


def _folder(path: str) -> tuple[TarMember, bytes]:
    return TarMember(path, MemberKind.FOLDER, 0o755), b""


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([_file("../evil")], id="path upwards"),
        pytest.param([_file("/tmp/wq-package-evil")], id="absolute path"),
        pytest.param([_link("a", "/tmp")], id="absolute link"),
        pytest.param([_link("a", "../..")], id="link upwards"),
        pytest.param([_folder("d"), _link("a", "d"), _file("a/evil")], id="through a link"),
        pytest.param([_folder("d"), _link("a", "d"), _folder("a/evil")], id="folder through a link"),
        pytest.param([_folder("d"), _link("a", "d"), _link("a/evil", "x")], id="link through a link"),
        pytest.param([_file("a"), _file("a/evil")], id="through a file"),
        pytest.param([_file(".wq-package/index.json")], id="in the place of the index"),
    ],
)
def test_unpack_layer__malicious_member__is_refused_and_stays_inside(
    tmp_path: Path, members: list[tuple[TarMember, bytes]]
) -> None:
    (tmp_path / "in").mkdir()
    layer, stored = _forge(members)
    with pytest.raises(UnsafeMemberError):
        unpack_layer(io.BytesIO(stored), layer, tmp_path / "in")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert not list(tmp_path.rglob("*evil"))


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([_file("a", b"1"), _file("a", b"2")], id="file twice"),
        pytest.param([_file("a"), _link("a", "b")], id="link in the place of a file"),
        pytest.param([_link("a", "b"), _file("a")], id="file in the place of a link"),
        pytest.param([_folder("a"), _file("a")], id="file in the place of a folder"),
        pytest.param([_file("a"), _folder("a")], id="folder in the place of a file"),
    ],
)
def test_unpack_layer__two_members_of_one_name__are_refused(
    tmp_path: Path, members: list[tuple[TarMember, bytes]]
) -> None:
    layer, stored = _forge(members)
    with pytest.raises(CorruptArchiveError, match="twice"):
        unpack_layer(io.BytesIO(stored), layer, tmp_path)


_HEADER = LayerHeader(LayerKind.WHEEL, "forged", "1")


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(LayerManifest(_HEADER, (), ()), id="names nothing"),
        pytest.param(
            LayerManifest(_HEADER, (Member("a", MemberKind.FILE, 0o644, 5, "0" * 64),), ()), id="another size"
        ),
        pytest.param(
            LayerManifest(_HEADER, (Member("b", MemberKind.FILE, 0o644, 4, "0" * 64),), ()), id="another path"
        ),
        pytest.param(
            LayerManifest(
                _HEADER,
                (Member("a", MemberKind.FILE, 0o644, 4, "0" * 64),),
                (Relocation("b", RelocationMode.TEXT, "/x"),),
            ),
            id="relocates what is not there",
        ),
        pytest.param(
            LayerManifest(
                replace(_HEADER, name="x"), (Member("a", MemberKind.FILE, 0o644, 4, "0" * 64),), ()
            ),
            id="in another layer's place",
        ),
    ],
)
def test_unpack_layer__manifest_lies__is_refused(tmp_path: Path, manifest: LayerManifest) -> None:
    layer, stored = _forge([_file("a")], manifest=manifest)
    with pytest.raises(CorruptArchiveError, match="manifest"):
        unpack_layer(io.BytesIO(stored), layer, tmp_path)


def test_unpack_layer__no_manifest__is_refused(tmp_path: Path) -> None:
    raw = encode_header(_file("a")[0]) + b"evil" + bytes(508)
    layer = _Named(hashlib.sha256(raw).hexdigest(), len(raw))
    with pytest.raises(CorruptArchiveError, match="no manifest"):
        unpack_layer(io.BytesIO(encode_frame(raw, Compression.GZIP)), layer, tmp_path)


def test_unpack_layer__goes_on_after_its_manifest__is_refused(tmp_path: Path) -> None:
    text = render_manifest(LayerManifest(_HEADER, (), ())).encode()
    layer, stored = _forge([_file(".wq-package/layers/forged-1.json", text), _file("a")])
    with pytest.raises(CorruptArchiveError, match="after its manifest"):
        unpack_layer(io.BytesIO(stored), layer, tmp_path)


def test_unpack_layer__device_in_a_tar_of_somebody_else__is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("null")
    info.type, info.mode, info.mtime, info.devmajor, info.devminor = tarfile.CHRTYPE, 0o644, FIXED_MTIME, 1, 3
    raw = info.tobuf(tarfile.GNU_FORMAT)
    layer = _Named(hashlib.sha256(raw).hexdigest(), len(raw))
    with pytest.raises(UnsafeMemberError, match="device"):
        unpack_layer(io.BytesIO(encode_frame(raw, Compression.ZSTD)), layer, tmp_path)
    assert not list(tmp_path.iterdir())


def test_unpacker__folder_was_replaced_by_a_link__is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "lib").symlink_to("../out")
    layer, stored = make_layer({"lib/x": b"1"})
    with pytest.raises(UnsafeMemberError):
        unpack_layer(io.BytesIO(stored), layer, tmp_path / "in")
    assert not list((tmp_path / "out").iterdir())


def test_unpacker__two_layers__share_folders(tmp_path: Path) -> None:
    one, two = make_layer({"lib/a/x": b"1"}, "one"), make_layer({"lib/a/y": b"2"}, "two")
    with Unpacker(tmp_path) as unpacker:
        for layer, stored in (one, two):
            unpacker.add_layer(io.BytesIO(stored), layer, "test")
    assert read_tree(tmp_path) == {"lib/a/x": b"1", "lib/a/y": b"2"}


def _make_relocated(name: str = "text") -> tuple[StoredLayer, bytes]:
    text = f"prefix={PLACEHOLDER}\n".encode()
    binary = b"\0" + PLACEHOLDER.encode() + b"/lib\0" + b"end\0"
    relocations = [
        Relocation("etc/text", RelocationMode.TEXT, PLACEHOLDER),
        Relocation("lib/binary", RelocationMode.BINARY, PLACEHOLDER),
    ]
    return make_layer({"etc/text": text, "lib/binary": binary}, name, relocations=relocations)


def test_unpack_archive__into_a_new_folder__is_complete_and_relocated(tmp_path: Path) -> None:
    path, index = make_archive(tmp_path, [_make_relocated()])
    prefix = tmp_path / "e ü"
    assert unpack_archive(path, prefix) == index
    assert (prefix / "etc/text").read_text() == f"prefix={prefix}\n"
    binary = (prefix / "lib/binary").read_bytes()
    assert binary.startswith(b"\0" + os.fsencode(prefix) + b"/lib\0")
    assert binary.endswith(b"\0end\0")
    assert len(binary) == 1 + len(PLACEHOLDER) + 5 + 4
    assert (prefix / ".wq-package/index.json").exists()
    assert (prefix / ".wq-package/prefix").read_bytes() == os.fsencode(prefix) + b"\n"


def test_unpack_archive__into_an_empty_folder__works(tmp_path: Path) -> None:
    path, _ = make_archive(tmp_path, [make_layer({"a": b"1"})])
    (tmp_path / "env").mkdir()
    unpack_archive(path, tmp_path / "env")
    assert read_tree(tmp_path / "env") == {"a": b"1"}


@pytest.mark.parametrize("there", ["file", "folder", "link"])
def test_unpack_archive__something_is_there__is_refused_and_kept(tmp_path: Path, there: str) -> None:
    path, _ = make_archive(tmp_path, [make_layer({"a": b"1"})])
    target = tmp_path / "env"
    if there == "file":
        target.write_bytes(b"mine")
    elif there == "link":
        target.symlink_to("nowhere")
    else:
        target.mkdir()
        (target / "mine").touch()
    with pytest.raises(ArchiveError, match="is there already") as caught:
        unpack_archive(path, target)
    assert caught.value.hint
    assert {entry.name for entry in tmp_path.iterdir()} == {"env", "env.tar.zst"}


def test_unpack_archive__no_folder_to_put_it_in__says_so(tmp_path: Path) -> None:
    path, _ = make_archive(tmp_path, [make_layer({"a": b"1"})])
    with pytest.raises(ArchiveError, match="cannot be made"):
        unpack_archive(path, tmp_path / "no" / "env")


def test_unpack_archive__prefix_longer_than_the_placeholder__leaves_nothing(tmp_path: Path) -> None:
    path, _ = make_archive(tmp_path, [_make_relocated()])
    long = tmp_path / ("x" * 200)
    with pytest.raises(ArchiveError, match="has room for") as caught:
        unpack_archive(path, long)
    assert caught.value.hint
    assert [entry.name for entry in tmp_path.iterdir()] == ["env.tar.zst"]


def test_unpack_archive__second_layer_is_damaged__leaves_nothing(tmp_path: Path) -> None:
    path, index = make_archive(
        tmp_path, [make_layer({"a": b"1"}, "one"), make_layer({"b": b"2" * 500}, "two")]
    )
    data = bytearray(path.read_bytes())
    data[index.layers[1].offset + 40] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptArchiveError):
        unpack_archive(path, tmp_path / "env")
    assert [entry.name for entry in tmp_path.iterdir()] == ["env.tar.zst"]


def test_unpack_archive__two_layers_have_one_file__the_later_counts_as_with_tar(tmp_path: Path) -> None:
    relocation = Relocation("a", RelocationMode.TEXT, PLACEHOLDER)
    one = make_layer({"a": PLACEHOLDER.encode(), "b": b"1", "d": None}, "one", relocations=[relocation])
    two = make_layer({"a": b"see " + PLACEHOLDER.encode(), "b": ("a",), "d": None}, "two")
    path, _ = make_archive(tmp_path, [one, two])
    unpack_archive(path, tmp_path / "env")
    assert read_tree(tmp_path / "env") == {"a": b"see " + PLACEHOLDER.encode(), "b": "a", "d": None}


def test_unpack_archive__a_folder_in_one_layer_and_a_file_in_another__is_refused(tmp_path: Path) -> None:
    path, _ = make_archive(tmp_path, [make_layer({"a": None}, "one"), make_layer({"a": b"2"}, "two")])
    with pytest.raises(ArchiveError, match="`a` cannot be unpacked"):
        unpack_archive(path, tmp_path / "env")
    assert [entry.name for entry in tmp_path.iterdir()] == ["env.tar.zst"]


def test_unpack_archive__larger_than_the_disk__is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = make_archive(tmp_path, [make_layer({"a": bytes(3_000_000)})])
    status = os.statvfs(tmp_path)
    few = os.statvfs_result([*status[:4], 1_000_000 // status.f_frsize, *status[5:]])
    monkeypatch.setattr(os, "statvfs", lambda _: few)
    with pytest.raises(DiskFullError, match="no room to unpack 3 MB"):
        unpack_archive(path, tmp_path / "env")
    assert [entry.name for entry in tmp_path.iterdir()] == ["env.tar.zst"]


def test_unpack_archive__disk_fills_up_meanwhile__leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = make_archive(tmp_path, [make_layer({"a": b"1", "b": b"2"})])

    def write(file: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(DiskFullError, match="no room to unpack `a`") as caught:
            unpack_archive(path, tmp_path / "env")
    assert caught.value.hint
    assert [entry.name for entry in tmp_path.iterdir()] == ["env.tar.zst"]


def test_unpack_archive__index_lies_about_a_layer__is_refused(tmp_path: Path) -> None:
    layer, stored = make_layer({"a": b"1"})
    lie = replace(layer, header=replace(layer.header, glibc=(2, 99)))
    path, _ = make_archive(tmp_path, [(lie, stored)])
    with pytest.raises(CorruptArchiveError, match="says something else"):
        unpack_archive(path, tmp_path / "env")
    assert [entry.name for entry in tmp_path.iterdir()] == ["env.tar.zst"]


def test_unpack_layer__many_files__leaves_none_open(tmp_path: Path) -> None:
    layer, stored = make_layer({f"data/{number}": b"x" for number in range(200)})
    before = set(Path("/proc/self/fd").iterdir())
    unpack_layer(io.BytesIO(stored), layer, tmp_path)
    assert not set(Path("/proc/self/fd").iterdir()) - before

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from small_archives import make_archive, make_layer
from wq_package.archive import verify, writer
from wq_package.archive.layer import Compression, LayerManifest
from wq_package.archive.unpack import unpack_archive
from wq_package.archive.verify import verify_archive
from wq_package.errors import CorruptArchiveError


@pytest.mark.parametrize("compression", list(Compression))
def test_verify_archive__whole__gives_its_index(tmp_path: Path, compression: Compression) -> None:
    layers = [
        make_layer({"a": b"1", "b": ("a",), "c": None}, "small", compression=compression),
        make_layer({"big": bytes(9_000_000)}, "big", compression=compression),
    ]
    path, index = make_archive(tmp_path, layers)
    assert verify_archive(path) == index


def test_verify_archive__two_layers_altered__names_both(tmp_path: Path) -> None:
    path, index = make_archive(tmp_path, [make_layer({"a": b"1"}, "one"), make_layer({"b": b"2"}, "two")])
    data = bytearray(path.read_bytes())
    for layer in index.layers:
        data[layer.offset + layer.stored_size - 1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptArchiveError) as caught:
        verify_archive(path)
    assert len(caught.value.issues) == 2
    assert "`one`" in str(caught.value)
    assert "`two`" in str(caught.value)


def test_verify_archive__manifest_gives_a_file_another_digest__is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lie(header: object, members: object, relocations: object) -> LayerManifest:
        manifest = LayerManifest(header, members, relocations)  # type: ignore[arg-type]  # as the writer gives them
        return replace(manifest, members=(replace(manifest.members[0], digest="0" * 64),))

    with monkeypatch.context() as patch:
        patch.setattr(writer, "LayerManifest", lie)
        layer = make_layer({"a": b"1"}, "liar")
    path, _ = make_archive(tmp_path, [layer])
    unpack_archive(path, tmp_path / "env")
    with pytest.raises(CorruptArchiveError, match=r"`liar`.*does not name what it holds"):
        verify_archive(path)


def test_verify_archive__manifest_of_any_size__is_not_taken_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = make_archive(tmp_path, [make_layer({"a": b"1"}, "thing")])
    monkeypatch.setattr(verify, "MAX_MANIFEST", 10)
    with pytest.raises(CorruptArchiveError, match=r"`thing`.*too large"):
        verify_archive(path)

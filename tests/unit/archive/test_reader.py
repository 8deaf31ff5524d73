from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from small_archives import make_archive, make_layer
from wq_package.archive.frames import encode_frame
from wq_package.archive.layer import Compression
from wq_package.archive.reader import ArchiveReader
from wq_package.archive.trailer import Trailer, encode_trailer
from wq_package.errors import ArchiveError, CorruptArchiveError


@pytest.fixture(params=list(Compression), ids=lambda value: value.value)
def compression(request: pytest.FixtureRequest) -> Compression:
    assert isinstance(request.param, Compression)
    return request.param


def test_reader__index_and_layers__are_what_was_written(tmp_path: Path, compression: Compression) -> None:
    layers = [
        make_layer({"a": b"1"}, "a", compression=compression),
        make_layer({"b": b"2"}, "b", compression=compression),
    ]
    path, index = make_archive(tmp_path, layers, lock="numpy==2")
    with ArchiveReader(path) as reader:
        assert reader.index == index
        assert reader.index.lock == "numpy==2"
        for layer, stored in layers:
            with reader.open_layer(layer.digest) as stream:
                assert stream.read() == stored
            offset, size = reader.layer_range(layer.digest)
            assert path.read_bytes()[offset : offset + size] == stored
        assert reader.find_damage() == ()
        assert reader.find_layer("0" * 64) is None
        with pytest.raises(ArchiveError, match="has no layer"):
            reader.open_layer("0" * 64)


def test_reader__closed__leaves_no_way_to_read(tmp_path: Path) -> None:
    layer, stored = make_layer({"a": b"1"})
    path, _ = make_archive(tmp_path, [(layer, stored)])
    reader = ArchiveReader(path)
    stream = reader.open_layer(layer.digest)
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        stream.read()


def test_find_damage__a_layer_was_altered__names_it(tmp_path: Path) -> None:
    path, index = make_archive(tmp_path, [make_layer({"a": b"1"}, "one"), make_layer({"b": b"2"}, "two")])
    data = bytearray(path.read_bytes())
    data[index.layers[1].offset + 30] ^= 4
    path.write_bytes(data)
    with ArchiveReader(path) as reader:
        (issue,) = reader.find_damage()
    assert "`two`" in issue


def test_reader__no_such_file__says_so(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="No such file"):
        ArchiveReader(tmp_path / "no.tar.gz")


def test_reader__a_folder__says_so(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="Is a directory"):
        ArchiveReader(tmp_path)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x1f\x8b" + bytes(500)])
def test_reader__not_an_archive__says_so_with_a_hint(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.tar.gz").write_bytes(data)
    with pytest.raises(CorruptArchiveError, match="does not end as") as caught:
        ArchiveReader(tmp_path / "x.tar.gz")
    assert caught.value.hint


def _replace_index(path: Path, index_segment: bytes, *, offset: int | None = None) -> None:
    """Give an archive another index and a trailer that fits it."""
    with ArchiveReader(path) as reader:
        end = sum(layer.stored_size for layer in reader.index.layers)
        compression = reader.index.compression
    stored = encode_frame(index_segment, compression)
    trailer = Trailer(
        compression, end if offset is None else offset, len(stored), hashlib.sha256(stored).digest()
    )
    path.write_bytes(path.read_bytes()[:end] + stored + encode_trailer(trailer))


def _read_segment(path: Path) -> bytes:
    from wq_package.archive.frames import decode_body, decode_head

    with ArchiveReader(path) as reader:
        end = sum(layer.stored_size for layer in reader.index.layers)
    data = path.read_bytes()[end:]
    head = decode_head(data)
    return decode_body(head, data[head.size : head.size + head.body])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b'"offset":0', b'"offset":1', id="a layer elsewhere"),
        pytest.param(b'"python":"3.11.7"', b'"python": "3.11."', id="not in canonical form"),
        pytest.param(b'"compression":"zstd"', b'"compression":"gzip"', id="another compression"),
        pytest.param(b'"environment":"', b'"environment":"0', id="a name that is none"),
        pytest.param(b".wq-package/index.json", b".wq-package/index.jsom", id="another member"),
        pytest.param(b'{"compression"', b'\xff"compression"', id="no text"),
    ],
)
def test_reader__index_lies_behind_a_right_digest__is_refused(tmp_path: Path, old: bytes, new: bytes) -> None:
    path, _ = make_archive(tmp_path, [make_layer({"a": b"1"})])
    segment = _read_segment(path)
    assert old in segment
    _replace_index(path, segment.replace(old, new))
    with pytest.raises(CorruptArchiveError):
        ArchiveReader(path)


def test_reader__name_is_not_that_of_the_layers__is_refused(tmp_path: Path) -> None:
    path, index = make_archive(tmp_path, [make_layer({"a": b"1"})])
    _replace_index(path, _read_segment(path).replace(index.environment.encode(), b"0" * 64))
    with pytest.raises(CorruptArchiveError, match="not that of its layers"):
        ArchiveReader(path)


def test_reader__trailer_points_beyond_the_file__is_refused(tmp_path: Path) -> None:
    path, _ = make_archive(tmp_path, [make_layer({"a": b"1"})])
    _replace_index(path, _read_segment(path), offset=2**50)
    with pytest.raises(CorruptArchiveError, match="does not fit its length"):
        ArchiveReader(path)


def test_reader__untouched_index_written_again__is_read(tmp_path: Path) -> None:
    path, index = make_archive(tmp_path, [make_layer({"a": b"1"})])
    _replace_index(path, _read_segment(path))
    with ArchiveReader(path) as reader:
        assert reader.index == index

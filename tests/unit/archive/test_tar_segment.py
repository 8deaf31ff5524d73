from __future__ import annotations

import io
import tarfile

import pytest

from wq_package.archive.layer import FIXED_MTIME, MemberKind
from wq_package.archive.tar_segment import (
    BLOCK,
    END_OF_ARCHIVE,
    SegmentError,
    SegmentParser,
    TarMember,
    encode_header,
    make_mode,
    pad,
)
from wq_package.errors import UnsafeMemberError

_LONG = "lib/" + "x" * 120 + "/ä" + "y" * 90


def _encode(member: TarMember, data: bytes = b"") -> bytes:
    return encode_header(member) + data + bytes(pad(len(data)))


def _file(path: str, data: bytes, mode: int = 0o644) -> bytes:
    return _encode(TarMember(path, MemberKind.FILE, mode, len(data)), data)


def _parse(segment: bytes, cut: int | None = None) -> list[tuple[TarMember, bytes]]:
    parser = SegmentParser()
    found: list[tuple[TarMember, bytes]] = []
    cut = cut or len(segment)
    for start in range(0, len(segment), cut):
        for piece in parser.feed(segment[start : start + cut]):
            if piece.offset == 0:
                found.append((piece.member, b""))
            assert len(found[-1][1]) == piece.offset
            found[-1] = (piece.member, found[-1][1] + bytes(piece.data))
            assert piece.is_last == (len(found[-1][1]) == piece.member.size)
    if not parser.is_between_members:
        raise SegmentError("open end")
    return found


def _foreign(kind: bytes, **fields: object) -> bytes:
    """One header block as Python's own tarfile writes it."""
    info = tarfile.TarInfo("odd")
    info.mode, info.mtime, info.type = 0o644, FIXED_MTIME, kind
    for name, value in fields.items():
        setattr(info, name, value)
    return info.tobuf(tarfile.GNU_FORMAT)


_MEMBERS = [
    (TarMember("bin", MemberKind.FOLDER, 0o755), b""),
    (TarMember("bin/empty", MemberKind.FILE, 0o644), b""),
    (TarMember("bin/tool", MemberKind.FILE, 0o755, 1025), b"x" * 1025),
    (TarMember("bin/tool2", MemberKind.LINK, 0o777, target="tool"), b""),
    (TarMember("f" * 100, MemberKind.FILE, 0o644, 512), b"y" * 512),
    (TarMember("d" * 100, MemberKind.FOLDER, 0o755), b""),
    (TarMember(_LONG, MemberKind.FILE, 0o644, 3), b"abc"),
    (TarMember(_LONG + ".lnk", MemberKind.LINK, 0o777, target="z" * 200 + "/ü"), b""),
    (TarMember("raw-\udcff", MemberKind.FILE, 0o644, 1), b"1"),
]


@pytest.mark.parametrize("cut", [BLOCK, 3 * BLOCK, None])
def test_parser__every_kind_of_member_and_any_cut__gives_what_was_written(cut: int | None) -> None:
    segment = b"".join(_encode(member, data) for member, data in _MEMBERS)
    assert _parse(segment, cut) == _MEMBERS


def test_encode_header__read_by_tarfile__means_the_same() -> None:
    segment = b"".join(_encode(member, data) for member, data in _MEMBERS)
    with tarfile.open(
        fileobj=io.BytesIO(segment + END_OF_ARCHIVE), encoding="utf-8", errors="surrogateescape"
    ) as tar:
        infos = tar.getmembers()
    assert [(info.name, info.mode, info.size, info.linkname) for info in infos] == [
        (member.path, member.mode, member.size, member.target) for member, _ in _MEMBERS
    ]
    assert {(info.uid, info.gid, info.mtime) for info in infos} == {(0, 0, FIXED_MTIME)}


def test_encode_header__file_of_nine_gigabytes__keeps_its_size() -> None:
    member = TarMember("big", MemberKind.FILE, 0o644, 9 * 2**30)
    assert tarfile.TarInfo.frombuf(encode_header(member), "utf-8", "strict").size == 9 * 2**30
    (piece,) = SegmentParser().feed(encode_header(member) + b"x" * BLOCK)
    assert (piece.member, piece.is_last) == (member, False)


@pytest.mark.parametrize(
    ("kind", "mode", "expected"),
    [
        (MemberKind.FILE, 0o600, 0o644),
        (MemberKind.FILE, 0o4711, 0o755),
        (MemberKind.FILE, 0o001, 0o755),
        (MemberKind.FOLDER, 0o700, 0o755),
        (MemberKind.LINK, 0, 0o777),
    ],
)
def test_make_mode__any_mode__is_one_of_three(kind: MemberKind, mode: int, expected: int) -> None:
    assert make_mode(kind, mode) == expected


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        pytest.param(_foreign(tarfile.LNKTYPE, linkname="a"), "hard link", id="hard link"),
        pytest.param(_foreign(tarfile.CHRTYPE, devmajor=1, devminor=3), "device", id="character device"),
        pytest.param(_foreign(tarfile.BLKTYPE), "device", id="block device"),
        pytest.param(_foreign(tarfile.FIFOTYPE), "named pipe", id="named pipe"),
        pytest.param(_foreign(tarfile.REGTYPE, mode=0o4755), "mode is 4755", id="set user id"),
        pytest.param(_foreign(tarfile.REGTYPE, mode=0o2755), "mode is 2755", id="set group id"),
        pytest.param(_foreign(tarfile.REGTYPE, name="/etc/passwd"), "absolute", id="absolute path"),
        pytest.param(_foreign(tarfile.REGTYPE, name="a/../../b"), "out of the prefix", id="path upwards"),
        pytest.param(_foreign(tarfile.SYMTYPE, mode=0o777, linkname="/etc"), "absolute", id="absolute link"),
        pytest.param(_foreign(tarfile.SYMTYPE, mode=0o777, linkname="../x"), "links out", id="link upwards"),
    ],
)
def test_parser__member_that_is_never_unpacked__is_refused_with_the_reason(block: bytes, reason: str) -> None:
    with pytest.raises(UnsafeMemberError, match=reason):
        _parse(block)


def _alter(block: bytes, position: int, value: bytes) -> bytes:
    return block[:position] + value + block[position + len(value) :]


_HEADER = _file("name", b"")


@pytest.mark.parametrize(
    "segment",
    [
        pytest.param(_foreign(tarfile.REGTYPE, uid=1000), id="another owner"),
        pytest.param(_foreign(tarfile.REGTYPE, mtime=5), id="another time"),
        pytest.param(_foreign(tarfile.REGTYPE, mode=0o600), id="another mode"),
        pytest.param(_foreign(b"S"), id="sparse file"),
        pytest.param(_foreign(b"x"), id="extended header"),
        pytest.param(_alter(_HEADER, 148, b"000000"), id="wrong checksum"),
        pytest.param(_alter(_HEADER, 148, b"zzzzzz"), id="checksum that is no number"),
        pytest.param(_alter(_HEADER, 100, b"zzzzzzz"), id="mode that is no number"),
        pytest.param(_alter(_HEADER, 124, b"zzzzzzzzzzz"), id="size that is no number"),
        pytest.param(_alter(_HEADER, 100, b"0004755"), id="set user id without its checksum"),
        pytest.param(bytes(BLOCK), id="end of archive inside"),
        pytest.param(_HEADER[:100], id="half a block"),
        pytest.param(encode_header(TarMember("a", MemberKind.FILE, 0o644, 5)), id="data missing"),
        pytest.param(
            encode_header(TarMember("a", MemberKind.FILE, 0o644, 5)) + b"x" * BLOCK, id="padding not empty"
        ),
        pytest.param(_foreign(tarfile.DIRTYPE, mode=0o755, size=512), id="folder with data"),
        pytest.param(_foreign(tarfile.REGTYPE, linkname="x"), id="file with a target"),
    ],
)
def test_parser__not_in_canonical_form__is_an_error(segment: bytes) -> None:
    with pytest.raises(SegmentError):
        _parse(segment)


_LONG_HEADER = encode_header(TarMember(_LONG, MemberKind.FILE, 0o644))
_LONG_TARGET = encode_header(TarMember("a", MemberKind.LINK, 0o777, target="t" * 150))


@pytest.mark.parametrize(
    "segment",
    [
        pytest.param(_LONG_HEADER[: 2 * BLOCK], id="long name of nothing"),
        pytest.param(_LONG_HEADER[:BLOCK], id="long name cut short"),
        pytest.param(_LONG_HEADER[: 2 * BLOCK] + _LONG_HEADER, id="long name twice"),
        pytest.param(_LONG_HEADER[: 2 * BLOCK] + _HEADER, id="long name of another member"),
        pytest.param(_LONG_HEADER[: 2 * BLOCK] + _LONG_TARGET, id="long target after long name"),
        pytest.param(_alter(_LONG_HEADER, 2 * BLOCK - 1, b"x"), id="long name with padding"),
        pytest.param(_alter(_LONG_HEADER, BLOCK + 3, b"\0"), id="long name with a NUL"),
        pytest.param(_alter(_LONG_HEADER, 0, b"x"), id="long name under another name"),
        pytest.param(_foreign(b"L", name="././@LongLink", size=20), id="long name that is short"),
        pytest.param(_LONG_TARGET[: 2 * BLOCK] + _HEADER, id="long target of a file"),
    ],
)
def test_parser__damaged_long_name__is_an_error(segment: bytes) -> None:
    with pytest.raises(SegmentError):
        _parse(segment)


@pytest.mark.parametrize(
    "size", [b"-0000000001", b"+0000000001", b" 0000000001", b"0_000000001", b"00000000008"]
)
def test_parser__size_that_is_not_plain_octal__is_refused(size: bytes) -> None:
    header = bytearray(_file("a", b"x")[:BLOCK])
    header[124:135] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(SegmentError, match="damaged"):
        _parse(bytes(header) + b"x" * BLOCK)

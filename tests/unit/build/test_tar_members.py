from __future__ import annotations

import tarfile

import pytest

from wq_package.build.tar_members import iter_harmless


def _make(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, target, mode
    return member


@pytest.mark.parametrize(
    "member",
    [
        _make("a/b"),
        _make("a", tarfile.DIRTYPE),
        _make("a/link", tarfile.SYMTYPE, "../b"),
        _make("a/link", tarfile.LNKTYPE, "a/b"),
    ],
)
def test_iter_harmless__stays_inside__passes(member: tarfile.TarInfo) -> None:
    assert list(iter_harmless([member])) == [member]


@pytest.mark.parametrize(
    "member",
    [
        _make("/a"),
        _make("a/../../b"),
        _make("a/link", tarfile.SYMTYPE, "../../b"),
        _make("link", tarfile.SYMTYPE, "/etc"),
        _make("link", tarfile.LNKTYPE, "../b"),
        _make("pipe", tarfile.FIFOTYPE),
        _make("device", tarfile.CHRTYPE),
    ],
)
def test_iter_harmless__leads_out_or_is_no_file__is_refused(member: tarfile.TarInfo) -> None:
    with pytest.raises(tarfile.ExtractError, match=member.name):
        list(iter_harmless([member]))


def test_iter_harmless__modes__let_the_owner_in_and_others_write_nothing() -> None:
    members = [_make("run", mode=0o6777), _make("closed", mode=0), _make("folder", tarfile.DIRTYPE, mode=0)]

    assert [member.mode for member in iter_harmless(members)] == [0o755, 0o600, 0o700]

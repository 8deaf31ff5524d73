from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from wq_package.build.tar_members import iter_harmless


def _make(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, target, mode
    return member


@pytest.mark.parametrize(
    "members",
    [
        [_make("a/b")],
        [_make("./a/b")],
        [_make("a", tarfile.DIRTYPE)],
        [_make("a/link", tarfile.SYMTYPE, "../b")],
        [_make("a/b"), _make("a/link", tarfile.LNKTYPE, "a/b")],
        [_make("link", tarfile.SYMTYPE, "a"), _make("link", tarfile.SYMTYPE, "b")],
        [_make("a"), _make("a")],
    ],
)
def test_iter_harmless__stays_inside__passes(members: list[tarfile.TarInfo]) -> None:
    assert list(iter_harmless(members)) == members


def test_iter_harmless__absolute_name__is_taken_as_below_the_folder() -> None:
    assert [member.name for member in iter_harmless([_make("/a/b")])] == ["a/b"]


@pytest.mark.parametrize(
    "members",
    [
        [_make("a/../../b")],
        [_make("a/link", tarfile.SYMTYPE, "../../b")],
        [_make("link", tarfile.SYMTYPE, "/etc")],
        [_make("link", tarfile.LNKTYPE, "../b")],
        [_make("link", tarfile.LNKTYPE, "b")],
        [_make("pipe", tarfile.FIFOTYPE)],
        [_make("device", tarfile.CHRTYPE)],
        [_make("a/up", tarfile.SYMTYPE, ".."), _make("a/up/b")],
        [_make("a/up", tarfile.SYMTYPE, ".."), _make("a/up/../b")],
        [_make("link", tarfile.SYMTYPE, "a"), _make("./link")],
        [_make("link", tarfile.SYMTYPE, "a"), _make("link", tarfile.DIRTYPE)],
        [_make("up", tarfile.SYMTYPE, "a"), _make("b", tarfile.LNKTYPE, "up/passwd")],
        [_make("up", tarfile.SYMTYPE, "a"), _make("b", tarfile.LNKTYPE, "up")],
        [_make("a/b"), _make("a/b", tarfile.SYMTYPE, "../c"), _make("b", tarfile.LNKTYPE, "a/b")],
        [_make("a", tarfile.DIRTYPE), _make("b", tarfile.LNKTYPE, "a")],
    ],
)
def test_iter_harmless__leads_out_or_is_no_file__is_refused(members: list[tarfile.TarInfo]) -> None:
    with pytest.raises(tarfile.ExtractError, match=members[-1].name):
        list(iter_harmless(members))


def test_iter_harmless__chain_of_links__writes_nothing_outside(tmp_path: Path) -> None:
    # Each of these links stays inside by its words; together they lead out.
    chain = [
        _make("a", tarfile.DIRTYPE),
        _make("a/up", tarfile.SYMTYPE, ".."),
        _make("b", tarfile.SYMTYPE, "a/up/.."),
    ]
    packed = tmp_path / "chain.tar"
    with tarfile.open(packed, "w") as archive:
        for member in [*chain, _make("b/evil")]:
            archive.addfile(member)
    folder = tmp_path / "one" / "two"
    folder.mkdir(parents=True)

    with tarfile.open(packed) as archive:
        archive.extraction_filter = lambda member, _path: member  # Python's own is not what is tried here
        with pytest.raises(tarfile.ExtractError, match="b/evil"):
            archive.extractall(folder, iter_harmless(archive))  # noqa: S202 - see above

    assert not list(tmp_path.rglob("evil"))


def test_iter_harmless__modes__let_the_owner_in_and_others_write_nothing() -> None:
    members = [_make("run", mode=0o6777), _make("closed", mode=0), _make("folder", tarfile.DIRTYPE, mode=0)]

    assert [member.mode for member in iter_harmless(members)] == [0o755, 0o600, 0o700]

"""What goes into an archive comes out of it, and the same input gives the same bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from small_archives import make_archive, make_entries, make_layer, read_tree
from wq_package.archive.layer import Compression, MemberKind
from wq_package.archive.member_paths import check_link, check_path
from wq_package.archive.tar_segment import BLOCK, SegmentParser, TarMember, encode_header, make_mode, pad
from wq_package.archive.unpack import unpack_archive
from wq_package.errors import UnsafeMemberError
from wq_package.worker.store import Store

_Content = bytes | tuple[str] | None

_NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40
).filter(lambda name: name not in {".", "..", ".wq-package"} and len(name.encode()) <= 255)
_PATHS = st.lists(_NAMES, min_size=1, max_size=5).map("/".join)
_CONTENTS = st.one_of(st.binary(max_size=1500), st.none(), st.tuples(_NAMES))


def _drop_conflicts(members: dict[str, _Content]) -> dict[str, _Content]:
    """Keep a tree that can be: nothing lies below what is not a folder."""
    kept: dict[str, _Content] = {}
    for path in sorted(members, key=lambda path: path.count("/")):
        parents = {path.rsplit("/", level)[0] for level in range(1, path.count("/") + 1)}
        if not any(parent in kept for parent in parents):
            kept[path] = members[path]
    return {
        path: content
        for path, content in kept.items()
        if not any(other.startswith(f"{path}/") for other in kept)
    }


_TREES = st.dictionaries(_PATHS, _CONTENTS, max_size=12).map(_drop_conflicts)


def _expect(members: dict[str, _Content]) -> dict[str, bytes | str | None]:
    return {path: content[0] if isinstance(content, tuple) else content for path, content in members.items()}


@given(_TREES, st.sampled_from(list(Compression)))
@settings(max_examples=60, deadline=None)
def test_archive__written_and_unpacked__is_the_same(
    members: dict[str, _Content], compression: Compression
) -> None:
    layer = make_layer(members, compression=compression)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, index = make_archive(folder, [layer])
        assert unpack_archive(path, folder / "env") == index
        assert read_tree(folder / "env") == _expect(members)
        store = Store(folder / "store")
        assert read_tree(store.unpack(path)) == _expect(members)
        store.evict(0)  # its folders are read-only: whoever is not root cannot remove them otherwise
        assert store.size() == 0


@given(_TREES, st.randoms())
@settings(max_examples=60, deadline=None)
def test_layer__entries_in_another_order__same_layer(members: dict[str, _Content], random: object) -> None:
    assert make_entries(members) is not None
    shuffled = list(members)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert make_layer(members) == make_layer({path: members[path] for path in shuffled})


_KINDS = st.sampled_from(list(MemberKind))


@st.composite
def _members(draw: st.DrawFn) -> tuple[TarMember, bytes]:
    kind = draw(_KINDS)
    path = draw(_PATHS)
    mode = make_mode(kind, draw(st.integers(0, 0o7777)))
    if kind is MemberKind.LINK:
        return TarMember(path, kind, mode, target=draw(_PATHS)), b""
    data = draw(st.binary(max_size=1200)) if kind is MemberKind.FILE else b""
    return TarMember(path, kind, mode, len(data)), data


@given(st.lists(_members(), max_size=8), st.lists(st.integers(1, 5), min_size=1, max_size=5))
@settings(deadline=None)
def test_segment__fed_in_any_blocks__gives_the_same_members(
    members: list[tuple[TarMember, bytes]], cuts: list[int]
) -> None:
    segment = b"".join(encode_header(member) + data + bytes(pad(len(data))) for member, data in members)
    parser = SegmentParser()
    found: list[tuple[TarMember, bytes]] = []
    position = 0
    while position < len(segment):
        for cut in cuts:
            for piece in parser.feed(segment[position : position + cut * BLOCK]):
                if piece.offset == 0:
                    found.append((piece.member, b""))
                found[-1] = (piece.member, found[-1][1] + bytes(piece.data))
            position += cut * BLOCK
    assert parser.is_between_members
    assert found == members


_TRICKY = st.lists(st.sampled_from(["..", ".", "", "a", "b", "c"]), min_size=1, max_size=6).map("/".join)


@given(st.dictionaries(_TRICKY, _TRICKY, max_size=6))
@settings(deadline=None)
def test_links__that_are_allowed__never_lead_out_whatever_they_point_to(links: dict[str, str]) -> None:
    """Make every allowed link in a real folder and see where the system goes through each."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve() / "outer" / "root"
        root.mkdir(parents=True)
        for path, target in links.items():
            try:
                check_path(path)
                check_link(path, target)
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                if (root / path).parent.resolve() == (
                    root / path
                ).parent:  # nothing is written through a link
                    (root / path).symlink_to(target)
            except (UnsafeMemberError, OSError):
                continue
        for link in root.rglob("*"):
            if link.is_symlink():
                try:
                    assert link.resolve(strict=False).is_relative_to(root)
                except (RuntimeError, OSError):  # a loop leads nowhere
                    continue

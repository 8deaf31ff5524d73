from __future__ import annotations

import pytest

from wq_package.archive.member_paths import check_link, check_path
from wq_package.errors import UnsafeMemberError


@pytest.mark.parametrize("path", ["a", "a/b", "bin/py thon", "..a/b..", "ä/ö", "a\\b", ".hidden", "n" * 255])
def test_check_path__plain_path__is_safe(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/etc/passwd", "absolute"),
        ("..", "out of the prefix"),
        ("a/../../b", "out of the prefix"),
        ("a/..", "out of the prefix"),
        ("", "not in plain form"),
        ("a//b", "not in plain form"),
        ("a/", "not in plain form"),
        ("./a", "not in plain form"),
        ("a\0b", "NUL"),
        ("n" * 256, "too long"),
        ("ä" * 200 + "/b", "too long"),
        ("a/" * 1600 + "b", "too long"),
        ("a/" * 200 + "b", "too many levels"),
    ],
)
def test_check_path__anything_else__is_refused_with_the_reason(path: str, reason: str) -> None:
    with pytest.raises(UnsafeMemberError, match=reason) as caught:
        check_path(path)
    assert caught.value.name == path.replace("\0", "\\x00")


def test_check_path__control_characters__are_not_printed() -> None:
    with pytest.raises(UnsafeMemberError) as caught:
        check_path("/\x1b[2Jgone\udcff")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("path", "target"),
    [("a", "b"), ("a", "."), ("a/b", ".."), ("a/b", "../c/d"), ("a/b/c", "../../x"), ("lib64", "lib")],
)
def test_check_link__target_inside__is_safe(path: str, target: str) -> None:
    check_link(path, target)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("a", "/etc"),
        ("a", ".."),
        ("a/b", "../.."),
        ("a/b", "../../x"),
        # `sub` may be a link to somewhere deep, or to the prefix itself: the way up from there is unknown.
        ("a", "sub/.."),
        ("a", "sub/p/../../x"),
        ("a", ""),
        ("a", "b//c"),
        ("a", "./b"),
        ("a", "b\0c"),
        ("a", "b/" * 1600),
    ],
)
def test_check_link__target_that_may_lead_out__is_refused(path: str, target: str) -> None:
    with pytest.raises(UnsafeMemberError):
        check_link(path, target)

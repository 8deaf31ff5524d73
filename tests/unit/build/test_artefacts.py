from __future__ import annotations

import json

import pytest

from small_archives import make_layer
from wq_package.build.artefacts import (
    UNKNOWN,
    Artefact,
    parse_artefact,
    parse_artefacts,
    parse_direct_url,
    parse_wheel_tags,
    render_artefact,
    select_artefact,
)
from wq_package.build.lock_text import check_lock, parse_lock, render_lock

_PYLOCK = """\
lock-version = "1.0"
[[packages]]
name = "Demo"
version = "1.0"
wheels = [
  { url = "https://user:word@host/d/demo-1.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", size = 7, hashes = { sha256 = "aa" } },
  { path = "folder/demo-1.0-py2.py3-none-any.whl", hashes = { sha256 = "bb" } },
  { url = "https://host/demo-1.0+a%2Bb-py3-none-any.whl", hashes = { md5 = "cc" } },
]
[[packages]]
name = "only-source"
version = "2"
sdist = { url = "https://host/only_source-2.tar.gz", hashes = { sha256 = "dd" } }
"""


def test_parse__wheels__by_name_without_passwords_and_folders() -> None:
    wide, pure = parse_artefacts(_PYLOCK)["demo"]
    assert wide.url.startswith("https://host/d/demo-1.0-cp311")
    assert (wide.sha256, wide.size) == ("aa", 7)
    assert (pure.file, pure.url, pure.size) == (
        "demo-1.0-py2.py3-none-any.whl",
        "folder/demo-1.0-py2.py3-none-any.whl",
        0,
    )


def test_parse__source_or_nonsense() -> None:
    (source,) = parse_artefacts(_PYLOCK)["only-source"]
    assert (source.file, source.tags) == ("only_source-2.tar.gz", ())
    assert parse_artefacts("no toml") == {}


def test_select__no_wheels_at_all__is_the_source() -> None:
    (source,) = parse_artefacts(_PYLOCK)["only-source"]
    wide, pure = parse_artefacts(_PYLOCK)["demo"]
    assert select_artefact((source,), ("cp311-cp311-linux_x86_64",)) == source
    assert select_artefact((wide, pure, source), ("cp311-cp311-linux_x86_64",)) is None
    assert select_artefact((), ()) is None


@pytest.mark.parametrize(
    ("text", "requirement"),
    [
        ('{"url": "https://u:p@h/a-1.whl", "archive_info": {}}', "a @ https://h/a-1.whl"),
        ('{"url": "https://u:p@ss@h/a-1.whl", "archive_info": {}}', "a @ https://h/a-1.whl"),
        (
            '{"url": "ssh://git@h/a.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
            "a @ git+ssh://git@h/a.git@abc",
        ),
        (
            '{"url": "https://h/a.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}, "subdirectory": "x"}',
            "a @ git+https://h/a.git@abc#subdirectory=x",
        ),
        ('{"url": "file:///home/a", "dir_info": {}}', "a @ file:///home/a"),
        ('{"url": "file:///home/a", "dir_info": {"editable": true}}', None),
        ("", None),
        ("[]", None),
        ("{}", None),
    ],
)
def test_parse_direct_url__address_of_its_own(text: str, requirement: str | None) -> None:
    found = parse_direct_url("a", text)
    assert (found and found.requirement) == requirement


def test_artefact__text_form__both_ways() -> None:
    artefact = Artefact("a.whl", "https://h/a.whl", "ab", 7, ("x", "y"), "a @ https://h/a.whl")
    assert parse_artefact(render_artefact(artefact)) == artefact
    assert parse_artefact({}) == UNKNOWN
    for wrong in ({"tags": "x"}, {"tags": [1]}, {"file": 1}, {"size": "7"}):
        with pytest.raises(TypeError):
            parse_artefact(wrong)


def test_select__tags_of_the_installed_wheel__name_one_file() -> None:
    wide, pure = parse_artefacts(_PYLOCK)["demo"]
    text = "Wheel-Version: 1.0\nTag: py3-none-any\nTag: py2-none-any\n"
    assert parse_wheel_tags(text) == ("py2-none-any", "py3-none-any")
    assert select_artefact((wide, pure), parse_wheel_tags(text)) == pure
    assert select_artefact((wide, pure), ("cp311-cp311-linux_x86_64",)) is None  # built here
    assert select_artefact((pure, pure), pure.tags) is None


def test_lock__with_artefacts__has_them_and_means_the_same() -> None:
    stored, _ = make_layer({"a": b"1"}, "Demo.Pkg")
    artefact = Artefact("demo_pkg-1.0-py3-none-any.whl", "https://host/x", "ab" * 32, 9, ("py3-none-any",))
    text = render_lock([stored], {stored.digest: artefact})

    (fields,) = json.loads(text)["artefacts"]
    assert (fields["file"], fields["url"], fields["size"]) == (artefact.file, artefact.url, 9)
    assert fields["tags"] == ["py3-none-any"]
    lock = parse_lock(text, "x.lock")
    assert lock.hashes == {"demo-pkg": "ab" * 32}
    check_lock([stored], lock)
    assert lock.known == {stored.digest: artefact}
    assert parse_lock(render_lock([stored]), "x.lock").hashes == {}


def test_lock__address_of_its_own__asks_for_it_and_folders_stay_at_home() -> None:
    stored, _ = make_layer({"a": b"1"}, "Demo.Pkg")
    known = {stored.digest: Artefact(url="file:///home/x.whl", requirement="demo-pkg @ file:///home/x.whl")}

    lock = parse_lock(render_lock([stored], known, names_folders=True), "x.lock")
    assert lock.addresses == {"demo-pkg": "demo-pkg @ file:///home/x.whl"}
    assert "home" not in render_lock([stored], known)

from __future__ import annotations

import json

from small_archives import make_layer
from wq_package.build.artefacts import Artefact, parse_artefacts, parse_wheel_tags, select_artefact
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
"""


def test_parse__wheels__by_name_without_passwords_and_folders() -> None:
    wide, pure = parse_artefacts(_PYLOCK)["demo"]
    assert wide.url.startswith("https://host/d/demo-1.0-cp311")
    assert (wide.sha256, wide.size) == ("aa", 7)
    assert (pure.file, pure.url, pure.size) == ("demo-1.0-py2.py3-none-any.whl", "", 0)


def test_parse__source_or_nonsense__no_wheels() -> None:
    assert parse_artefacts(_PYLOCK)["only-source"] == ()
    assert parse_artefacts("no toml") == {}


def test_select__tags_of_the_installed_wheel__name_one_file() -> None:
    wide, pure = parse_artefacts(_PYLOCK)["demo"]
    text = "Wheel-Version: 1.0\nTag: py3-none-any\nTag: py2-none-any\n"
    assert parse_wheel_tags(text) == ("py2-none-any", "py3-none-any")
    assert select_artefact((wide, pure), parse_wheel_tags(text)) == pure
    assert select_artefact((wide, pure), ("cp311-cp311-linux_x86_64",)) is None  # built here
    assert select_artefact((pure, pure), pure.tags) is None


def test_lock__with_artefacts__has_them_and_means_the_same() -> None:
    stored, _ = make_layer({"a": b"1"}, "Demo.Pkg")
    artefact = Artefact("demo_pkg-1.0-py3-none-any.whl", "https://host/x", "ab" * 32, 9)
    text = render_lock([stored], {stored.digest: artefact})

    (fields,) = json.loads(text)["artefacts"]
    assert (fields["file"], fields["url"], fields["size"]) == (artefact.file, artefact.url, 9)
    assert fields["tags"] == ["py3-none-any"]
    lock = parse_lock(text, "x.lock")
    assert lock.hashes == {"demo-pkg": "ab" * 32}
    check_lock([stored], lock)
    assert parse_lock(render_lock([stored]), "x.lock").hashes == {}

from __future__ import annotations

import json

import pytest

from wq_package.archive.layer import RelocationMode
from wq_package.build.conda.package_files import (
    PackageFile,
    parse_entry_points,
    parse_legacy_paths,
    parse_paths,
    place_file,
)
from wq_package.errors import BuildError, UnsafeMemberError

SITE = "lib/python3.11/site-packages"


def _render(*rows: dict[str, object]) -> str:
    return json.dumps({"paths": rows, "paths_version": 1})


def test_parse_paths__text_binary_and_plain_files() -> None:
    text = _render(
        {
            "_path": "bin/a",
            "path_type": "hardlink",
            "file_mode": "binary",
            "prefix_placeholder": "/p",
            "sha256": "1",
        },
        {"_path": "etc/a", "path_type": "hardlink", "file_mode": "text", "prefix_placeholder": "/p"},
        {"_path": "lib/a", "path_type": "softlink"},
        {"_path": "var", "path_type": "directory"},
    )
    assert parse_paths(text) == (
        PackageFile("bin/a", RelocationMode.BINARY, "/p", "1"),
        PackageFile("etc/a", RelocationMode.TEXT, "/p"),
        PackageFile("lib/a"),
        PackageFile("var", is_folder=True),
    )


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b"])
def test_parse_paths__path_out_of_the_package__is_refused(path: str) -> None:
    with pytest.raises(UnsafeMemberError):
        parse_paths(_render({"_path": path}))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"paths": [1]}', '{"paths": [{}]}'])
def test_parse_paths__damaged__says_so(text: str) -> None:
    with pytest.raises(BuildError, match="cannot be read"):
        parse_paths(text)


def test_parse_legacy_paths__rows_with_and_without_placeholder() -> None:
    has_prefix = '"/old/prefix" binary "lib/a.so"\netc/a\n/other text bin/b\n'
    assert parse_legacy_paths("bin/b\netc/a\nlib/a.so\nshare/c\n", has_prefix) == (
        PackageFile("bin/b", RelocationMode.TEXT, "/other"),
        PackageFile("etc/a", RelocationMode.TEXT, "/opt/anaconda1anaconda2anaconda3"),
        PackageFile("lib/a.so", RelocationMode.BINARY, "/old/prefix"),
        PackageFile("share/c"),
    )


def test_parse_entry_points__names_and_targets() -> None:
    text = json.dumps(
        {"noarch": {"type": "python", "entry_points": ["black = black:main", "b-d=black.d : patched"]}}
    )
    assert parse_entry_points(text) == {"black": "black:main", "b-d": "black.d:patched"}


@pytest.mark.parametrize("text", ["{}", '{"noarch": {"type": "python"}}', '{"noarch": null}'])
def test_parse_entry_points__none(text: str) -> None:
    assert parse_entry_points(text) == {}


@pytest.mark.parametrize("line", ["nothing", "a = b", "a = b:c; import os:x"])
def test_parse_entry_points__not_an_entry_point__is_refused(line: str) -> None:
    if line.startswith("a = b:c"):
        assert parse_entry_points(json.dumps({"noarch": {"entry_points": [line]}})) == {"a": "b:c"}
        return
    with pytest.raises(BuildError, match="not an entry point"):
        parse_entry_points(json.dumps({"noarch": {"entry_points": [line]}}))


def test_parse_entry_points__command_outside_bin__is_refused() -> None:
    with pytest.raises(UnsafeMemberError):
        parse_entry_points(json.dumps({"noarch": {"entry_points": ["../x = a:b"]}}))


@pytest.mark.parametrize(
    ("path", "noarch", "target"),
    [
        ("site-packages/a/b.py", "python", f"{SITE}/a/b.py"),
        ("python-scripts/run", "python", "bin/run"),
        ("share/a", "python", "share/a"),
        ("site-packages/a.py", "generic", "site-packages/a.py"),
        ("lib/a.so", "", "lib/a.so"),
    ],
)
def test_place_file__by_kind_of_package(path: str, noarch: str, target: str) -> None:
    assert place_file(path, SITE, noarch=noarch) == target

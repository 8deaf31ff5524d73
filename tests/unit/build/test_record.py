from __future__ import annotations

import pytest

from wq_package.build.record import (
    RecordRow,
    encode_digest,
    find_prefix,
    is_installer_trace,
    map_path,
    parse_record,
)

_SITE = "lib/python3.11/site-packages"


def test_parse_record__commas_in_names__are_kept() -> None:
    text = 'a.py,sha256=abc,3\n"b,c.py",sha256=def,4\nx.dist-info/RECORD,,\n\n'

    assert parse_record(text) == (
        RecordRow("a.py", "sha256=abc"),
        RecordRow("b,c.py", "sha256=def"),
        RecordRow("x.dist-info/RECORD", ""),
    )


def test_encode_digest__like_installers_write_it() -> None:
    assert encode_digest(bytes(32)) == "sha256=" + "A" * 43


@pytest.mark.parametrize(
    "path",
    ["x.dist-info/INSTALLER", "x.dist-info/REQUESTED", "x.dist-info/RECORD", "x.dist-info/direct_url.json",
     "x.dist-info/uv_cache.json", "pkg/__pycache__/a.cpython-311.pyc"],
)  # fmt: skip
def test_is_installer_trace__what_installers_leave__is_none_of_the_wheel(path: str) -> None:
    assert is_installer_trace(path)


@pytest.mark.parametrize(
    "path", ["x.dist-info/METADATA", "pkg/INSTALLER", "pkg/a.py", "x.dist-info/licenses/RECORD"]
)
def test_is_installer_trace__files_of_the_wheel__are_kept(path: str) -> None:
    assert not is_installer_trace(path)


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        ("pkg/a.py", "/v/lib/python3.11/site-packages", f"{_SITE}/pkg/a.py"),
        ("../../../bin/tool", "/v/lib/python3.11/site-packages", "bin/tool"),
        ("../../../share/man/x.1", "/v/lib/python3.11/site-packages", "share/man/x.1"),
        ("../../../include/site/python3.11/g/g.h", "/v/lib/python3.11/site-packages", "include/python3.11/g/g.h"),
        ("../../../../lib64/python3.11/site-packages/b.so", "/v/lib/python3.11/site-packages", None),
        ("../../../lib64/python3.11/site-packages/b.so", "/v/lib/python3.11/site-packages", f"{_SITE}/b.so"),
        ("../../../bin/tool", "/usr/local/lib/python3.11/dist-packages", "bin/tool"),
        ("pkg/a.py", "/somewhere/else", f"{_SITE}/pkg/a.py"),
        ("pkg/a.py", "/somewhere/there/../else", f"{_SITE}/pkg/a.py"),
        ("../../../bin/tool", "/v/w/../lib/python3.11/site-packages", "bin/tool"),
        ("../bin/tool", "/somewhere/else", None),
        ("/etc/passwd", "/v/lib/python3.11/site-packages", None),
        ("../../../../../etc/passwd", "/v/lib/python3.11/site-packages", None),
    ],
)  # fmt: skip
def test_map_path__every_scheme__leads_to_one_place(path: str, folder: str, expected: str | None) -> None:
    assert map_path(path, folder, _SITE) == expected


def test_find_prefix__unusual_folder__none() -> None:
    assert find_prefix("/v/lib/python3.11/site-packages") == "/v"
    assert find_prefix("/project/vendored") is None

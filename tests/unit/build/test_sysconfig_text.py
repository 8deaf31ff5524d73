from __future__ import annotations

import sys

import pytest

from wq_package.build.sysconfig_text import (
    mask_prefix,
    replace_prefix,
    rewrite_pkgconfig,
    rewrite_variables,
)


def _run(module: str) -> dict[str, object]:
    values: dict[str, object] = {}
    exec(compile(module, "<module>", "exec"), values)
    found = values["build_time_vars"]
    assert isinstance(found, dict)
    return found


def test_rewrite_variables__prefix__is_found_when_the_module_is_imported() -> None:
    module = (
        "# generated\nbuild_time_vars = {'prefix': '/opt/py', 'LIBDIR': '/opt/py/lib', 'CC': 'gcc', 'N': 1}\n"
    )

    rewritten = rewrite_variables(module, "/opt/py")

    assert "/opt/py" not in rewritten
    assert _run(rewritten) == {
        "prefix": sys.base_prefix,
        "LIBDIR": f"{sys.base_prefix}/lib",
        "CC": "gcc",
        "N": 1,
    }


def test_rewrite_variables__system_prefix__only_pythons_own_folders_move() -> None:
    module = "build_time_vars = {'prefix': '/usr', 'INSTALL': '/usr/bin/install -c', 'INCLUDEPY': '/usr/include/python3'}"

    values = _run(rewrite_variables(module, "/usr"))

    assert values["prefix"] == sys.base_prefix
    assert values["INCLUDEPY"] == f"{sys.base_prefix}/include/python3"
    assert values["INSTALL"] == "/usr/bin/install -c"


def test_rewrite_variables__unknown_form__is_left_alone() -> None:
    assert rewrite_variables("x = 1\n", "/opt/py") == "x = 1\n"


def test_rewrite_pkgconfig__prefix__is_relative_to_the_file() -> None:
    assert rewrite_pkgconfig("prefix=/opt/py\nlibdir=${prefix}/lib\n", "/opt/py") == (
        "prefix=${pcfiledir}/../..\nlibdir=${prefix}/lib\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/opt/py/lib", "X/lib"),
        ("-L/opt/py", "-LX"),
        ("/opt/python/lib", "/opt/python/lib"),
        ("/opt/py-2", "/opt/py-2"),
    ],
)
def test_replace_prefix__only_whole_paths(text: str, expected: str) -> None:
    assert replace_prefix(text, "/opt/py", "X") == expected


def test_mask_prefix__lengths_and_the_last_part_stay() -> None:
    # Linkers let `3.11.7`, the version, be the tail of the prefix's string.
    data = b"\0/home/me/versions/3.11.7\0/home/me/versions/3.11.7/lib\0"

    masked = mask_prefix(data, "/home/me/versions/3.11.7")

    assert len(masked) == len(data)
    assert b"/home/me" not in masked
    assert masked.count(b"/3.11.7") == 2
    assert masked.endswith(b"/3.11.7/lib\0")


def test_mask_prefix__system_prefix__is_left_alone() -> None:
    assert mask_prefix(b"/usr/lib", "/usr") == b"/usr/lib"

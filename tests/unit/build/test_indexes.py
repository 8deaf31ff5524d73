from __future__ import annotations

import pytest

from wq_package.build.indexes import (
    Indexes,
    make_indexes,
    make_uv_settings,
    names_indexes,
    parse_pip_config,
    read_pip_variables,
)

_NOTHING = Indexes()
_MIRROR = Indexes(url="https://mirror/simple", find_links=("/wheels",))


def test_config__sections_and_files__the_last_word_counts() -> None:
    texts = (
        "[global]\nindex_url = https://a\nextra-index-url =\n    https://b\n    https://c\n",
        "[install]\n--index-url = https://d\n[list]\nfind-links = /x\n",
        "not a config",
    )
    assert make_indexes(parse_pip_config(texts)) == Indexes("https://d", ("https://b", "https://c"))


def test_config__per_cent_sign__is_itself() -> None:
    assert (
        parse_pip_config(["[global]\nindex-url = https://u:p%40w@host\n"])["index-url"]
        == "https://u:p%40w@host"
    )


def test_variables__pip_s_only__empty_ones_are_none() -> None:
    found = read_pip_variables(
        {"PIP_FIND_LINKS": "/a /b", "PIP_NO_INDEX": "1", "PIP_INDEX_URL": "", "UV_X": "1"}
    )
    assert make_indexes(found) == Indexes(find_links=("/a", "/b"), no_index=True)


def test_uv__nothing_set_up__is_told_pip_s() -> None:
    variables, options = make_uv_settings(_NOTHING, _MIRROR, {"HOME": "/h"}, has_own=False)
    assert variables == {
        "HOME": "/h",
        "UV_DEFAULT_INDEX": "https://mirror/simple",
        "UV_FIND_LINKS": "/wheels",
    }
    assert options == ()


@pytest.mark.parametrize("name", ["UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS"])
def test_uv__own_variable__pip_s_do_not_count(name: str) -> None:
    assert make_uv_settings(_NOTHING, _MIRROR, {name: "x"}, has_own=False) == ({name: "x"}, ())


def test_uv__own_file__pip_s_do_not_count() -> None:
    assert make_uv_settings(_NOTHING, _MIRROR, {}, has_own=True) == ({}, ())


def test_uv__index_asked_for__takes_the_place_of_all_others() -> None:
    variables, _ = make_uv_settings(
        Indexes(url="https://mine"), _MIRROR, {"UV_INDEX_URL": "x"}, has_own=False
    )
    assert variables == {"UV_DEFAULT_INDEX": "https://mine"}


def test_uv__folder_asked_for__comes_before_those_set_up() -> None:
    variables, _ = make_uv_settings(Indexes(find_links=("/mine",)), _MIRROR, {}, has_own=False)
    assert variables["UV_FIND_LINKS"] == "/mine,/wheels"
    assert variables["UV_DEFAULT_INDEX"] == "https://mirror/simple"


def test_uv__further_indexes_of_pip__are_all_looked_at_as_pip_does() -> None:
    pip = Indexes(extra_urls=("https://more",))
    variables, _ = make_uv_settings(_NOTHING, pip, {}, has_own=False)
    assert variables == {"UV_INDEX": "https://more", "UV_INDEX_STRATEGY": "unsafe-best-match"}


def test_uv__further_index_asked_for__keeps_uvs_own_strategy() -> None:
    variables, _ = make_uv_settings(Indexes(extra_urls=("https://more",)), _NOTHING, {}, has_own=False)
    assert variables == {"UV_INDEX": "https://more"}


def test_uv__no_index__is_an_option_once() -> None:
    asked, pip = Indexes(no_index=True), Indexes(no_index=True)
    assert make_uv_settings(asked, pip, {}, has_own=False)[1] == ("--no-index",)


def test_uv__passwords__never_on_the_command_line() -> None:
    asked = Indexes("https://u:p@a", ("https://u:p@b",), ("https://u:p@c",))
    assert make_uv_settings(asked, _NOTHING, {}, has_own=False)[1] == ()


def test_uv__certificates_and_proxy__where_nothing_else_says_so() -> None:
    pip = Indexes(certificates="/ca.pem", proxy="http://p", insecure_hosts=("a", "b"))
    variables, _ = make_uv_settings(_NOTHING, pip, {"SSL_CERT_FILE": "/mine"}, has_own=True)
    assert variables == {"SSL_CERT_FILE": "/mine", "ALL_PROXY": "http://p", "UV_INSECURE_HOST": "a b"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[index]]\nurl = 'x'\n", True),
        ("[pip]\nindex-url = 'x'\n", True),
        ("offline = true\n", False),
        ("pip = 1\n", False),
        ("not toml", False),
    ],
)
def test_uv_file__says_where_to_look(text: str, expected: bool) -> None:
    assert names_indexes(text) is expected

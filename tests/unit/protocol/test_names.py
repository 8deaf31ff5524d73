from __future__ import annotations

import pytest

from wq_package.errors import LocalProtocolError, RemoteProtocolError
from wq_package.protocol import names


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("input.txt", b"input.txt"),
        ("a b", b"a%20b"),
        ("100%", b"100%25"),
        ("a\\b<c>'\"", b"a%5Cb%3Cc%3E%27%22"),
        ("{|}~", b"%7B%7C%7D%7E"),
        # Real managers send `%FF` for each of these bytes, and `% 9` for a tab; their peers understand this.
        ("caf\u00e9", b"caf%C3%A9"),
        ("a\tb", b"a%09b"),
        ("\udcff", b"%FF"),
    ],
)
def test_encode_name__and_back__is_the_same(name: str, raw: bytes) -> None:
    assert names.encode_name(name) == raw
    assert names.decode_name(raw) == name


def test_encode_name__of_every_byte__encodes_what_work_queue_encodes() -> None:
    plain = [
        byte
        for byte in range(1, 256)
        if names.encode_name(bytes([byte]).decode("utf-8", "surrogateescape")) == bytes([byte])
    ]
    assert (
        bytes(plain)
        == b"!#$&()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz"
    )


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800"])
def test_encode_name__not_a_file_name__is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        names.encode_name(name)


def test_decode_name__not_an_escape__is_left() -> None:
    assert names.decode_name(b"100%zz% 9") == "100%zz% 9"


def test_decode_name__nul__is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="NUL"):
        names.decode_name(b"a%00")


@pytest.mark.parametrize("name", ["", "a b", "a/b", ".", "..", "caf\u00e9", "a%20b", "a{b"])
def test_encode_cache_name__that_encoding_would_change__is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError) as raised:
        names.encode_cache_name(name)
    assert "letters" in str(raised.value.hint)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_encode_base_name__path__is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        names.encode_base_name(name)


@pytest.mark.parametrize("raw", [b"..", b".", b"a%2Fb", b"a/b", b"%00"])
def test_decode_plain_name__that_leads_elsewhere__is_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        names.decode_plain_name(raw)


def test_decode_cache_name__with_an_escape__is_left_as_it_is() -> None:
    assert names.decode_cache_name(b"file-0-my%20out.txt") == "file-0-my%20out.txt"


@pytest.mark.parametrize("raw", [b"..", b"a/b", b"a\0b"])
def test_decode_cache_name__that_leads_elsewhere__is_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        names.decode_cache_name(raw)


@pytest.mark.parametrize("raw", [b"/etc/passwd", b"a/../b", b"..", b"a//b", b"./a", b"a\0", b""])
def test_decode_inner_path__that_leads_elsewhere__is_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="elsewhere"):
        names.decode_inner_path(raw)


@pytest.mark.parametrize("text", ["", "a\nb", "a\rb", "a\0b"])
def test_encode_raw__that_breaks_the_line__is_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="line break"):
        names.encode_raw(text)


@pytest.mark.parametrize("text", ["a b", " a", "a\t", "\v"])
def test_encode_word__with_a_blank__is_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="blank"):
        names.encode_word(text)

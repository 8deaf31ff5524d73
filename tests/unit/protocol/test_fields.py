from __future__ import annotations

import pytest

from wq_package.errors import RemoteProtocolError
from wq_package.protocol import fields


def test_split_fields__more_than_asked_for__ignores_the_rest() -> None:
    assert fields.split_fields(b" 1  2 3 4", 3) == [b"1", b"2", b"3"]


def test_split_fields__too_few__is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="1 of 2 fields"):
        fields.split_fields(b"1", 2)


def test_split_last__name_with_blanks__keeps_it_whole() -> None:
    assert fields.split_last(b" a b  c  1 2", 2) == (b" a b  c ", [b"1", b"2"])


@pytest.mark.parametrize("rest", [b"", b"1", b" 1 2"])
def test_split_last__name_missing__is_refused(rest: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="too few fields"):
        fields.split_last(rest, 2)


@pytest.mark.parametrize(
    ("field", "number"), [(b"0", 0), (b"-1", -1), (b"+7", 7), (b"9223372036854775807", 2**63 - 1)]
)
def test_parse_integer__decimal__is_read(field: bytes, number: int) -> None:
    assert fields.parse_integer(field) == number


@pytest.mark.parametrize(
    "field", [b"", b"1.0", b"1_0", b"0x1", b"9223372036854775808", b"9" * 5000, b"\xd9\xa1"]
)
def test_parse_integer__anything_else__is_refused(field: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="integer"):
        fields.parse_integer(field)


def test_parse_size__below_zero__is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="size"):
        fields.parse_size(b"-1")


@pytest.mark.parametrize(
    ("field", "number"), [(b"4", 4.0), (b"1.000", 1.0), (b".5", 0.5), (b"-2.", -2.0), (b"1e3", 1000.0)]
)
def test_parse_number__finite__is_read(field: bytes, number: float) -> None:
    assert fields.parse_number(field) == number


@pytest.mark.parametrize("field", [b"", b"nan", b"inf", b"1e999", b"1_0", b".", b"0x1p3"])
def test_parse_number__anything_else__is_refused(field: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="number"):
        fields.parse_number(field)


@pytest.mark.parametrize(("field", "mode"), [(b"0644", 0o644), (b"777", 0o777), (b"0100755", 0o755)])
def test_parse_mode__octal__keeps_its_low_nine_bits(field: bytes, mode: int) -> None:
    assert fields.parse_mode(field) == mode


def test_parse_mode__not_octal__is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="file mode"):
        fields.parse_mode(b"0o644")

"""The fields of a line, read as C's scanf would (logic module).

Knows numbers and blanks, nothing of messages. Fields after the last one asked for are ignored, as real peers do.
"""

from __future__ import annotations

import math
import re

from wq_package.errors import RemoteProtocolError

MAX_NUMBER = 2**63 - 1
_SAFE_DIGITS = 19
"""Fewer digits than this are a number of 64 bits in any case."""
_INTEGER = re.compile(rb"[+-]?[0-9]{1,19}")
_FLOAT = re.compile(rb"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?")
_OCTAL = re.compile(rb"[0-7]{1,8}")


def split_fields(rest: bytes, count: int) -> list[bytes]:
    """Split a line into its first `count` fields.

    Raises:
        RemoteProtocolError: there are fewer.
    """
    fields = rest.split()
    if len(fields) < count:
        raise RemoteProtocolError(f"the peer sent {len(fields)} of {count} fields")
    return fields[:count]


def split_last(rest: bytes, count: int) -> tuple[bytes, list[bytes]]:
    """Split a line into a name, which may have blanks in it, and the `count` fields after it.

    Raises:
        RemoteProtocolError: a part is missing.
    """
    name, *fields = rest.rsplit(b" ", count)
    if len(fields) != count or not name:
        raise RemoteProtocolError(f"the peer sent too few fields: {rest[:80]!r}")
    return name, fields


def parse_integer(field: bytes) -> int:
    """Parse a decimal integer of 64 bits.

    Raises:
        RemoteProtocolError: it is none.
    """
    if field.isdigit() and len(field) < _SAFE_DIGITS:  # the usual case, and much faster
        return int(field)
    if not _INTEGER.fullmatch(field) or abs(number := int(field)) > MAX_NUMBER:
        raise RemoteProtocolError(f"the peer sent {field[:40]!r} where an integer belongs")
    return number


def parse_size(field: bytes) -> int:
    """Parse an integer that counts something.

    Raises:
        RemoteProtocolError: it is none, or below zero.
    """
    number = parse_integer(field)
    if number < 0:
        raise RemoteProtocolError(f"the peer sent {number} where a size belongs")
    return number


def parse_number(field: bytes) -> float:
    """Parse a finite number, with or without decimals.

    Raises:
        RemoteProtocolError: it is none.
    """
    if field.isdigit() and len(field) < _SAFE_DIGITS:
        return float(field)
    if not _FLOAT.fullmatch(field) or not math.isfinite(number := float(field)):
        raise RemoteProtocolError(f"the peer sent {field[:40]!r} where a number belongs")
    return number


def parse_mode(field: bytes) -> int:
    """Parse an octal file mode; only its low nine bits count.

    Raises:
        RemoteProtocolError: it is none.
    """
    if not _OCTAL.fullmatch(field):
        raise RemoteProtocolError(f"the peer sent {field[:40]!r} where a file mode belongs")
    return int(field, 8) & 0o777

from __future__ import annotations

import pytest

from wq_package.protocol.status_text import parse_status


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('[{"a": 1}]', [{"a": 1}]),
        # Written by Debian's manager for the command a'b\x01é<tab>z"\q<newline>/
        ('"a\\\'b\\u0001\\uffffffc3\\uffffffa9\\tz\\"\\\\q\\n/"', "a'b\x01\u00e9\tz\"\\q\n/"),
        ('"\\\\uffffffc3 \\\'"', "\\uffffffc3 '"),
        ('"\\uffffffff"', "\ufffd"),
        ('"\\\\\\\'"', "\\'"),
    ],
)
def test_parse_status__as_work_queue_writes_it__is_what_was_meant(text: str, value: object) -> None:
    assert parse_status(text) == value


@pytest.mark.parametrize("text", ["", "{", "'", "\\'", "[" * 100_000])
def test_parse_status__no_json__is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_status(text)

from __future__ import annotations

import pytest

from wq_package.catalog.expression import MAX_DEPTH, MAX_EXPRESSION, parse_expression
from wq_package.errors import RemoteProtocolError

RECORD: dict[str, object] = {
    "type": "wq_master", "port": 9123, "load": 0.5, "ssl": True, "tags": ["a"], "none": None, "say": 'a "b"',
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "is_so"),
    [
        ("true", True),
        ("false", False),
        ("null", False),
        # What Debian's `work_queue_status` sends.
        ('true and type=="wq_manager" or type=="wq_master"', True),
        ('type=="wq_manager" || type=="wq_master" && port > 9123', False),
        ('(type=="wq_manager" or type=="wq_master") and port>=9123', True),
        ('not type=="wq_factory"', True),
        ("!ssl", False),
        ("not not ssl", True),
        ("port == 9123.0 and load<1 and load > -1e3 and port<=9123", True),
        ('port=="9123"', False),
        ("port!=9124", True),
        ("missing == null and none == null", True),
        ("missing > 3", False),
        ('"a" < "b"', True),
        ("type < 5", False),
        ("ssl == 1", False),
        ("true > false", False),
        ('say == "a \\"b\\""', True),
        ("  port  ", True),
        ("tags == tags", True),
    ],
)
def test_parse_expression__on_a_record__is_what_the_tools_expect(text: str, is_so: bool) -> None:
    assert bool(parse_expression(text)(RECORD)) is is_so


@pytest.mark.parametrize(
    "text",
    [
        "", "(", "(true", "true)", "true false", "type = 5", "a ==", "== a", "and", "a and", "not", "a +b", "f(x)",
        "'a'", '"a', "[1]", '"\\x"', "007", "x" * (MAX_EXPRESSION + 1), "(" * (MAX_DEPTH + 2), "not " * (MAX_DEPTH + 2),
    ],
)  # fmt: skip
def test_parse_expression__not_understood__says_so(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_expression(text)


def test_parse_expression__long_chain__is_evaluated() -> None:
    text = " or ".join(["a"] * 500)
    assert not parse_expression(text)({})
    assert not parse_expression(text.replace("or", "and"))({})

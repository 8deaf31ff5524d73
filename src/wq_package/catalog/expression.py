"""The query language of catalogs, as much of it as the tools use (logic module).

Knows literals, names, comparisons, `and`, `or`, `not` and parentheses. Knows nothing of records but that they are
mappings. A name that a record lacks is null; values of different kinds are unequal and have no order.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from wq_package.errors import RemoteProtocolError

MAX_EXPRESSION = 4096
MAX_DEPTH = 50

Value = object
Predicate = Callable[[Mapping[str, object]], Value]

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign>==|!=|<=|>=|<|>|&&|\|\||!|\(|\))
    )""",
    re.VERBOSE,
)
_LITERALS: dict[str, Value] = {"true": True, "false": False, "null": None}
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SYNONYMS = {"&&": "and", "||": "or", "!": "not"}


def parse_expression(text: str) -> Predicate:
    """Parse an expression into a function of a record.

    Raises:
        RemoteProtocolError: it is none, or uses what is not known here.
    """
    if len(text) > MAX_EXPRESSION:
        raise RemoteProtocolError(f"the expression is longer than {MAX_EXPRESSION} characters")
    parser = _Parser(_split(text))
    predicate = parser.parse_or(0)
    if parser.peek() != "":
        raise RemoteProtocolError(f"`{parser.peek()}` is not expected in the expression")
    return predicate


def _split(text: str) -> list[str]:
    tokens = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise RemoteProtocolError(f"`{text[position : position + 20]}` is not understood")
        token = found[0].strip()
        tokens.append(_SYNONYMS.get(token, token))
        position = found.end()
    return tokens


class _Parser:
    """Recursive descent; binds `or` < `and` < `not` < comparison."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._position = 0

    def peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def parse_or(self, depth: int) -> Predicate:
        if depth > MAX_DEPTH:
            raise RemoteProtocolError("the expression is nested too deeply")
        parts = [self._parse_and(depth)]
        while self._skip("or"):
            parts.append(self._parse_and(depth))
        return parts[0] if len(parts) == 1 else lambda record: any(part(record) for part in parts)

    def _parse_and(self, depth: int) -> Predicate:
        parts = [self._parse_not(depth)]
        while self._skip("and"):
            parts.append(self._parse_not(depth))
        return parts[0] if len(parts) == 1 else lambda record: all(part(record) for part in parts)

    def _parse_not(self, depth: int) -> Predicate:
        if not self._skip("not"):
            return self._parse_comparison(depth)
        if depth > MAX_DEPTH:
            raise RemoteProtocolError("the expression is nested too deeply")
        inner = self._parse_not(depth + 1)
        return lambda record: not inner(record)

    def _parse_comparison(self, depth: int) -> Predicate:
        left = self._parse_value(depth)
        sign = self.peek()
        if sign not in ("==", "!=", *_ORDERS):
            return left
        self._position += 1
        return _make_comparison(sign, left, self._parse_value(depth))

    def _parse_value(self, depth: int) -> Predicate:
        token = self.peek()
        self._position += 1
        if token == "(":
            inner = self.parse_or(depth + 1)
            if not self._skip(")"):
                raise RemoteProtocolError("a parenthesis is not closed in the expression")
            return inner
        return _make_value(token)

    def _skip(self, token: str) -> bool:
        if self.peek() != token:
            return False
        self._position += 1
        return True


def _make_comparison(sign: str, left: Predicate, right: Predicate) -> Predicate:
    return lambda record: _compare(sign, left(record), right(record))


def _compare(sign: str, left: Value, right: Value) -> bool:
    if sign in ("==", "!="):
        is_equal = _find_kind(left) == _find_kind(right) and left == right
        return is_equal is (sign == "==")
    is_ordered = _find_kind(left) == _find_kind(right) and _find_kind(left) in ("number", "text")
    return is_ordered and _ORDERS[sign](left, right)


def _find_kind(value: Value) -> str:
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__


def _make_value(token: str) -> Predicate:
    value: Value
    if token in _LITERALS:
        value = _LITERALS[token]
    elif token.startswith(('"', "-")) or token[:1].isdigit():
        value = _parse_literal(token)
    elif token in ("and", "or", "not") or not token.isidentifier():
        raise RemoteProtocolError(f"`{token}` is not expected in the expression")
    else:
        return lambda record: record.get(token)
    return lambda _record: value


def _parse_literal(token: str) -> Value:
    try:
        value: Value = json.loads(token)
    except ValueError as error:
        raise RemoteProtocolError(f"`{token}` is no value") from error
    return value

"""What an `if` test is worth on the target (logic module: syntax trees in, answers out).

Tests that depend on the version of Python, on the platform or on `TYPE_CHECKING` have an answer before the program
runs; anything else is unknown. Knows nothing of imports beyond what names mean.
"""

from __future__ import annotations

import ast
import enum
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wq_package.analyze.target import Target

__all__ = ["Cause", "Verdict", "find_dotted_name", "judge_test"]


class Cause(enum.Enum):
    """Why a test has the value it has."""

    UNKNOWN = "unknown"
    CONSTANT = "constant"
    PLATFORM = "platform"
    TYPE_CHECKING = "type checking"
    PRESENCE = "presence of a module"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The value of a test when the program runs; `value` is `None` if unknown."""

    value: bool | None
    cause: Cause


_UNKNOWN = Verdict(None, Cause.UNKNOWN)
_STRENGTH = (Cause.UNKNOWN, Cause.CONSTANT, Cause.PRESENCE, Cause.PLATFORM, Cause.TYPE_CHECKING)
_TYPE_CHECKING = frozenset({"typing.TYPE_CHECKING", "typing_extensions.TYPE_CHECKING"})
_PRESENCE = frozenset({"importlib.util.find_spec", "pkgutil.find_loader", "importlib.find_loader"})
_OPERATORS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
    ast.Is: operator.eq,
    ast.IsNot: operator.ne,
}


def find_dotted_name(node: ast.AST, aliases: Mapping[str, str]) -> str | None:
    """Spell out `a.b.c` with the imported name behind `a`; `None` if the expression is something else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([aliases.get(node.id, node.id), *reversed(parts)])


def judge_test(test: ast.expr, aliases: Mapping[str, str], target: Target) -> Verdict:
    """Judge a test.

    Args:
        test: the expression after `if` or `while`.
        aliases: what imported names stand for, for example `{"t": "typing"}`.
        target: the Python that the program will run on.
    """
    return _judge(test, aliases, target, 0)


def _judge(test: ast.expr, aliases: Mapping[str, str], target: Target, depth: int) -> Verdict:
    if depth > 50:  # nobody writes that; generated code must not exhaust the stack
        return _UNKNOWN
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _judge(test.operand, aliases, target, depth + 1)
        return Verdict(None if inner.value is None else not inner.value, inner.cause)
    if isinstance(test, ast.BoolOp):
        parts = [_judge(value, aliases, target, depth + 1) for value in test.values]
        return _combine(parts, decisive=isinstance(test.op, ast.Or))
    if find_dotted_name(test, aliases) in _TYPE_CHECKING or find_dotted_name(test, {}) == "TYPE_CHECKING":
        return Verdict(value=False, cause=Cause.TYPE_CHECKING)
    if (
        find_dotted_name(test, {}) == "cython.compiled"
    ):  # by any import of it: this is the source, and it is what runs
        return Verdict(value=False, cause=Cause.PLATFORM)
    if _asks_for_module(test, aliases):
        return Verdict(None, Cause.PRESENCE)
    value = _evaluate(test, aliases, target)
    if value is _NO_VALUE:
        return _UNKNOWN
    return Verdict(bool(value), Cause.CONSTANT if isinstance(test, ast.Constant) else Cause.PLATFORM)


def _combine(parts: list[Verdict], *, decisive: bool) -> Verdict:
    """Combine the parts of `and` (decisive: false) or `or` (decisive: true)."""
    deciders = [part for part in parts if part.value is decisive]
    if deciders:
        return max(deciders, key=lambda part: _STRENGTH.index(part.cause))
    cause = max((part.cause for part in parts), key=_STRENGTH.index)
    if any(part.value is None for part in parts):
        return Verdict(None, cause if cause is Cause.PRESENCE else Cause.UNKNOWN)
    return Verdict(not decisive, cause)


def _asks_for_module(test: ast.expr, aliases: Mapping[str, str]) -> bool:
    if isinstance(test, ast.Compare):
        return _asks_for_module(test.left, aliases)
    if not isinstance(test, ast.Call):
        return False
    return find_dotted_name(test.func, aliases) in _PRESENCE


class _NoValue:
    """The value of an expression that has none before the program runs."""


_NO_VALUE = _NoValue()


def _evaluate(node: ast.expr, aliases: Mapping[str, str], target: Target) -> object:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        items = [_evaluate(item, aliases, target) for item in node.elts]
        return _NO_VALUE if _NO_VALUE in items else tuple(items)
    if isinstance(node, ast.Compare):
        return _compare(node, aliases, target)
    if isinstance(node, ast.Subscript):
        return _subscript(node, aliases, target)
    if isinstance(node, ast.Call):
        return _call(node, aliases, target)
    return _facts(target).get(find_dotted_name(node, aliases) or "", _NO_VALUE)


def _facts(target: Target) -> dict[str, object]:
    return {
        "sys.version_info": (*target.version, "final", 0),
        "sys.version_info.major": target.version[0],
        "sys.version_info.minor": target.version[1],
        "sys.version_info.micro": target.version[2],
        "sys.platform": target.platform,
        "sys.hexversion": (target.version[0] << 24)
        | (target.version[1] << 16)
        | (target.version[2] << 8)
        | 0xF0,
        "sys.implementation.name": target.implementation,
        "os.name": target.os_name,
        "six.PY2": target.version[0] == 2,
        "six.PY3": target.version[0] >= 3,
        "sys.version": target.python,
    }


def _compare(node: ast.Compare, aliases: Mapping[str, str], target: Target) -> object:
    if len(node.ops) != 1:
        return _NO_VALUE
    left = _evaluate(node.left, aliases, target)
    right = _evaluate(node.comparators[0], aliases, target)
    if left is _NO_VALUE or right is _NO_VALUE:
        return _NO_VALUE
    try:
        return _OPERATORS[type(node.ops[0])](left, right)
    except TypeError:
        return _NO_VALUE


def _subscript(node: ast.Subscript, aliases: Mapping[str, str], target: Target) -> object:
    value = _evaluate(node.value, aliases, target)
    if not isinstance(value, tuple | str):
        return _NO_VALUE
    if isinstance(node.slice, ast.Slice):
        lower = _evaluate(node.slice.lower, aliases, target) if node.slice.lower else None
        upper = _evaluate(node.slice.upper, aliases, target) if node.slice.upper else None
        if isinstance(lower, int | None) and isinstance(upper, int | None) and node.slice.step is None:
            return value[lower:upper]
        return _NO_VALUE
    index = _evaluate(node.slice, aliases, target)
    if not isinstance(index, int) or not -len(value) <= index < len(value):
        return _NO_VALUE
    return value[index]


def _call(node: ast.Call, aliases: Mapping[str, str], target: Target) -> object:
    called = find_dotted_name(node.func, aliases)
    if called == "platform.system":
        return target.system
    if called == "platform.python_implementation":
        return {"cpython": "CPython", "pypy": "PyPy"}.get(target.implementation, target.implementation)
    if isinstance(node.func, ast.Attribute):
        text = _evaluate(node.func.value, aliases, target)
        return _call_method(text, node, aliases, target) if isinstance(text, str) else _NO_VALUE
    return _NO_VALUE


def _call_method(text: str, node: ast.Call, aliases: Mapping[str, str], target: Target) -> object:
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if method == "lower" and not node.args:
        return text.lower()
    given = _evaluate(node.args[0], aliases, target) if len(node.args) == 1 else _NO_VALUE
    choices = given if isinstance(given, tuple) else (given,)
    prefixes = tuple(choice for choice in choices if isinstance(choice, str))
    if method != "startswith" or len(prefixes) != len(choices):
        return _NO_VALUE
    return text.startswith(prefixes)

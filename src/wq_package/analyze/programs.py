"""Which programs the command lines of bash apps call (logic module: syntax trees in, names out).

Reads the literal parts of what an app returns, as far as a command's name is literal. Does not know who has a program.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from wq_package.analyze.nodes import list_children

__all__ = ["CalledProgram", "find_programs"]

_HOLE = "\0"
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)
_BEFORE = r"(?:if|while|until|then|do|else|elif|time|exec|env|nohup)\b"
_COMMAND = re.compile(
    rf"(?:^|[;&|\n({{`!]|\b{_BEFORE})\s*"
    r"(?:\w+=[^\s;&|(`]*\s+)*"
    rf"(?P<name>(?!{_BEFORE})[A-Za-z0-9_][\w.+-]*)(?=[\s;&|)}}`<>]|$)"
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class CalledProgram:
    """A program that a command line calls by name."""

    name: str
    line: int
    column: int


def find_programs(app: ast.AST) -> list[CalledProgram]:
    """Find the programs that a bash app calls, each with the first text that names it."""
    found: dict[str, CalledProgram] = {}
    try:
        lines = list(_iter_command_lines(app))
    except RecursionError:  # generated: thousands of operators in one text
        return []
    for text, node in lines:
        plain = _COMMENT.sub("", _QUOTED.sub(_HOLE, text))
        for match in _COMMAND.finditer(plain):
            name = match["name"]
            found.setdefault(name, CalledProgram(name, node.lineno, node.col_offset))
    return sorted(found.values(), key=lambda called: (called.line, called.column))


def _iter_command_lines(app: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the texts that an app returns, and those that a name has that it returns."""
    if isinstance(app, ast.Lambda):
        yield from _iter_texts(app.body)
        return
    statements = [] if not hasattr(app, "body") else list(_iter_own_statements(app))
    returned = {
        name for node in statements if isinstance(node, ast.Return) for name in _list_names(node.value)
    }
    for node in statements:
        value = getattr(node, "value", None)
        if isinstance(node, ast.Return) or returned & set(_list_targets(node)):
            yield from _iter_texts(value) if value is not None else ()


def _iter_own_statements(app: ast.AST) -> Iterator[ast.AST]:
    stack: list[ast.AST] = [child for child in list_children(app) if isinstance(child, ast.stmt)]
    while stack:
        node = stack.pop()
        if isinstance(node, _FUNCTIONS):
            continue
        yield node
        stack += [child for child in list_children(node) if not isinstance(child, ast.expr)]


def _list_names(value: ast.expr | None) -> list[str]:
    if isinstance(value, ast.Name):
        return [value.id]
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        return _list_names(value.func.value)  # `command.format(…)`
    return []


def _list_targets(node: ast.AST) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _iter_texts(value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(value, ast.IfExp):
        yield from _iter_texts(value.body)
        yield from _iter_texts(value.orelse)
        return
    text = _read_text(value)
    if text.strip(_HOLE):
        yield text, value


def _read_text(value: ast.expr) -> str:
    """Read the literal parts of a text; what is computed is a hole in it."""
    match value:
        case ast.Constant(value=str(text)):
            return re.sub(r"\{[^{}\s]*\}", _HOLE, text)  # also that of `.format`
        case ast.JoinedStr():
            return "".join(_read_text(part) for part in value.values)
        case ast.BinOp(op=ast.Add()):
            return "".join(map(_read_text, _list_summands(value)))
        case ast.BinOp(op=ast.Mod()):
            return re.sub(r"%(?:\(\w+\))?[\d.]*[sdifgr]", _HOLE, _read_text(value.left))
        case ast.Call(
            func=ast.Attribute(value=ast.Constant(value=str(separator)), attr="join"), args=[inner]
        ):
            parts = inner.elts if isinstance(inner, ast.List | ast.Tuple) else []
            return separator.join(map(_read_text, parts))
        case ast.Call(func=ast.Attribute(value=inner, attr="format" | "strip" | "rstrip" | "lstrip")):
            return _read_text(inner)
        case _:
            return _HOLE


def _list_summands(value: ast.expr) -> list[ast.expr]:
    """List what `a + b + c` adds up, however long it is."""
    summands: list[ast.expr] = []
    while isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        summands.insert(0, value.right)
        value = value.left
    return [value, *summands]

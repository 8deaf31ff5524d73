"""Which functions of a program are Parsl apps (logic module).

Knows Parsl's decorators under any import alias, with arguments, stacked, partially applied, or called as functions.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from wq_package.analyze.analysis import AppKind
from wq_package.analyze.conditions import find_dotted_name
from wq_package.analyze.nodes import list_child_statements, list_children

__all__ = [
    "AppNode",
    "Callable",
    "FunctionNode",
    "add_app_aliases",
    "find_app_kind",
    "find_apps",
    "find_function",
    "has_app_marker",
]

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Callable = FunctionNode | ast.Lambda

_KINDS = {kind.value: kind for kind in AppKind}
_WORDS = tuple(_KINDS)
_BYTES_WORDS = tuple(word.encode() for word in _WORDS)
_PARTIAL = frozenset({"functools.partial", "partial"})


@dataclass(frozen=True, slots=True)
class AppNode:
    """One app.

    Attributes:
        name: with the classes and functions around it: `main.fit`.
        node: the function; for `python_app(f)` of an imported `f`, the expression that names it.
        others: further names that it is known by.
        owners: the functions and classes around it, outermost first.
    """

    name: str
    kind: AppKind
    node: ast.expr | FunctionNode
    owners: tuple[ast.AST, ...] = ()
    others: tuple[str, ...] = ()

    def is_named(self, name: str) -> bool:
        """Whether a user may mean this app by a name."""
        return name in (self.name, self.name.rpartition(".")[2], *self.others)


def has_app_marker(source: str | bytes) -> bool:
    """Whether a source has a word without which it has no apps."""
    if isinstance(source, bytes):
        return any(word in source for word in _BYTES_WORDS)
    return any(word in source for word in _WORDS)


def find_app_kind(decorator: ast.expr, aliases: dict[str, str]) -> AppKind | None:
    """Tell which app decorator an expression is, with or without arguments; `None` if it is another one."""
    if isinstance(decorator, ast.Call):
        called = find_dotted_name(decorator.func, aliases)
        if called in _PARTIAL and decorator.args:
            return find_app_kind(decorator.args[0], aliases)
        return find_app_kind(decorator.func, aliases)
    name = find_dotted_name(decorator, aliases) or ""
    root, _, last = name.rpartition(".")
    if root == "parsl" or root.startswith("parsl."):
        return _KINDS.get(last)
    if not root and "*" in aliases and aliases["*"].startswith("parsl"):
        return _KINDS.get(last)
    return None


def find_apps(tree: ast.Module, aliases: dict[str, str]) -> list[AppNode]:
    """Find the apps of a program, in the order of the source."""
    known = add_app_aliases(tree, aliases)
    apps: list[AppNode] = []
    functions: dict[str, tuple[FunctionNode, tuple[ast.AST, ...]]] = {}
    for node, owners in _iter_statements(tree):
        if isinstance(node, FunctionNode):
            functions[node.name] = (node, owners)
            kinds = [kind for decorator in node.decorator_list if (kind := find_app_kind(decorator, known))]
            apps += [AppNode(_qualify(node.name, owners), kinds[0], node, owners)] if kinds else []
        else:
            apps += _read_statement(node, owners, known, functions)
    return apps


def add_app_aliases(tree: ast.Module, aliases: dict[str, str]) -> dict[str, str]:
    """Add to the aliases what `task = python_app(executors=[…])` and `task = python_app` make names of decorators."""
    known = dict(aliases)
    for node, _ in _iter_statements(tree):
        if not isinstance(node, ast.Assign):
            continue
        kind = find_app_kind(node.value, known)
        if kind and not (isinstance(node.value, ast.Call) and _find_applied(node.value, known) is not None):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            known.update(dict.fromkeys(names, f"parsl.{kind.value}"))
    return known


def _iter_statements(tree: ast.Module) -> Iterator[tuple[ast.AST, tuple[ast.AST, ...]]]:
    stack: list[tuple[ast.AST, tuple[ast.AST, ...]]] = [(node, ()) for node in reversed(tree.body)]
    while stack:
        node, owners = stack.pop()
        yield node, owners
        inner = (*owners, node) if isinstance(node, FunctionNode | ast.ClassDef) else owners
        stack.extend((child, inner) for child in reversed(list_child_statements(node)))


def _qualify(name: str, owners: tuple[ast.AST, ...]) -> str:
    return ".".join(
        [*(owner.name for owner in owners if isinstance(owner, FunctionNode | ast.ClassDef)), name]
    )


def _read_statement(
    node: ast.AST,
    owners: tuple[ast.AST, ...],
    known: dict[str, str],
    functions: dict[str, tuple[FunctionNode, tuple[ast.AST, ...]]],
) -> list[AppNode]:
    """Read `g = python_app(f)`, which makes an app of a function."""
    names = [target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]
    apps = []
    for call in _iter_calls(node):
        kind = find_app_kind(call, known)
        applied = _find_applied(call, known) if kind else None
        if kind and applied is not None:
            others = tuple(names) if call is getattr(node, "value", None) else ()
            apps.append(_make_applied(kind, applied, owners, others, functions))
    return apps


def _iter_calls(node: ast.AST) -> Iterator[ast.Call]:
    if not isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr | ast.Return | ast.AugAssign | ast.For):
        return
    value = node.iter if isinstance(node, ast.For) else node.value
    stack: list[ast.AST] = [value] if value is not None else []
    while stack:
        inner = stack.pop()
        if isinstance(inner, ast.Call):
            yield inner
        stack.extend(list_children(inner))


def _find_applied(call: ast.Call, known: dict[str, str]) -> ast.expr | None:
    """Tell what function `python_app(f)` or `python_app(executors=[…])(f)` makes an app of."""
    if find_dotted_name(call.func, known) in _PARTIAL:
        return None
    for keyword in call.keywords:
        if keyword.arg == "function":
            return keyword.value
    return call.args[0] if call.args and not isinstance(call.args[0], ast.Constant) else None


def _make_applied(
    kind: AppKind,
    applied: ast.expr,
    owners: tuple[ast.AST, ...],
    others: tuple[str, ...],
    functions: dict[str, tuple[FunctionNode, tuple[ast.AST, ...]]],
) -> AppNode:
    if isinstance(applied, ast.Name) and applied.id in functions:
        node, around = functions[applied.id]
        return AppNode(_qualify(node.name, around), kind, node, around, others)
    if isinstance(applied, ast.Lambda):
        name = others[0] if others else "<lambda>"
        return AppNode(_qualify(name, owners), kind, applied, owners, ("<lambda>", *others))
    name = find_dotted_name(applied, {}) or "<expression>"
    return AppNode(_qualify(name.rpartition(".")[2], owners), kind, applied, owners, (name, *others))


def find_function(tree: ast.Module, line: int, name: str) -> tuple[Callable, tuple[ast.AST, ...]] | None:
    """Find a function by its first line (of `def`, or of its first decorator) and name, with what is around it."""
    best: tuple[int, Callable, tuple[ast.AST, ...]] | None = None
    for node, owners in _iter_statements(tree):
        for candidate in [node] if isinstance(node, FunctionNode) else _iter_lambdas(node, name):
            if isinstance(candidate, FunctionNode) and candidate.name != name:
                continue
            distance = _measure_distance(candidate, line)
            if distance is not None and (best is None or distance < best[0]):
                best = (distance, candidate, owners)
    return best[1:] if best else None


def _iter_lambdas(node: ast.AST, name: str) -> Iterator[Callable]:
    if name != "<lambda>" or isinstance(node, ast.ClassDef):
        return
    statements = set(map(id, list_child_statements(node)))
    stack = [child for child in list_children(node) if id(child) not in statements]
    while stack:
        inner = stack.pop()
        if isinstance(inner, ast.Lambda):
            yield inner
        stack.extend(list_children(inner))


def _measure_distance(node: Callable, line: int) -> int | None:
    """Zero if the line is the function's own first line; otherwise how large the function around the line is."""
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    if line in (first, node.lineno):
        return 0
    last = node.end_lineno or node.lineno
    return last - first + 1 if first <= line <= last else None

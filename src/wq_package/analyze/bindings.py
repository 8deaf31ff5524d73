"""What names a scope binds, and what each of them stands for (logic module: syntax trees in, nodes out).

Knows Python's binding statements: imports, definitions, assignments, loops, patterns, `:=`, `global`. Does not know which of
the names anybody uses.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from wq_package.analyze.apps import FunctionNode
from wq_package.analyze.nodes import list_child_statements, list_children, walk_tree

__all__ = [
    "Chain",
    "find_bound",
    "find_parameters",
    "find_targets",
    "iter_parameters",
    "iter_scope_statements",
    "make_table",
    "read_chain",
]

Chain = tuple[str, ...]
"""A name with the attributes that are read from it."""


def read_chain(node: ast.AST) -> Chain | None:
    """Read `a.b.c` where it is loaded."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        return (node.id, *reversed(parts))
    return None


def iter_parameters(arguments: ast.arguments) -> Iterator[ast.arg]:
    """Yield all parameters of a function, in the order of their kinds."""
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    yield from (argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None)


def find_parameters(node: FunctionNode | ast.Lambda) -> set[str]:
    """Tell the names of the parameters of a function."""
    return {parameter.arg for parameter in iter_parameters(node.args)}


def find_bound(node: FunctionNode | ast.Lambda | ast.ClassDef) -> set[str]:
    """Tell the names that are local to a function or class."""
    if isinstance(node, ast.Lambda):
        return find_parameters(node)
    bound = set() if isinstance(node, ast.ClassDef) else find_parameters(node)
    outer: set[str] = set()
    for statement in iter_scope_statements(node):
        if isinstance(statement, ast.Global | ast.Nonlocal):
            outer.update(statement.names)
        else:
            bound.update(name for name, _ in _iter_bindings(statement, with_changes=False))
    return bound - outer


def find_targets(generators: list[ast.comprehension]) -> set[str]:
    """Tell the names that a comprehension binds."""
    return {
        name.id
        for generator in generators
        for name in walk_tree(generator.target)
        if isinstance(name, ast.Name)
    }


def iter_scope_statements(owner: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements of one scope, without going into functions and classes."""
    stack = list_child_statements(owner)[::-1]
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, FunctionNode | ast.ClassDef):
            stack.extend(reversed(list_child_statements(node)))


def make_table(owner: ast.AST) -> dict[str, list[ast.AST]]:
    """Map the names of a scope to what binds them: import aliases, definitions, values, changes."""
    table: dict[str, list[ast.AST]] = {}
    for statement in iter_scope_statements(owner):
        for name, node in _iter_bindings(statement, with_changes=True):
            table.setdefault(name, []).append(node)
    if isinstance(owner, ast.Module):
        for name, node in _iter_global_bindings(owner):
            table.setdefault(name, []).append(node)
    return table


def _iter_bindings(statement: ast.AST, *, with_changes: bool) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        yield from ((alias.asname or alias.name.partition(".")[0], alias) for alias in statement.names)
    elif isinstance(statement, FunctionNode | ast.ClassDef):
        yield statement.name, statement
        if with_changes:
            yield from _iter_registered(statement)
    elif isinstance(statement, ast.ExceptHandler) and statement.name:
        yield statement.name, statement.type or statement
    elif isinstance(statement, ast.match_case):
        yield from ((name, statement.pattern) for name in _find_pattern_names(statement.pattern))
    elif isinstance(statement, ast.Expr) and with_changes and isinstance(statement.value, ast.Call):
        chain = read_chain(statement.value.func)
        if chain is not None and len(chain) > 1:
            yield chain[0], statement
    for target, value in _iter_assigned(statement):
        yield from _iter_target(target, value, statement, with_changes=with_changes)
    yield from _iter_walrus(statement)


def _iter_registered(statement: FunctionNode | ast.ClassDef) -> Iterator[tuple[str, ast.AST]]:
    """Yield what a decorator such as `@show.register(int)` changes: who uses it needs what is registered with it."""
    for decorator in statement.decorator_list:
        chain = read_chain(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if chain is not None and len(chain) > 1:
            yield chain[0], ast.Expr(value=statement)  # type: ignore[arg-type]  # by itself: several may have one name


def _iter_assigned(statement: ast.AST) -> Iterator[tuple[ast.expr, ast.AST]]:
    """Yield the targets of a statement, each with the value that it gets."""
    if isinstance(statement, ast.Assign):
        yield from ((target, statement.value) for target in statement.targets)
    elif isinstance(statement, ast.AugAssign | ast.AnnAssign):
        yield statement.target, statement.value or statement
    elif isinstance(statement, ast.For | ast.AsyncFor):
        yield statement.target, statement.iter
    elif isinstance(statement, ast.With | ast.AsyncWith):
        for item in statement.items:
            if item.optional_vars is not None:
                yield item.optional_vars, item.context_expr


def _iter_target(
    target: ast.expr, value: ast.AST, statement: ast.AST, *, with_changes: bool
) -> Iterator[tuple[str, ast.AST]]:
    stack: list[ast.expr] = [target]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name):
            yield node.id, value
        elif isinstance(node, ast.Tuple | ast.List):
            stack.extend(node.elts)
        elif isinstance(node, ast.Starred):
            stack.append(node.value)
        elif with_changes:
            root = _find_root(node)
            if root is not None:
                yield root, ast.Expr(value=value) if isinstance(value, ast.expr) else statement


def _find_root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _find_pattern_names(pattern: ast.pattern) -> set[str]:
    names = {
        getattr(node, "name", None)
        for node in walk_tree(pattern)
        if isinstance(node, ast.MatchAs | ast.MatchStar)
    }
    return {name for name in names if isinstance(name, str)}


def _iter_walrus(statement: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield what `:=` binds in the expressions of a statement."""
    if isinstance(statement, FunctionNode | ast.ClassDef | ast.match_case | ast.ExceptHandler):
        return
    inner = set(map(id, list_child_statements(statement)))
    for child in list_children(statement):
        if id(child) in inner:
            continue
        for node in walk_tree(child):
            if isinstance(node, ast.NamedExpr) and isinstance(node.target, ast.Name):
                yield node.target.id, node.value


def _iter_global_bindings(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield functions that set a global: whoever uses the global needs what the function puts there."""
    stack: list[tuple[ast.AST, ast.AST | None]] = [(node, None) for node in reversed(tree.body)]
    while stack:
        node, function = stack.pop()
        if isinstance(node, ast.Global) and function is not None:
            yield from ((name, function) for name in node.names)
        inner = node if isinstance(node, FunctionNode) else function
        children: Iterable[ast.AST] = list_child_statements(node)
        stack.extend((child, inner) for child in children)

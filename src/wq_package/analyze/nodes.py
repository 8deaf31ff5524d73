"""Going through syntax trees without recursion, so that no depth of nesting ends it (logic module).

Knows what is inside a node. Knows nothing of what anybody looks for.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

__all__ = ["list_child_statements", "list_children", "walk_tree"]


_BLOCKS = ("body", "orelse", "handlers", "finalbody", "cases")
_WITH_BLOCKS = frozenset(
    kind
    for kind in vars(ast).values()
    if isinstance(kind, type) and set(_BLOCKS) & set(getattr(kind, "_fields", ()))
)


def list_child_statements(node: ast.AST) -> list[ast.AST]:
    """List the statements directly inside a statement, with the handlers and cases between them."""
    if type(node) not in _WITH_BLOCKS:
        return []
    fields = node.__dict__
    blocks = [fields.get(name) for name in _BLOCKS]
    return [child for block in blocks if isinstance(block, list) for child in block]


def walk_tree(start: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and everything in it, in the order of the source; no depth of nesting ends it."""
    stack = [start]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(list_children(node)[::-1])


_WITHOUT_NODES = frozenset(
    (
        "ctx",
        "op",
        "ops",
        "id",
        "attr",
        "asname",
        "module",
        "level",
        "kind",
        "type_comment",
        "conversion",
        "arg",
        "rest",
    )
)


@cache
def _list_fields(kind: type[ast.AST]) -> tuple[str, ...]:
    """List the fields of a kind of node that may have nodes in them worth a visit."""
    if kind in (ast.Name, ast.Constant):
        return ()
    return tuple(name for name in kind._fields if name not in _WITHOUT_NODES)


def list_children(node: ast.AST) -> list[ast.AST]:
    """List the nodes directly inside a node, operators and contexts left out: several times as fast as `ast` does it."""
    children: list[ast.AST] = []
    fields = node.__dict__
    for name in _list_fields(type(node)):  # type: ignore[arg-type]  # classes are hashable, whatever the stubs say
        value = fields.get(name)
        if isinstance(value, ast.AST):
            children.append(value)
        elif value.__class__ is list:
            children += [item for item in value if isinstance(item, ast.AST)]
    return children

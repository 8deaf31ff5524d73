"""Folders that a program puts on `sys.path` itself (logic module).

Reads the expression of the call; nothing is asked of the disk.
"""

from __future__ import annotations

import ast
import os

from wq_package.analyze.nodes import walk_tree

__all__ = ["find_path_literal"]


def find_path_literal(call: ast.Call, path: str) -> str | None:
    """Tell which folder `sys.path.insert(0, …)` or `sys.path.append(…)` adds, if the source says it.

    Args:
        call: the call.
        path: the source's own path, for what is relative to `__file__`.
    """
    if not call.args:
        return None
    own = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120 - plain strings all the way
    texts = [node.value for node in walk_tree(call.args[-1]) if isinstance(node, ast.Constant)]
    names = {node.id for node in walk_tree(call.args[-1]) if isinstance(node, ast.Name)}
    attributes = [node.attr for node in walk_tree(call.args[-1]) if isinstance(node, ast.Attribute)]
    words = [text for text in texts if isinstance(text, str)]
    if "__file__" not in names and (len(words) != 1 or not isinstance(call.args[-1], ast.Constant)):
        return None
    ups = max(attributes.count("parent") + attributes.count("dirname") - 1, 0)
    if "parents" in attributes:
        ups = next((index for index in texts if isinstance(index, int)), 0)
    return os.path.normpath("/".join([own, *[".."] * ups, *words]))

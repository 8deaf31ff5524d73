"""Calls that import: `importlib.import_module("x")` and its many relatives (logic module).

Knows which functions import what their arguments name. A computed name is told, never guessed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wq_package.analyze.marks import Marks, find_places, mark_lines
from wq_package.spec.python_text import parse_python

__all__ = ["CALL_WORDS", "CallTarget", "hides_calls", "mark_calls", "read_call"]

CALL_WORDS = (
    b"import",
    b"find_spec",
    b"find_loader",
    b"get_loader",
    b"resolve_name",
    b"lazy_",
    b"LazyLoader",
    b"run_module",
    b"exec(",
    b"path.insert",
    b"path.append",
)
"""Words, one of which is in the code of every import and of every call that imports under its own name."""

_MARKS = (
    b"import_",
    b"__import__",
    b"importorskip",
    b"importlib",
    *(word for word in CALL_WORDS if word != b"import"),
)


def mark_calls(text: bytes) -> Marks:
    """Mark the lines of a source that may have a call that imports, if no alias hides any."""
    return mark_lines(text, find_places(text, _MARKS))


_REQUIRED = frozenset(
    {
        "importlib.import_module",
        "importlib.__import__",
        "builtins.__import__",
        "__import__",
        "runpy.run_module",
        "lazy_loader.load",
        "lazy_import.lazy_module",
        "importlib.resources.files",
        "importlib.resources.path",
        "importlib.resources.open_text",
        "importlib.resources.open_binary",
        "importlib.resources.read_text",
        "importlib.resources.read_binary",
        "importlib_resources.files",
    }
)
_OPTIONAL = frozenset(
    {
        "importlib.util.find_spec",
        "importlib.find_loader",
        "pkgutil.find_loader",
        "pkgutil.get_loader",
        "pytest.importorskip",
        "pandas.compat._optional.import_optional_dependency",
    }
)
_WITH_OBJECT = frozenset(
    {
        "pkgutil.resolve_name",
        "lazy_import.lazy_callable",
        "lazy_import.lazy_class",
        "lazy_import.lazy_function",
        "werkzeug.utils.import_string",
        "django.utils.module_loading.import_string",
    }
)
_LAZY_LOADERS = ("LazyLoader",)
_RESOURCES = frozenset(name for name in _REQUIRED if "resources" in name)
_ALL = _REQUIRED | _OPTIONAL | _WITH_OBJECT
_ROOTS = frozenset(name.partition(".")[0] for name in _ALL)


@dataclass(frozen=True, slots=True)
class CallTarget:
    """What a call imports."""

    module: str
    level: int = 0
    package: str | None = None
    is_optional: bool = False


def hides_calls(aliases: Mapping[str, str]) -> bool:
    """Whether a name of the program's own choice makes calls that import, so that no word of theirs marks them."""
    return any(
        not any(mark.decode() in call for mark in _MARKS)
        for name, target in aliases.items()
        if target.partition(".")[0] in _ROOTS or target.endswith(".LazyLoader")
        for call in _iter_calls(name, target)
    )


def _iter_calls(name: str, target: str) -> Iterator[str]:
    """Yield the calls that import, as a program writes them that has a name for something."""
    if target.endswith(".LazyLoader"):
        yield name
    yield from (
        name + function[len(target) :] for function in _ALL if f"{function}.".startswith(f"{target}.")
    )


def read_call(called: str, node: ast.Call) -> list[CallTarget] | str | None:
    """Tell what a call imports.

    Args:
        called: the dotted name of the function, with import aliases spelled out.
        node: the call.

    Returns:
        What it imports; a text if it imports something that the source does not say; `None` if it imports nothing.
    """
    if called == "exec":
        return _read_exec(node)
    if called.rpartition(".")[2] in _LAZY_LOADERS and len(node.args) == 3:
        return _read_name(node.args[2], node, called)
    if called in _RESOURCES and not (node.args and isinstance(node.args[0], ast.Constant)):
        return None
    if called in _ALL:
        name = (
            node.args[0]
            if node.args
            else _find_keyword(node, ("name", "fullname", "modname", "mod_name", "package"))
        )
        return None if name is None else _read_name(name, node, called)
    return None


def _find_keyword(node: ast.Call, names: tuple[str, ...]) -> ast.expr | None:
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    return next((given[name] for name in names if name in given), None)


def _read_name(name: ast.expr, node: ast.Call, called: str) -> list[CallTarget] | str | None:
    if not isinstance(name, ast.Constant):
        return f"`{called}` imports a module whose name is computed when the program runs"
    if not isinstance(name.value, str):
        return None
    text = name.value.partition(":")[0] if called in _WITH_OBJECT else name.value
    module = text.lstrip(".")
    level = len(text) - len(module)
    if module and not all(part.isidentifier() for part in module.split(".")):
        return None
    package = _read_package(node) if level else None
    return [CallTarget(module, level, package, called in _OPTIONAL)]


def _read_package(node: ast.Call) -> str | None:
    given = node.args[1] if len(node.args) > 1 else _find_keyword(node, ("package",))
    return given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else None


def _read_exec(node: ast.Call) -> list[CallTarget] | str | None:
    code = node.args[0] if node.args else None
    if not isinstance(code, ast.Constant) or not isinstance(code.value, str | bytes):
        return "`exec` runs code that is made when the program runs"
    try:
        tree = parse_python(code.value)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    targets = []
    for inner in ast.walk(tree):
        if isinstance(inner, ast.Import):
            targets += [CallTarget(alias.name) for alias in inner.names]
        elif isinstance(inner, ast.ImportFrom) and inner.module and not inner.level:
            targets.append(CallTarget(inner.module))
    return targets

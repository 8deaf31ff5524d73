"""Syntax tree → imports, each with its kind and place (logic module).

Knows every way in which Python source names a module: statements, and calls such as `importlib.import_module("x")`.
Does not know who provides a module or what an app is.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace

from wq_package.analyze.analysis import ImportKind
from wq_package.analyze.conditions import Cause, find_dotted_name, judge_test
from wq_package.analyze.dynamic import hides_calls, read_call
from wq_package.analyze.marks import Marks
from wq_package.analyze.nodes import list_child_statements, list_children
from wq_package.analyze.target import Target

__all__ = [
    "Context",
    "Extraction",
    "FoundImport",
    "Note",
    "extract_imports",
    "find_aliases",
]


@dataclass(frozen=True, slots=True)
class Context:
    """Under what circumstances an import happens.

    Attributes:
        kind: what the conditions around it say.
        tries: groups whose failure is caught: it may be missing.
        fallbacks: groups that have to fail before this is reached.
        sequels: groups that have to succeed before this is reached.
    """

    kind: ImportKind = ImportKind.REQUIRED
    tries: tuple[int, ...] = ()
    fallbacks: tuple[int, ...] = ()
    sequels: tuple[int, ...] = ()


_ALWAYS = Context()


@dataclass(frozen=True, slots=True)
class FoundImport:
    """One import as written.

    Attributes:
        module: dotted name without leading dots; empty for `from . import x`.
        name: for `from module import name`; `*` for all.
        level: number of leading dots.
        package: for `import_module(".x", package="p")`, the `p`.
    """

    module: str
    line: int
    column: int
    name: str | None = None
    level: int = 0
    package: str | None = None
    context: Context = _ALWAYS

    @property
    def kind(self) -> ImportKind:
        """When it happens."""
        context = self.context
        if context.kind is ImportKind.REQUIRED and (context.tries or context.fallbacks):
            return ImportKind.OPTIONAL
        return context.kind


@dataclass(frozen=True, slots=True)
class Note:
    """Something in the source that an analysis cannot follow."""

    line: int
    column: int
    text: str
    hint: str


@dataclass(slots=True)
class Extraction:
    """The imports of one source.

    Attributes:
        by_node: the imports by the identity of the syntax node (an alias or a call) that makes them.
        aliases: what imported names stand for.
        paths: literal folders that the source adds to `sys.path`, as written.
    """

    tree: ast.Module
    aliases: dict[str, str]
    by_node: dict[int, list[FoundImport]] = field(default_factory=dict)
    notes: dict[int, Note] = field(default_factory=dict)
    paths: list[ast.Call] = field(default_factory=list)

    @property
    def imports(self) -> list[FoundImport]:
        """All imports in the order of the source."""
        return [found for group in self.by_node.values() for found in group]


_DEAD = {
    Cause.TYPE_CHECKING: ImportKind.TYPE_ONLY,
    Cause.PLATFORM: ImportKind.OTHER_PLATFORM,
    Cause.CONSTANT: ImportKind.NEVER,
}
_CATCHING = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_EVERYWHERE = Marks()
_ENDING = frozenset({"sys.exit", "exit", "quit", "os._exit", "pytest.skip", "pytest.exit"})


def find_aliases(tree: ast.AST) -> dict[str, str]:
    """Tell what imported names stand for: `import numpy as np` gives `{"np": "numpy"}`."""
    aliases: dict[str, str] = {}
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                aliases[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{'.' * node.level}{node.module or ''}.{alias.name}"
        else:
            stack.extend(list_child_statements(node))
    return aliases


def extract_imports(tree: ast.Module, target: Target, *, calls: Marks = _EVERYWHERE) -> Extraction:
    """Find the imports of a program.

    Args:
        tree: the program.
        target: the Python it will run on.
        calls: where expressions are searched for calls that import, if no alias hides any.
    """
    extraction = Extraction(tree, find_aliases(tree))
    _Extractor(extraction, target, _EVERYWHERE if hides_calls(extraction.aliases) else calls).run()
    return extraction


class _Extractor:
    """Walks a tree with a stack of its own, so that no depth of nesting ends the walk."""

    def __init__(self, extraction: Extraction, target: Target, calls: Marks) -> None:
        self.extraction = extraction
        self.target = target
        self.calls = calls
        self.groups = 0
        self.stack: list[tuple[ast.AST, Context]] = []

    def run(self) -> None:
        self.push(self.extraction.tree.body, Context())
        while self.stack:
            node, context = self.stack.pop()
            self.visit(node, context)

    def push(self, nodes: list[ast.stmt] | list[ast.AST], context: Context) -> None:
        self.stack.extend((node, context) for node in reversed(nodes))

    def visit(self, node: ast.AST, context: Context) -> None:
        match node:
            case ast.Import():
                self.add_import(node, context)
            case ast.ImportFrom():
                self.add_import_from(node, context)
            case ast.If() | ast.While():
                self.visit_test(node, context)
            case ast.Try() | ast.TryStar():
                self.visit_try(node, context)
            case ast.With() | ast.AsyncWith():
                self.visit_with(node, context)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.visit_function(node, context)
            case _:
                self.visit_other(node, context)

    def visit_other(self, node: ast.AST, context: Context) -> None:
        """Go down into whatever has no rule of its own."""
        statements = list_child_statements(node)
        self.push(statements, context)
        if self.calls:
            seen = {id(statement) for statement in statements}
            self.search_calls([child for child in list_children(node) if id(child) not in seen], context)

    def visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, context: Context) -> None:
        # A `try` around a definition does not catch what happens when the function is called.
        inside = replace(context, tries=()) if context.tries else context
        self.push(node.body, inside)
        if self.calls:
            self.search_calls([*node.decorator_list, node.args], context)

    def visit_test(self, node: ast.If | ast.While, context: Context) -> None:
        if self.calls:
            self.search_calls([node.test], context)
        verdict = judge_test(node.test, self.extraction.aliases, self.target)
        body = orelse = context
        if verdict.cause is Cause.PRESENCE and verdict.value is None:
            body = replace(context, tries=(*context.tries, self.next_group()))
            orelse = replace(context, tries=(*context.tries, self.next_group()))
        elif verdict.value is False:
            body = _weaken(context, _DEAD.get(verdict.cause, ImportKind.NEVER))
        elif verdict.value is True and isinstance(node, ast.If):
            orelse = _weaken(context, _DEAD.get(verdict.cause, ImportKind.NEVER))
        self.push(node.orelse, orelse)
        self.push(node.body, body)

    def visit_try(self, node: ast.Try | ast.TryStar, context: Context) -> None:
        caught = [handler for handler in node.handlers if self.catches_import(handler.type)]
        is_guard = bool(caught) and not self.ends(caught[0].body)
        group = self.next_group()
        # What stands in for a failed import is reached only if it fails; a handler of a larger block may be at any time.
        stands_in = all(isinstance(inner, ast.Import | ast.ImportFrom | ast.Assign) for inner in node.body)
        instead = (
            replace(context, fallbacks=(*context.fallbacks, group))
            if stands_in or not self.catches_all(caught)
            else replace(context, tries=(*context.tries, self.next_group()))
        )
        self.push(node.finalbody, context)
        inner = replace(context, sequels=(*context.sequels, group)) if is_guard else context
        self.push(node.orelse, inner)
        for handler in reversed(node.handlers):
            self.push(handler.body, instead if handler in caught else context)
        self.push(node.body, replace(context, tries=(*context.tries, group)) if is_guard else context)

    def visit_with(self, node: ast.With | ast.AsyncWith, context: Context) -> None:
        if self.calls:
            self.search_calls(list(node.items), context)
        suppresses = any(self.suppresses_import(item.context_expr) for item in node.items)
        inner = replace(context, tries=(*context.tries, self.next_group())) if suppresses else context
        self.push(node.body, inner)

    def suppresses_import(self, expression: ast.expr) -> bool:
        if not isinstance(expression, ast.Call):
            return False
        called = find_dotted_name(expression.func, self.extraction.aliases)
        return called == "contextlib.suppress" and any(map(self.catches_import, expression.args))

    def catches_import(self, kind: ast.expr | None) -> bool:
        if kind is None:
            return True
        if isinstance(kind, ast.Tuple):
            return any(map(self.catches_import, kind.elts))
        name = find_dotted_name(kind, self.extraction.aliases) or ""
        return name.removeprefix("builtins.") in _CATCHING

    def catches_all(self, handlers: list[ast.ExceptHandler]) -> bool:
        kinds = [handler.type for handler in handlers]
        names = [find_dotted_name(kind, self.extraction.aliases) if kind else None for kind in kinds]
        return any(name in (None, "Exception", "BaseException") for name in names)

    def ends(self, body: list[ast.stmt]) -> bool:
        """Whether a handler always ends in an error: then what it guards is required after all."""
        last = body[-1]
        if isinstance(last, ast.Raise):
            return True
        if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
            return find_dotted_name(last.value.func, self.extraction.aliases) in _ENDING
        return False

    def next_group(self) -> int:
        self.groups += 1
        return self.groups

    def add_import(self, node: ast.Import, context: Context) -> None:
        for alias in node.names:
            self.add(alias, FoundImport(alias.name, alias.lineno, alias.col_offset, context=context))

    def add_import_from(self, node: ast.ImportFrom, context: Context) -> None:
        module = node.module or ""
        for alias in node.names:
            place = alias.lineno, alias.col_offset
            self.add(alias, FoundImport(module, *place, alias.name, node.level, context=context))

    def add(self, node: ast.AST, found: FoundImport) -> None:
        self.extraction.by_node.setdefault(id(node), []).append(found)

    def search_calls(self, nodes: list[ast.AST], context: Context) -> None:
        """Look for calls that import, anywhere in expressions."""
        stack = [node for node in nodes[::-1] if self.calls.touch(node)]
        while stack:
            node = stack.pop()
            if isinstance(node, ast.Call):
                self.visit_call(node, context)
            stack.extend(list_children(node)[::-1])

    def visit_call(self, node: ast.Call, context: Context) -> None:
        called = find_dotted_name(node.func, self.extraction.aliases)
        if called is None:
            return
        if called in ("sys.path.insert", "sys.path.append"):
            self.extraction.paths.append(node)
            return
        meaning = read_call(called, node)
        if isinstance(meaning, str):
            hint = "name what it imports with `--extra DISTRIBUTION`"
            self.extraction.notes[id(node)] = Note(node.lineno, node.col_offset, meaning, hint)
        for target in meaning if isinstance(meaning, list) else []:
            weak = target.is_optional and context.kind is ImportKind.REQUIRED
            inner = replace(context, tries=(*context.tries, self.next_group())) if weak else context
            place = node.lineno, node.col_offset
            self.add(node, FoundImport(target.module, *place, None, target.level, target.package, inner))


def _weaken(context: Context, kind: ImportKind) -> Context:
    return context if context.kind is not ImportKind.REQUIRED else replace(context, kind=kind)

"""What one function of a program needs from the rest of it (logic module: syntax trees in, imports out).

Follows names: from the function's body to the module-level imports, constants, helper functions and classes that it
uses, and from those on. What it does not use stays out, and so do annotations that nobody evaluates and the decorators
that make it an app. Knows nothing of files or distributions.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass, field

from wq_package.analyze.apps import FunctionNode, add_app_aliases, find_app_kind
from wq_package.analyze.bindings import (
    Chain,
    find_bound,
    find_parameters,
    find_targets,
    iter_parameters,
    iter_scope_statements,
    make_table,
    read_chain,
)
from wq_package.analyze.extract import Extraction, FoundImport, Note
from wq_package.analyze.nodes import list_children, walk_tree

__all__ = ["Slice", "slice_program"]

_BUILTINS = frozenset(dir(builtins)) | {
    "__name__",
    "__file__",
    "__doc__",
    "__builtins__",
    "__class__",
    "__spec__",
}
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(slots=True)
class Slice:
    """What a function needs.

    Attributes:
        imports: in the order of the source.
        notes: what could not be followed in it.
        nodes: the syntax nodes it is made of.
    """

    imports: list[FoundImport] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    nodes: list[ast.AST] = field(default_factory=list)


@dataclass(slots=True)
class _Scope:
    """Names bound while walking an expression or a function body."""

    bound: set[str]
    is_class: bool = False
    is_function: bool = False


_Scopes = tuple[_Scope, ...]


def slice_program(
    extraction: Extraction, node: ast.AST, owners: tuple[ast.AST, ...] = (), *, stop_at_apps: bool = False
) -> Slice:
    """Follow what a function needs.

    Args:
        extraction: the program's imports.
        node: the function, or an expression that names one.
        owners: the functions and classes around it, outermost first.
        stop_at_apps: do not follow other apps that it calls (a join app only launches them).
    """
    return _Slicer(extraction, stop_at_apps=stop_at_apps).run(node, owners)


class _Slicer:
    def __init__(self, extraction: Extraction, *, stop_at_apps: bool) -> None:
        self.extraction = extraction
        self.stop_at_apps = stop_at_apps
        self.aliases = add_app_aliases(extraction.tree, extraction.aliases)
        self.has_lazy_annotations = _has_lazy_annotations(extraction.tree)
        self.tables: dict[int, dict[str, list[ast.AST]]] = {}
        self.seen: set[int] = set()
        self.order: list[ast.AST] = []
        self.picked: dict[int, list[FoundImport]] = {}
        self.has_unknown_names = False
        self.work: list[tuple[ast.AST, tuple[ast.AST, ...]]] = []

    def run(self, node: ast.AST, owners: tuple[ast.AST, ...]) -> Slice:
        self.work.append((node, owners))
        if _uses_self(node, owners):
            self.work.append((owners[-1], owners[:-1]))
        while self.work:
            self.follow(*self.work.pop())
        if self.has_unknown_names:
            self.pick_stars()
        imports = [
            found for key, group in self.extraction.by_node.items() if key in self.picked for found in group
        ]
        touched = {id(inner) for start in self.order for inner in walk_tree(start)}
        notes = [note for key, note in self.extraction.notes.items() if key in touched]
        return Slice(imports, notes, self.order)

    def follow(self, node: ast.AST, owners: tuple[ast.AST, ...]) -> None:
        if id(node) in self.seen:
            return
        self.seen.add(id(node))
        if isinstance(node, ast.alias):
            self.pick(node)
            return
        self.order.append(node)
        for inner, chain in self.iter_used(node):
            if inner is not None:
                self.pick(inner)
            elif chain is not None:
                self.resolve(chain, owners)

    def pick(self, node: ast.AST) -> None:
        group = self.extraction.by_node.get(id(node))
        if group:
            self.picked[id(node)] = group

    def pick_stars(self) -> None:
        for node in iter_scope_statements(self.extraction.tree):
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                self.pick(node.names[0])

    def resolve(self, chain: Chain, owners: tuple[ast.AST, ...]) -> None:
        """Follow a name to where it is bound: in the functions around, then in the module."""
        for depth in range(len(owners), -1, -1):
            owner = owners[depth - 1] if depth else self.extraction.tree
            if depth and isinstance(owner, ast.ClassDef) and depth != len(owners):
                continue
            bindings = self.find_table(owner).get(chain[0])
            if bindings:
                self.follow_bindings(chain, bindings, owners[:depth])
                return
            if depth and isinstance(owner, FunctionNode) and chain[0] in find_parameters(owner):
                return
        self.has_unknown_names = self.has_unknown_names or chain[0] not in _BUILTINS

    def follow_bindings(self, chain: Chain, bindings: list[ast.AST], owners: tuple[ast.AST, ...]) -> None:
        imports = [node for node in bindings if isinstance(node, ast.alias)]
        wanted = [node for node in imports if _is_compatible(node, chain)] or imports
        others = [node for node in bindings if not isinstance(node, ast.alias | ast.Expr)]
        # `np.random.seed(0)` at module level changes an imported module, not a value that travels.
        changes = [] if imports else [node for node in bindings if isinstance(node, ast.Expr)]
        for node in (*wanted, *others, *changes):
            if self.stop_at_apps and isinstance(node, FunctionNode) and self.is_app(node):
                continue
            self.work.append((node, owners))

    def is_app(self, node: FunctionNode) -> bool:
        return any(find_app_kind(decorator, self.aliases) for decorator in node.decorator_list)

    def find_table(self, owner: ast.AST) -> dict[str, list[ast.AST]]:
        if id(owner) not in self.tables:
            self.tables[id(owner)] = make_table(owner)
        return self.tables[id(owner)]

    def iter_used(self, start: ast.AST) -> Iterator[tuple[ast.AST | None, Chain | None]]:
        """Yield imports inside a node, and the free names that it uses, each with the attributes read from it."""
        stack: list[tuple[ast.AST, _Scopes]] = [(start, ())]
        while stack:
            node, scopes = stack.pop()
            if isinstance(node, ast.alias) or (
                isinstance(node, ast.Call) and id(node) in self.extraction.by_node
            ):
                yield node, None
            chain = read_chain(node)
            if chain is not None:
                if not _is_bound(chain[0], scopes):
                    yield None, chain
                continue
            stack.extend(reversed(list(self.iter_children(node, scopes))))

    def iter_children(self, node: ast.AST, scopes: _Scopes) -> Iterator[tuple[ast.AST, _Scopes]]:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from self.iter_function(node, scopes)
            case ast.Lambda():
                yield from ((default, scopes) for default in _iter_defaults(node.args))
                yield node.body, (*scopes, _Scope(find_bound(node), is_function=True))
            case ast.ClassDef():
                yield from ((child, scopes) for child in (*node.decorator_list, *node.bases, *node.keywords))
                inner = (*scopes, _Scope(find_bound(node), is_class=True))
                yield from ((child, inner) for child in node.body)
            case ast.AnnAssign():
                yield from self.iter_annotated(node, scopes)
            case _ if isinstance(node, _COMPREHENSIONS):
                inner = (*scopes, _Scope(find_targets(node.generators)))
                yield from ((child, inner) for child in list_children(node))
            case _:
                yield from ((child, scopes) for child in list_children(node))

    def iter_function(self, node: FunctionNode, scopes: _Scopes) -> Iterator[tuple[ast.AST, _Scopes]]:
        for decorator in node.decorator_list:
            if not find_app_kind(decorator, self.aliases):
                yield decorator, scopes
        yield from ((default, scopes) for default in _iter_defaults(node.args))
        if not self.has_lazy_annotations:
            # The function object carries what its annotations evaluated to, wherever it goes.
            yield from ((annotation, scopes) for annotation in _iter_annotations(node))
        inner = (*scopes, _Scope(find_bound(node), is_function=True))
        yield from ((child, inner) for child in node.body)

    def iter_annotated(self, node: ast.AnnAssign, scopes: _Scopes) -> Iterator[tuple[ast.AST, _Scopes]]:
        yield node.target, scopes
        if node.value is not None:
            yield node.value, scopes
        in_function = bool(scopes) and scopes[-1].is_function  # there they are never evaluated
        if not self.has_lazy_annotations and not in_function:
            yield node.annotation, scopes


def _has_lazy_annotations(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )


def _uses_self(node: ast.AST, owners: tuple[ast.AST, ...]) -> bool:
    """Whether a method uses its instance: then the whole class travels."""
    if not (owners and isinstance(owners[-1], ast.ClassDef) and isinstance(node, FunctionNode)):
        return False
    parameters = [*node.args.posonlyargs, *node.args.args]
    if not parameters or parameters[0].arg not in ("self", "cls"):
        return False
    return any(isinstance(inner, ast.Name) and inner.id == parameters[0].arg for inner in walk_tree(node))


def _is_bound(name: str, scopes: _Scopes) -> bool:
    """Whether a name is local to where it is used; the names of a class are seen in its own body only."""
    return any(name in scope.bound and (not scope.is_class or scope is scopes[-1]) for scope in scopes)


def _iter_defaults(arguments: ast.arguments) -> Iterator[ast.expr]:
    yield from arguments.defaults
    yield from (default for default in arguments.kw_defaults if default is not None)


def _iter_annotations(node: FunctionNode) -> Iterator[ast.expr]:
    annotations = [parameter.annotation for parameter in iter_parameters(node.args)]
    yield from (annotation for annotation in (*annotations, node.returns) if annotation is not None)


def _is_compatible(alias: ast.alias, chain: Chain) -> bool:
    """Whether `import a.b.c` is what `a.b.x` needs: one is the beginning of the other."""
    if alias.asname or "." not in alias.name:
        return True
    parts = tuple(alias.name.split("."))
    shorter = min(len(parts), len(chain))
    return parts[:shorter] == chain[:shorter]

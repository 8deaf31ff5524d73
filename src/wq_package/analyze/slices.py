"""What one function of a program needs from the rest of it (logic module: syntax trees in, imports out).

Follows names: from the function's body to the module-level imports, constants, helper functions and classes that it
uses, and from those on. What it does not use stays out, and so do annotations that nobody evaluates and the decorators
that make it an app. Knows nothing of files or distributions.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from wq_package.analyze.apps import FunctionNode, add_app_aliases, find_app_kind
from wq_package.analyze.extract import (
    Extraction,
    FoundImport,
    Note,
    iter_child_statements,
    list_children,
    walk_tree,
)

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
_Chain = tuple[str, ...]


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
        for node in _iter_scope_statements(self.extraction.tree):
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                self.pick(node.names[0])

    def resolve(self, chain: _Chain, owners: tuple[ast.AST, ...]) -> None:
        """Follow a name to where it is bound: in the functions around, then in the module."""
        for depth in range(len(owners), -1, -1):
            owner = owners[depth - 1] if depth else self.extraction.tree
            if depth and isinstance(owner, ast.ClassDef) and depth != len(owners):
                continue
            bindings = self.find_table(owner).get(chain[0])
            if bindings:
                self.follow_bindings(chain, bindings, owners[:depth])
                return
            if depth and isinstance(owner, FunctionNode) and chain[0] in _find_parameters(owner):
                return
        self.has_unknown_names = self.has_unknown_names or chain[0] not in _BUILTINS

    def follow_bindings(self, chain: _Chain, bindings: list[ast.AST], owners: tuple[ast.AST, ...]) -> None:
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
            self.tables[id(owner)] = _make_table(owner)
        return self.tables[id(owner)]

    def iter_used(self, start: ast.AST) -> Iterator[tuple[ast.AST | None, _Chain | None]]:
        """Yield imports inside a node, and the free names that it uses, each with the attributes read from it."""
        stack: list[tuple[ast.AST, _Scopes]] = [(start, ())]
        while stack:
            node, scopes = stack.pop()
            if isinstance(node, ast.alias) or (
                isinstance(node, ast.Call) and id(node) in self.extraction.by_node
            ):
                yield node, None
            chain = _read_chain(node)
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
                yield node.body, (*scopes, _Scope(_find_bound(node), is_function=True))
            case ast.ClassDef():
                yield from ((child, scopes) for child in (*node.decorator_list, *node.bases, *node.keywords))
                inner = (*scopes, _Scope(_find_bound(node), is_class=True))
                yield from ((child, inner) for child in node.body)
            case ast.AnnAssign():
                yield from self.iter_annotated(node, scopes)
            case _ if isinstance(node, _COMPREHENSIONS):
                inner = (*scopes, _Scope(_find_targets(node.generators)))
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
        inner = (*scopes, _Scope(_find_bound(node), is_function=True))
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


def _read_chain(node: ast.AST) -> _Chain | None:
    """Read `a.b.c` where it is loaded."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        return (node.id, *reversed(parts))
    return None


def _is_bound(name: str, scopes: _Scopes) -> bool:
    """Whether a name is local to where it is used; the names of a class are seen in its own body only."""
    return any(name in scope.bound and (not scope.is_class or scope is scopes[-1]) for scope in scopes)


def _iter_defaults(arguments: ast.arguments) -> Iterator[ast.expr]:
    yield from arguments.defaults
    yield from (default for default in arguments.kw_defaults if default is not None)


def _iter_parameters(arguments: ast.arguments) -> Iterator[ast.arg]:
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    yield from (argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None)


def _iter_annotations(node: FunctionNode) -> Iterator[ast.expr]:
    annotations = [parameter.annotation for parameter in _iter_parameters(node.args)]
    yield from (annotation for annotation in (*annotations, node.returns) if annotation is not None)


def _find_parameters(node: FunctionNode | ast.Lambda) -> set[str]:
    return {parameter.arg for parameter in _iter_parameters(node.args)}


def _find_bound(node: FunctionNode | ast.Lambda | ast.ClassDef) -> set[str]:
    """Tell the names that are local to a function or class."""
    if isinstance(node, ast.Lambda):
        return _find_parameters(node)
    bound = set() if isinstance(node, ast.ClassDef) else _find_parameters(node)
    outer: set[str] = set()
    for statement in _iter_scope_statements(node):
        if isinstance(statement, ast.Global | ast.Nonlocal):
            outer.update(statement.names)
        else:
            bound.update(name for name, _ in _iter_bindings(statement, with_changes=False))
    return bound - outer


def _find_targets(generators: list[ast.comprehension]) -> set[str]:
    return {
        name.id
        for generator in generators
        for name in walk_tree(generator.target)
        if isinstance(name, ast.Name)
    }


def _iter_scope_statements(owner: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements of one scope, without going into functions and classes."""
    stack = list(reversed(list(iter_child_statements(owner))))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, FunctionNode | ast.ClassDef):
            stack.extend(reversed(list(iter_child_statements(node))))


def _make_table(owner: ast.AST) -> dict[str, list[ast.AST]]:
    """Map the names of a scope to what binds them: import aliases, definitions, values, changes."""
    table: dict[str, list[ast.AST]] = {}
    for statement in _iter_scope_statements(owner):
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
    elif isinstance(statement, ast.ExceptHandler) and statement.name:
        yield statement.name, statement.type or statement
    elif isinstance(statement, ast.match_case):
        yield from ((name, statement.pattern) for name in _find_pattern_names(statement.pattern))
    elif isinstance(statement, ast.Expr) and with_changes and isinstance(statement.value, ast.Call):
        chain = _read_chain(statement.value.func)
        if chain is not None and len(chain) > 1:
            yield chain[0], statement
    for target, value in _iter_assigned(statement):
        yield from _iter_target(target, value, statement, with_changes=with_changes)
    yield from _iter_walrus(statement)


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
    inner = set(map(id, iter_child_statements(statement)))
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
        children: Iterable[ast.AST] = iter_child_statements(node)
        stack.extend((child, inner) for child in children)


def _is_compatible(alias: ast.alias, chain: _Chain) -> bool:
    """Whether `import a.b.c` is what `a.b.x` needs: one is the beginning of the other."""
    if alias.asname or "." not in alias.name:
        return True
    parts = tuple(alias.name.split("."))
    shorter = min(len(parts), len(chain))
    return parts[:shorter] == chain[:shorter]

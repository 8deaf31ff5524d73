"""One analysis under way: imports in, whose they are, what they need, and in the end the analysis (shell module).

Ties the rules of this room together; each rule itself stands in the module of its step. Reads the local modules that are
reached. Never imports or runs what it analyses.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from wq_package.analyze.analysis import (
    Analysis,
    AnalyzeOptions,
    App,
    AppKind,
    Distribution,
    ImportKind,
    ImportUse,
    Location,
    Origin,
    Problem,
    Resolver,
    Severity,
    Suggestion,
)
from wq_package.analyze.apps import AppNode
from wq_package.analyze.closure import Closure
from wq_package.analyze.conclude import Wanted, describe_pin, explain_doubt, find_unpinned, raise_errors
from wq_package.analyze.extract import (
    FoundImport,
    Note,
)
from wq_package.analyze.finder import FolderCache, FoundModule
from wq_package.analyze.implied import find_implied
from wq_package.analyze.installed import load_installed
from wq_package.analyze.local import LocalCollector
from wq_package.analyze.metadata import Need, is_requirement, iter_needs, parse_need
from wq_package.analyze.programs import find_programs
from wq_package.analyze.resolve import Answer, Chain
from wq_package.analyze.search_paths import find_path_literal
from wq_package.analyze.slices import Slice, slice_program
from wq_package.analyze.sources import SourceFile, locate_source, make_label, read_source
from wq_package.analyze.target import make_target
from wq_package.analyze.units import Unit, open_unit
from wq_package.errors import AnalysisError
from wq_package.spec.environment import EnvironmentSpec, WheelRequirement

__all__ = ["Gatherer"]

_NOT_REACHED = "not reached"


class Gatherer:
    """Gathers what one analysis finds."""

    def __init__(self, options: AnalyzeOptions) -> None:
        self.options = options
        self.target = make_target(options.python)
        installed = load_installed(options.search_path)
        cache = FolderCache(shared=(installed.cache, installed.sites))
        self.chain = Chain(installed, self.target, local_cache=cache)
        self.chain.mapping = {name: _parse_given(text, "--map") for name, text in options.mapping}
        self.local = LocalCollector()
        self.apps: tuple[App, ...] = ()
        self.uses: list[ImportUse] = []
        self.problems: list[Problem] = []
        self.wanted: dict[str, Wanted] = {}
        self.suggestions: list[Suggestion] = []
        self.extra_folders: list[str] = []
        self.doubts: dict[object, list[tuple[ImportUse, Answer]]] = {}
        self.seen_files: set[str] = set()
        self.work: deque[tuple[FoundModule, SourceFile]] = deque()
        for text in options.extra:
            need = _parse_given(text, "--extra")
            self.wanted[need.key] = Wanted(need, Resolver.EXTRA, f"`{text}`")

    def load(self, path: Path, *, is_only: bool) -> Unit | None:
        """Read and parse a file; of several, one that cannot be read is a problem and not the end."""
        try:
            source = locate_source(path, read_source(path), as_script=is_only)
            return self.open(source, is_whole=self.options.app is None)
        except AnalysisError as error:
            if is_only:
                raise
            self.problems.append(Problem(Severity.ERROR, str(error), hint=error.hint))
            return None

    def open(self, source: SourceFile, *, is_whole: bool = True) -> Unit:
        """Parse a source, and note what it says of itself."""
        unit = open_unit(source, self.target, is_lenient=self.options.keep_going, is_whole=is_whole)
        self.problems += unit.problems
        for call in unit.extraction.paths:
            self.add_search_folder(unit, call)
        return unit

    def add_search_folder(self, unit: Unit, call: ast.Call) -> None:
        """Follow `sys.path.insert(0, "literal")`, and `Path(__file__).parent / "literal"` in it."""
        folder = find_path_literal(call, unit.source.path)
        if folder and folder not in self.extra_folders:
            self.extra_folders.append(folder)

    def declare(self, source: SourceFile) -> None:
        """Note what a program declares; it counts by itself unless only one app is analysed."""
        for text, resolver, location in source.declared:
            need = parse_need(text)
            if need is None or not iter_needs((text,), frozenset(), self.target):
                continue
            self.chain.declared[need.key] = (need, resolver)
            if self.options.app is None:
                wanted = self.wanted.setdefault(need.key, Wanted(need, resolver, f"`{text}`"))
                wanted.locations.append(location)

    def take_all(self, unit: Unit, apps: Iterable[AppNode] = ()) -> None:
        """Take everything that a source imports, and what its apps call."""
        for app in apps:
            self.suggest_programs(unit, app)
        self.take_notes(unit, list(unit.extraction.notes.values()))
        self.suggest(unit, [unit.extraction.tree])
        self.take_imports(unit, unit.extraction.imports)
        if self.options.include_self:
            self.take_self(unit)

    def take_self(self, unit: Unit) -> None:
        """Take the analysed file itself along: the worker imports it."""
        source = unit.source
        answer = self.chain.resolve(source.module, None, self.list_first(unit), source.last)
        if not source.module or answer.found is None or answer.found.is_namespace:
            text = "cannot be imported under any name, so it cannot travel as local source"
            self.problems.append(Problem(Severity.ERROR, text, Location(source.path), "rename the file"))
            return
        use = ImportUse(source.module, ImportKind.REQUIRED, Location(source.path), origin=answer.origin)
        self.take(unit, use, answer)
        self.drain()

    def take_app(self, unit: Unit, app: AppNode) -> None:
        """Take what one app needs."""
        stop = app.kind is AppKind.JOIN
        self.suggest_programs(unit, app)
        self.take_slice(unit, slice_program(unit.extraction, app.node, app.owners, stop_at_apps=stop))

    def suggest(self, unit: Unit, nodes: Sequence[ast.AST]) -> None:
        """Suggest what the code probably needs besides what it imports."""
        marks = unit.implied
        for need in find_implied(nodes, unit.extraction.aliases, marks) if marks else ():
            installed = tuple(
                name for name in need.candidates if self.chain.installed.find_distribution(name)
            )
            place = unit.source.locate(need.line, need.column)
            self.suggestions.append(Suggestion(need.text, need.candidates, place, installed))

    def suggest_programs(self, unit: Unit, app: AppNode) -> None:
        """Suggest who has the programs that a bash app calls: they travel only if somebody asks for them."""
        if app.kind is not AppKind.BASH:
            return
        for called in find_programs(app.node):
            owner = None if _is_python(called.name) else self.chain.installed.find_program_owner(called.name)
            if owner is not None:
                text = f"`{called.name}` is a program of version {owner[1]} of"
                place = unit.source.locate(called.line, called.column)
                self.suggestions.append(Suggestion(text, owner[:1], place, owner[:1]))

    def take_slice(self, unit: Unit, part: Slice) -> None:
        """Take what a part of a source imports."""
        self.take_notes(unit, part.notes)
        self.suggest(unit, part.nodes)
        self.take_imports(unit, part.imports)
        if self.options.include_self:
            self.take_self(unit)

    def take_notes(self, unit: Unit, notes: Iterable[Note]) -> None:
        """Report what cannot be followed."""
        for note in notes:
            place = unit.source.locate(note.line, note.column)
            self.problems.append(Problem(Severity.WARNING, note.text, place, note.hint))

    def take_imports(self, unit: Unit, imports: Iterable[FoundImport]) -> None:
        """Resolve the imports of a source, then those of the local modules that they reach."""
        self.resolve_imports(unit, imports)
        self.drain()

    def drain(self) -> None:
        """Read the local modules that were reached, and those that they reach."""
        while self.work:
            found, importer = self.work.popleft()
            self.enter(found, importer)

    def resolve_imports(self, unit: Unit, imports: Iterable[FoundImport]) -> None:
        """Resolve imports in the order of the source, keeping track of which `try` succeeded."""
        imports = list(imports)
        # A `try` without imports in it never fails here: what stands in its handler may be reached at any time.
        failed = {group for found in imports for group in found.context.fallbacks}
        failed -= {group for found in imports for group in found.context.tries}
        for found in imports:
            use = self.resolve_import(unit, found, failed)
            if not use.is_used and use.kind is ImportKind.OPTIONAL and not use.note.startswith(_NOT_REACHED):
                failed.update(found.context.tries)
            self.uses.append(use)

    def resolve_import(self, unit: Unit, found: FoundImport, failed: set[int]) -> ImportUse:
        """Resolve one import and take what it needs."""
        location = unit.source.locate(found.line, found.column)
        module = _make_absolute(unit.source, found)
        if module is None:
            where = (
                "goes above the outermost package"
                if unit.source.package
                else "but the source is in no package"
            )
            text = f"`{'.' * found.level}{found.module}` is relative, {where}"
            self.problems.append(Problem(Severity.ERROR, text, location, "import it by its name"))
            return ImportUse(found.module, found.kind, location, found.name, is_used=False, note="relative")
        answer = self.chain.resolve(module, found.name, self.list_first(unit), unit.source.last)
        names = tuple(claim.need.name for claim in answer.claims)
        use = ImportUse(module, found.kind, location, found.name, answer.origin, names)
        note = self.judge(found, answer, failed)
        if note:
            return replace(use, is_used=False, note=note)
        return self.take(unit, use, answer)

    def list_first(self, unit: Unit) -> tuple[str, ...]:
        """List the folders of the program itself; what is installed is not local, even to a file that is installed."""
        sites = self.chain.installed.sites
        return tuple(folder for folder in (*unit.source.first, *self.extra_folders) if folder not in sites)

    def judge(self, found: FoundImport, answer: Answer, failed: set[int]) -> str:
        """Say why an import does not count, or nothing if it does."""
        if found.kind not in (ImportKind.REQUIRED, ImportKind.OPTIONAL):
            return str(found.kind.value)
        if any(group not in failed for group in found.context.fallbacks):
            return f"{_NOT_REACHED}: what it stands in for is there"
        if any(group in failed for group in (*found.context.sequels, *found.context.tries)):
            return f"{_NOT_REACHED}: an import before it is missing"
        if found.context.tries and not answer.is_present:
            return "not installed here"
        if found.context.tries and answer.origin is Origin.THIRD_PARTY and not self.options.include_optional:
            return "optional"
        return ""

    def take(self, unit: Unit, use: ImportUse, answer: Answer) -> ImportUse:
        """Take what an import needs: local source, distributions, or a problem."""
        if answer.warning or answer.origin is Origin.UNKNOWN:
            key = (use.module.partition(".")[0], answer.claims, answer.candidates)
            self.doubts.setdefault(key, []).append((use, answer))
        if answer.origin is Origin.LOCAL and answer.found is not None:
            self.local.add(answer.found)
            self.work.append((answer.found, unit.source))
        elif answer.origin is Origin.UNKNOWN:
            return replace(use, is_used=False, note="unresolved")
        for claim in answer.claims:
            wanted = self.wanted.setdefault(claim.need.key, Wanted(claim.need, claim.resolver, claim.detail))
            extras = wanted.need.extras | claim.need.extras
            wanted.need = replace(
                wanted.need, extras=extras, constraint=wanted.need.constraint or claim.need.constraint
            )
            wanted.locations.append(use.location)
        return use

    def enter(self, found: FoundModule, importer: SourceFile) -> None:
        """Read a local module, and the packages that importing it runs."""
        names = found.name.split(".")
        files = [*found.parents, found.file]
        for depth, file in enumerate(files, len(names) - len(files) + 1):
            if file in self.seen_files or not file.endswith((".py", ".pyw")):
                continue
            self.seen_files.add(file)
            module = ".".join(names[:depth])
            package = module if "/__init__." in file else module.rpartition(".")[0]
            first = (found.root, *importer.first)
            try:
                label = make_label(file)
                text = read_source(Path(label))
                source = SourceFile(
                    label, text, file, module, package, tuple(dict.fromkeys(first)), importer.last
                )
                unit = self.open(source)
            except AnalysisError as error:
                self.problems.append(Problem(Severity.ERROR, str(error), hint=error.hint))
                continue
            self.take_notes(unit, list(unit.extraction.notes.values()))
            self.suggest(unit, [unit.extraction.tree])
            self.resolve_imports(unit, unit.extraction.imports)

    def finish(self) -> Analysis:
        """Pin what was wanted and make the analysis.

        Raises:
            UnresolvedImportsError: something is missing, and the options do not say to keep going.
        """
        closure = Closure(self.chain.installed, self.target)
        for wanted in self.wanted.values():
            closure.add(wanted.need)
        closure.close()
        self.problems += [explain_doubt(doubts) for doubts in self.doubts.values()]
        self.problems += closure.problems
        if not self.target.is_running:
            from wq_package.analyze.other_python import find_python_problems

            self.problems += find_python_problems(closure.pins.values(), self.chain.installed, self.target)
        self.problems += find_unpinned(closure.pins, self.wanted)
        if not self.options.keep_going:
            raise_errors(self.problems, self.doubts.values())
        distributions = tuple(
            describe_pin(pin, self.wanted.get(key)) for key, pin in sorted(closure.pins.items())
        )
        return Analysis(
            spec=self.make_spec(distributions),
            imports=tuple(self.uses),
            apps=self.apps,
            distributions=distributions,
            problems=tuple(dict.fromkeys(self.problems)),
            suggestions=tuple(self.suggestions),
        )

    def make_spec(self, distributions: Sequence[Distribution]) -> EnvironmentSpec:
        """Make the spec of what was pinned."""
        conda = {entry.conda for entry in distributions if entry.conda is not None}
        wheels = [WheelRequirement(entry.requirement) for entry in distributions if entry.conda is None]
        names = {requirement.name for requirement in conda}
        return EnvironmentSpec(
            name=self.options.name,
            python=self.target.python,
            channels=self.chain.installed.list_conda_channels({*names, "python"}) if names else (),
            conda=tuple(sorted(conda)),
            wheels=tuple(sorted(wheels, key=lambda wheel: wheel.canonical_name)),
            local=self.local.list_sources(),
        )


def _parse_given(text: str, option: str) -> Need:
    need = parse_need(text) if is_requirement(text) else None
    if need is None:
        raise AnalysisError(
            f"`{text}` is not a requirement",
            hint=f"`{option}` takes a distribution such as `numpy` or `numpy>=2`",
        )
    return need


def _is_python(program: str) -> bool:
    """Whether a program is the interpreter, which every environment has."""
    return program.rstrip("0123456789.") == "python"


def _make_absolute(source: SourceFile, found: FoundImport) -> str | None:
    """Spell out a relative import."""
    if not found.level:
        return found.module
    base = (found.package or source.package).split(".") if found.package or source.package else []
    if found.level > len(base):
        return None
    parts = [*base[: len(base) - found.level + 1], *([found.module] if found.module else [])]
    return ".".join(parts)

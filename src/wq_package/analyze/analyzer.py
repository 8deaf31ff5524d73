"""The analysis from end to end: source → imports → whose they are → pins (shell module: reads sources).

Ties the other modules of this room together; each step's rules stand in the module of that step. Never imports or runs
what it analyses.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from wq_package.analyze.analysis import (
    Analysis,
    AnalyzeOptions,
    App,
)
from wq_package.analyze.apps import AppNode, find_apps, find_function
from wq_package.analyze.extract import (
    FoundImport,
    extract_imports,
)
from wq_package.analyze.gather import Gatherer
from wq_package.analyze.parsing import parse_source
from wq_package.analyze.slices import slice_program
from wq_package.analyze.sources import SourceFile, check_size, iter_source_paths, locate_source, read_source
from wq_package.analyze.units import Unit
from wq_package.errors import AnalysisError, AppNotFoundError

__all__ = ["analyze_app", "analyze_file", "analyze_files", "analyze_imports", "analyze_source"]

_DEFAULT = AnalyzeOptions()


def analyze_file(path: Path, options: AnalyzeOptions = _DEFAULT) -> Analysis:
    """Analyse a program, notebook, package or folder: all of it, or one of its apps.

    Raises:
        AnalysisError: it cannot be read or parsed, has no such app, or required imports belong to nothing that can be
            found; every problem is named. With `keep_going` only what leaves nothing to analyse is raised.
    """
    return analyze_files([path], options)


def analyze_files(paths: Sequence[Path], options: AnalyzeOptions = _DEFAULT) -> Analysis:
    """Analyse several programs, notebooks, packages or folders as one.

    Raises:
        AnalysisError: see `analyze_file`.
    """
    files = list(dict.fromkeys(file for path in paths for file in iter_source_paths(path)))
    named = ", ".join(f"`{path}`" for path in paths)
    if not files:
        hint = "give a file, or a folder with `*.py`"
        raise AnalysisError(f"there are no Python sources in {named}", hint=hint)
    analyzer = Gatherer(options)
    analyzer.seen_files.update(str(file.absolute()) for file in files if options.app is None)
    _take_units(
        analyzer, (unit for file in files if (unit := analyzer.load(file, is_only=len(files) == 1))), named
    )
    return analyzer.finish()


def analyze_source(text: str | bytes, path: str, options: AnalyzeOptions = _DEFAULT) -> Analysis:
    """Analyse the text of a program; `path` names it in messages and tells which local modules are beside it.

    Raises:
        AnalysisError: see `analyze_file`.
    """
    if isinstance(text, bytes):
        check_size(text, path)
    analyzer = Gatherer(options)
    unit = analyzer.open(locate_source(Path(path), text, path), is_whole=options.app is None)
    _take_units(analyzer, [unit], f"`{path}`")
    return analyzer.finish()


def analyze_app(path: Path, line: int, name: str, options: AnalyzeOptions = _DEFAULT) -> Analysis:
    """Analyse one function of a file.

    Args:
        path: the file.
        line: 1-based line of its `def`, or of its first decorator.
        name: its name; `<lambda>` for a lambda.
        options: how to analyse.

    Raises:
        AnalysisError: see `analyze_file`.
    """
    analyzer = Gatherer(options)
    unit = analyzer.open(locate_source(path, read_source(path)), is_whole=False)
    found = find_function(unit.extraction.tree, line, name)
    if found is None:
        apps = find_apps(unit.extraction.tree, unit.extraction.aliases)
        raise AppNotFoundError(str(path), name, tuple(app.name for app in apps))
    analyzer.take_slice(unit, slice_program(unit.extraction, *found))
    return analyzer.finish()


def analyze_imports(names: Iterable[str], options: AnalyzeOptions = _DEFAULT) -> Analysis:
    """Analyse bare import names, for functions that have no source.

    Raises:
        AnalysisError: names belong to nothing that can be found.
    """
    analyzer = Gatherer(options)
    source = SourceFile(
        "<names>", "", first=tuple(dict.fromkeys((sys.path[0] or str(Path.cwd()), str(Path.cwd()))))
    )
    extraction = extract_imports(parse_source("", "<names>"), analyzer.target)
    imports = [FoundImport(name, 0, 0) for name in dict.fromkeys(names)]
    analyzer.take_imports(Unit(source, extraction), imports)
    return analyzer.finish()


def _take_units(analyzer: Gatherer, units: Iterable[Unit], label: str) -> None:
    """Take what sources import, one after another, so that no more than one tree is in memory; or one app of them."""
    apps: list[App] = []
    matching: list[tuple[Unit, AppNode]] = []
    name = analyzer.options.app
    for unit in units:
        found = unit.find_apps()
        apps += [_describe_app(unit, app) for app in found]
        analyzer.declare(unit.source)
        if name is None:
            analyzer.take_all(unit, found)
        matching += [(unit, app) for app in found if name is not None and app.is_named(name)]
    analyzer.apps = tuple(apps)
    if name is not None:
        analyzer.take_app(*_choose_app(matching, name, apps, label))


def _describe_app(unit: Unit, app: AppNode) -> App:
    return App(app.name, app.kind, unit.source.locate(app.node.lineno, app.node.col_offset))


def _choose_app(
    matching: Sequence[tuple[Unit, AppNode]], name: str, known: Sequence[App], label: str
) -> tuple[Unit, AppNode]:
    if not matching:
        raise AppNotFoundError(label.strip("`"), name, tuple(dict.fromkeys(app.name for app in known)))
    exact = [entry for entry in matching if entry[1].name == name]
    return (exact or matching)[-1]  # a later definition of the same name replaces an earlier one

"""`wq-package analyze`: find what a program imports and write an environment spec."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wq_package_cli.exit_codes import ExitCode
from wq_package_cli.index_arguments import add_index_arguments, parse_indexes
from wq_package_cli.output import Printer

if TYPE_CHECKING:
    from wq_package.analyze import Analysis, AnalyzeOptions, Location
    from wq_package.build import Indexes
    from wq_package_cli.main import Subparsers

FORMATS = ("conda", "poncho", "poncho-old", "requirements", "pylock", "json")

_DESCRIPTION = """\
Find what a program imports, name the exact distributions that provide it here, and write an environment spec. The
program is read, never imported or run.
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "analyze", help="find what a program imports and write a spec", description=_DESCRIPTION
    )
    add = parser.add_argument
    add(
        "source",
        metavar="SOURCE",
        nargs="+",
        help="file, notebook, package or folder; `-` for standard input",
    )
    add("-o", "--output", metavar="FILE", help="write the spec here instead of standard output")
    add("--app", metavar="NAME", help="analyse this Parsl app only")
    add("--no-optional", action="store_true", help="leave out imports that the program can do without")
    add(
        "--map",
        metavar="IMPORT=DIST",
        action="append",
        default=[],
        type=_parse_pair,
        help="say what provides an import",
    )
    add(
        "--extra",
        metavar="DIST",
        action="append",
        default=[],
        help="add a distribution with what it requires",
    )
    add("--python", metavar="X.Y", help="analyse for this version of Python")
    add(
        "--path",
        metavar="DIR",
        action="append",
        help="resolve in these folders of installed packages instead",
    )
    add("--name", metavar="NAME", help="name of the environment")
    add("--format", choices=FORMATS, default="conda", help="what to write (default: conda)")
    add("--json", action="store_const", dest="format", const="json", help="short for `--format json`")
    add("--explain", action="store_true", help="show a table of who needs what, instead of the spec")
    add("--keep-going", action="store_true", help="write what could be resolved even if something is missing")
    add(
        "--offline",
        action="store_true",
        help="for `--format pylock`: ask no index, only what was asked before",
    )
    add_index_arguments(parser)


def _parse_pair(text: str) -> tuple[str, str]:
    name, separator, distribution = text.partition("=")
    if not separator or not name.strip() or not distribution.strip():
        raise argparse.ArgumentTypeError(f"`{text}` is not IMPORT=DIST, for example `yaml=PyYAML`")
    return name.strip(), distribution.strip()


@dataclass(frozen=True, slots=True)
class _Request:
    """What was asked for."""

    sources: tuple[str, ...]
    options: AnalyzeOptions
    output: str | None
    form: str
    explain: bool
    indexes: Indexes | None
    offline: bool


def run(args: argparse.Namespace, printer: Printer) -> ExitCode:
    """Carry the command out."""
    from wq_package.analyze import AnalyzeOptions, Severity

    gc.disable()  # the process ends soon, and nothing in the trees of many sources is worth collecting before
    options = AnalyzeOptions(
        app=args.app,
        include_optional=not args.no_optional,
        mapping=tuple(args.map),
        python=args.python,
        keep_going=args.keep_going,
        extra=tuple(args.extra),
        search_path=tuple(args.path) if args.path else None,
        name=args.name,
    )
    indexes = parse_indexes(args) if args.format == "pylock" else None  # no other format needs that room
    sources = tuple(args.source)
    request = _Request(sources, options, args.output, args.format, args.explain, indexes, args.offline)
    analysis = _analyze(request)
    _print_problems(analysis, printer)
    _print_suggestions(analysis, printer)
    if request.explain:
        _print_explanation(analysis, printer)
    if request.output is not None or not request.explain:
        _write(analysis, request, printer)
    is_complete = all(problem.severity is not Severity.ERROR for problem in analysis.problems)
    return ExitCode.DONE if is_complete else ExitCode.ANALYSIS


def _analyze(request: _Request) -> Analysis:
    from wq_package.analyze import MAX_SOURCE, analyze_files, analyze_source

    if request.sources == ("-",):
        return analyze_source(sys.stdin.buffer.read(MAX_SOURCE + 1), "<stdin>", request.options)
    return analyze_files([Path(source) for source in request.sources], request.options)


def _print_problems(analysis: Analysis, printer: Printer) -> None:
    for problem in analysis.problems:
        printer.print_words(f"{problem.severity.value}: {problem}")
        if problem.hint:
            printer.print_words(f"hint: {problem.hint}")


def _print_suggestions(analysis: Analysis, printer: Printer) -> None:
    """Print what no import shows, once for each kind of need, with the first line that triggered it."""
    seen = set()
    for suggestion in analysis.suggestions:
        if (suggestion.text, suggestion.candidates) in seen:
            continue
        seen.add((suggestion.text, suggestion.candidates))
        names = " or ".join(f"`{name}`" for name in suggestion.candidates)
        printer.print_words(f"suggestion: {suggestion.location}: {suggestion.text} {names}".rstrip())
        wanted = suggestion.installed[:1] or suggestion.candidates[:1]
        if wanted and not set(suggestion.installed) & {entry.name for entry in analysis.distributions}:
            printer.print_words(
                f"hint: add it with `--extra {wanted[0]}` if it is needed (executor: `extra_pkgs`)"
            )


def _print_explanation(analysis: Analysis, printer: Printer) -> None:
    """Draw the table of who needs what; wide enough for everything where it is not drawn on a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    console = printer.make_console(data=True)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 240
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("distribution", "version"):
        table.add_column(title, no_wrap=True)
    for title in ("imported at", "required by", "resolved by"):
        table.add_column(title, overflow="fold")
    for entry in analysis.distributions:
        detail = f" ({entry.detail})" if entry.detail else ""
        version = entry.conda.text.partition("=")[2] if entry.conda else entry.version or "not installed"
        who = "" if entry.resolver.name == "REQUIRED" else f"{entry.resolver.value}{detail}"
        cells = (entry.name, version, _list_places(entry.imported_at), ", ".join(entry.required_by), who)
        table.add_row(*map(_escape, cells))
    for source in analysis.local:
        uses = [use.location for use in analysis.imports if _is_of(use.module, source.import_name)]
        table.add_row(
            *map(_escape, (source.import_name, "local source", _list_places(uses), "", source.path))
        )
    console.print(table)


def _list_places(locations: Iterable[Location]) -> str:
    places = list(dict.fromkeys(map(str, locations)))
    more = [f"and {len(places) - 3} more"] if len(places) > 3 else []
    return "\n".join(places[:3] + more)


def _is_of(module: str, name: str) -> bool:
    return module == name or module.startswith(f"{name}.")


def _escape(text: str) -> str:
    return text.replace("[", "\\[")


def _write(analysis: Analysis, request: _Request, printer: Printer) -> None:
    from wq_package.analyze.report import render_analysis

    artefacts = _lock_wheels(analysis, request) if request.form == "pylock" else ""
    if request.output in (None, "-"):
        printer.print_data(render_analysis(analysis, request.form, Path.cwd(), artefacts))
        return
    from wq_package.spec.files import save_text

    output = Path(str(request.output))
    save_text(render_analysis(analysis, request.form, output.absolute().parent, artefacts), output)


def _lock_wheels(analysis: Analysis, request: _Request) -> str:
    """Ask for the files that a lock file has to name: the one thing here that needs an index."""
    from wq_package.build import lock_wheels

    return lock_wheels(analysis.spec, request.indexes, offline=request.offline)

"""`wq-package build`: build a relocatable environment archive from a spec."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wq_package_cli.build_arguments import SPEC_HELP, add_build_arguments, parse_build_options
from wq_package_cli.exit_codes import ExitCode
from wq_package_cli.output import Printer

if TYPE_CHECKING:
    from wq_package.build import BuildOptions, BuiltEnvironment, Reporter
    from wq_package_cli.main import Subparsers
    from wq_package_cli.progress import DrawnReporter

_DESCRIPTION = """\
Build one file that has everything of an environment in it, Python included. It works in any folder of any Linux machine
of the same architecture whose C library is not older than the one named when the build ends.
"""


@dataclass(frozen=True, slots=True)
class _Request:
    source: Path
    is_prefix: bool
    output: Path
    options: BuildOptions
    json: bool
    quiet: bool


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "build", help="build a relocatable environment archive from a spec", description=_DESCRIPTION
    )
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("spec", metavar="SPEC", nargs="?", help=SPEC_HELP)
    what.add_argument(
        "--prefix", metavar="DIR", help="pack this virtual environment, or conda environment, as it is"
    )
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="the archive, `.tar.gz` or `.tar.zst`; by default the spec's name with `.tar.gz`",
    )
    add("--locked", metavar="LOCK", help="build exactly what this lock says, or nothing; resolve nothing")
    add(
        "--keep-edits",
        action="store_true",
        help="pack installed distributions that were edited as they are, not as they were released",
    )
    add("-q", "--quiet", action="store_true", help="draw no progress")
    add("--json", action="store_true", help="print what was built as JSON")
    add_build_arguments(parser, no_bytecode="do not compile: smaller archive, slower first import")


def run(args: argparse.Namespace, printer: Printer) -> ExitCode:
    """Build, and print the environment's digest and the file."""
    request = _parse(args)
    built = _build(request, printer)
    if request.json:
        printer.print_json(_dump(built))
    else:
        printer.print_data(f"{built.digest}  {built.path}")
        printer.print_words(_describe(built))
    return ExitCode.DONE


def _parse(args: argparse.Namespace) -> _Request:
    from wq_package.build import find_compression, load_lock

    source = Path(args.prefix or args.spec)
    name = source.resolve().name or "env"
    default = f"{name}.tar.gz" if args.prefix else Path(name).with_suffix(".tar.gz")
    output = Path(args.output or default)
    options = replace(
        parse_build_options(args),
        compression=find_compression(output),
        lock=load_lock(Path(args.locked)) if args.locked else "",
        keep_edits=args.keep_edits,
    )
    return _Request(source, bool(args.prefix), output, options, args.json, args.quiet)


def _build(request: _Request, printer: Printer) -> BuiltEnvironment:
    if request.quiet or not printer.is_terminal:
        return _build_from(request, None)
    from wq_package_cli.late_progress import LateReporter

    with LateReporter(lambda: _open_drawing(printer)) as reporter:
        return _build_from(request, reporter)


def _open_drawing(printer: Printer) -> DrawnReporter:
    from wq_package_cli.progress import DrawnReporter  # costs as much as a build after a changed line

    return DrawnReporter(printer)


def _build_from(request: _Request, reporter: Reporter | None) -> BuiltEnvironment:
    if request.is_prefix:
        from wq_package.build.prefix import build_prefix

        return build_prefix(request.source, request.output, request.options, reporter)
    from wq_package.build import LayerCache, build_environment, default_cache_root
    from wq_package.spec.files import load_spec

    cache = LayerCache(request.options.cache or default_cache_root())
    spec = load_spec(request.source, cache)
    return build_environment(spec, request.output, request.options, reporter)


def _dump(built: BuiltEnvironment) -> dict[str, object]:
    index = built.index
    return {
        "path": str(built.path),
        "environment": built.digest,
        "size": built.path.stat().st_size,
        "python": index.python,
        "machine": index.machine,
        "glibc": ".".join(map(str, index.glibc)) if index.glibc else None,
        "layers": [
            {
                "name": layer.header.name,
                "version": layer.header.version,
                "digest": layer.digest,
                "size": layer.stored_size,
            }
            for layer in index.layers
        ],
        "layers_built": built.layers_built,
        "layers_reused": built.layers_reused,
        "seconds": round(built.seconds, 3),
    }


def _describe(built: BuiltEnvironment) -> str:
    index = built.index
    glibc = f", glibc {'.'.join(map(str, index.glibc))} or later" if index.glibc else ""
    return (
        f"Python {index.python} for {index.machine}{glibc}; {len(index.layers)} layers, {built.layers_built} of them new; "
        f"{built.path.stat().st_size / 1e6:.1f} MB in {built.seconds:.1f} s"
    )

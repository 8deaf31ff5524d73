"""`wq-package lock`: write down exactly what a build of a spec packs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wq_package_cli.exit_codes import ExitCode
from wq_package_cli.index_arguments import add_index_arguments, parse_indexes
from wq_package_cli.output import Printer

if TYPE_CHECKING:
    from wq_package_cli.main import Subparsers

_DESCRIPTION = """\
Find out exactly what a build of a spec packs: every distribution with its version and the digest of its layer. A build with
`--locked` packs just that, or nothing. The layers are made on the way and kept.
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "lock", help="write down exactly what a build of a spec packs", description=_DESCRIPTION
    )
    add = parser.add_argument
    add(
        "spec",
        metavar="SPEC",
        help="environment.yml, requirements.txt, pylock.toml, poncho's JSON or a script",
    )
    add("-o", "--output", metavar="FILE", help="write the lock here instead of standard output")
    add(
        "--python", metavar="VERSION", default="", help="the version of Python, instead of the spec's: `3.12`"
    )
    add(
        "--platform",
        metavar="NAME",
        default="",
        help="the machines that it is for: `aarch64`, `manylinux_2_28_x86_64`; by default like this one",
    )
    add("--interpreter", metavar="PYTHON", help="the Python to copy; by default one of the spec's version")
    add(
        "--fresh",
        action="store_true",
        help="take every wheel from the index, whatever is installed or cached",
    )
    add("--offline", action="store_true", help="use only what is installed or cached")
    add(
        "--allow-pypi",
        action="store_true",
        help="take conda packages from the Python package index where their channel cannot be reached",
    )
    add("--no-bytecode", action="store_true", help="for builds with --no-bytecode")
    add("--cache", metavar="DIR", help="where finished layers are kept")
    add_index_arguments(parser)


def run(args: argparse.Namespace, printer: Printer) -> ExitCode:
    """Lock, and write or print the lock."""
    from wq_package.build import BuildOptions, lock_environment
    from wq_package.spec.files import load_spec, save_text

    options = BuildOptions(
        cache=Path(args.cache).absolute() if args.cache else None,
        fresh=args.fresh,
        bytecode=not args.no_bytecode,
        python=args.python,
        platform=args.platform,
        interpreter=args.interpreter,
        offline=args.offline,
        allow_pypi=args.allow_pypi,
        indexes=parse_indexes(args),
    )
    lock = lock_environment(load_spec(Path(args.spec)), options) + "\n"
    if args.output:
        save_text(lock, Path(args.output))
        printer.print_words(f"wrote `{args.output}`")
    else:
        printer.print_data(lock)
    return ExitCode.DONE

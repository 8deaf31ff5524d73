"""`wq-package lock`: write down exactly what a build of a spec packs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wq_package_cli.build_arguments import SPEC_HELP, add_build_arguments, parse_build_options
from wq_package_cli.exit_codes import ExitCode
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
    add("spec", metavar="SPEC", help=SPEC_HELP)
    add("-o", "--output", metavar="FILE", help="write the lock here instead of standard output")
    add_build_arguments(parser, no_bytecode="for builds with --no-bytecode")


def run(args: argparse.Namespace, printer: Printer) -> ExitCode:
    """Lock, and write or print the lock."""
    from wq_package.build import lock_environment
    from wq_package.spec.files import load_spec, save_text

    lock = lock_environment(load_spec(Path(args.spec)), parse_build_options(args)) + "\n"
    if args.output:
        save_text(lock, Path(args.output))
        printer.print_words(f"wrote `{args.output}`")
    else:
        printer.print_data(lock)
    return ExitCode.DONE

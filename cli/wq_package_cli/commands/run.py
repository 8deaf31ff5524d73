"""`wq-package run`: run a command inside an environment archive."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from wq_package_cli.exit_codes import ExitCode
from wq_package_cli.output import Printer

if TYPE_CHECKING:
    from wq_package_cli.main import Subparsers

_DESCRIPTION = """\
Run a command inside an environment archive. The archive is unpacked once into the local store; later runs, and other
archives that share layers with it, find them there. Ends with the command's exit code.
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "run", help="run a command inside an environment archive", description=_DESCRIPTION
    )
    parser.add_argument(
        "--store", metavar="DIR", type=Path, help="unpack here instead of in the user's store"
    )
    parser.add_argument("archive", metavar="ARCHIVE", type=Path, help="the environment archive")
    parser.add_argument(
        "words", metavar="-- COMMAND", nargs=argparse.REMAINDER, help="the command and its arguments"
    )


def run(args: argparse.Namespace, printer: Printer) -> ExitCode:
    """Become the command; return only if there is none."""
    from wq_package.archive.launcher import make_environment_variables
    from wq_package.archive.platform import check_platform
    from wq_package.archive.reader import ArchiveReader
    from wq_package.worker.store import Store, default_store_root

    command = args.words[1:] if args.words[:1] == ["--"] else args.words
    if not command:
        printer.print_words("error: no command given\nhint: wq-package run ARCHIVE -- COMMAND [ARGUMENT…]")
        return ExitCode.USAGE
    with ArchiveReader(args.archive) as archive:
        index = archive.index
    check_platform(index)
    store = Store(args.store or default_store_root())
    with store.lease(index.environment) as lease:
        prefix = store.unpack(args.archive)
        lease.keep_over_exec()
        return _become(command, make_environment_variables(prefix, os.environ), printer)


def _become(command: list[str], variables: dict[str, str], printer: Printer) -> ExitCode:
    try:
        os.execvpe(command[0], command, variables)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        printer.print_words(f"error: `{command[0]}` cannot be run ({error.strerror})")
        place = "is neither in the environment nor on this machine's PATH" if missing else "is not a program"
        printer.print_words(f"hint: it {place}")
        return ExitCode.COMMAND_NOT_FOUND if missing else ExitCode.COMMAND_NOT_EXECUTABLE

"""`wq-package unpack`: unpack an environment archive into a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wq_package_cli.exit_codes import ExitCode
from wq_package_cli.output import Printer

if TYPE_CHECKING:
    from wq_package_cli.main import Subparsers

_DESCRIPTION = """\
Unpack an environment archive into a folder of its own and relocate it to there. The folder appears complete or not at
all. Activate it with `source DIR/bin/activate`, or run a command with `DIR/bin/run_in_env COMMAND`.
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "unpack", help="unpack an environment archive into a folder", description=_DESCRIPTION
    )
    parser.add_argument("archive", metavar="ARCHIVE", type=Path, help="the environment archive")
    parser.add_argument("folder", metavar="DIR", type=Path, help="where to; must be empty or not there yet")
    parser.add_argument("--json", action="store_true", help="print what was unpacked as JSON")


def run(args: argparse.Namespace, printer: Printer) -> ExitCode:
    """Unpack the archive."""
    from wq_package.archive.unpack import unpack_archive

    index = unpack_archive(args.archive, args.folder)
    if args.json:
        printer.print_json({"prefix": str(args.folder.absolute()), "environment": index.environment})
    else:
        printer.print_words(
            f"unpacked Python {index.python} and {len(index.layers)} layers into `{args.folder}`"
        )
    return ExitCode.DONE

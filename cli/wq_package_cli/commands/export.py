"""`wq-package export`: write what is in an archive in the formats of other tools."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wq_package_cli.exit_codes import ExitCode
from wq_package_cli.output import Printer

if TYPE_CHECKING:
    from wq_package_cli.main import Subparsers

_DESCRIPTION = """\
Write the bill of materials of an environment archive as CycloneDX 1.6 JSON: every package with its package URL, its licence and what
it needs. The same archive gives the same text.
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "export", help="write an archive's bill of materials", description=_DESCRIPTION
    )
    add = parser.add_argument
    add("--sbom", metavar="ARCHIVE", type=Path, required=True, help="the environment archive")
    add("-o", "--output", metavar="FILE", help="write here instead of to standard output")


def run(args: argparse.Namespace, printer: Printer) -> ExitCode:
    """Write or print the bill of materials."""
    from wq_package.build.bill import make_sbom
    from wq_package.spec.files import save_text

    text = make_sbom(args.sbom)
    if args.output:
        save_text(text, Path(args.output))
        printer.print_words(f"wrote `{args.output}`")
    else:
        printer.print_data(text)
    return ExitCode.DONE

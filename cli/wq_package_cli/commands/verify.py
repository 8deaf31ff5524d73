"""`wq-package verify`: check every byte of an environment archive, and that it works."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from wq_package_cli.exit_codes import ExitCode
from wq_package_cli.output import Printer

if TYPE_CHECKING:
    from wq_package_cli.main import Subparsers

_DESCRIPTION = """\
Check every digest in an environment archive; then unpack it into a temporary folder, start its Python and import the modules that
are named.
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "verify", help="check every byte of an environment archive", description=_DESCRIPTION
    )
    add = parser.add_argument
    add("archive", metavar="ARCHIVE", type=Path, help="the environment archive")
    add(
        "--import",
        dest="imports",
        metavar="MODULE",
        action="append",
        default=[],
        help="import this; may be repeated",
    )
    add("--no-start", action="store_true", help="check the bytes only, for example on another architecture")
    add("--json", action="store_true", help="print what was checked as JSON")


def run(args: argparse.Namespace, printer: Printer) -> ExitCode:
    """Check the archive; every fault is an error of the library."""
    from wq_package.archive.verify import verify_archive

    index = verify_archive(args.archive)
    if not args.no_start:
        _start(args.archive, tuple(args.imports))
    if args.json:
        printer.print_json(
            {"environment": index.environment, "layers": len(index.layers), "started": not args.no_start}
        )
    else:
        started = "" if args.no_start else "; its Python starts"
        imported = f" and imports {', '.join(args.imports)}" if args.imports and started else ""
        printer.print_words(f"`{args.archive}` is whole: {len(index.layers)} layers{started}{imported}")
    return ExitCode.DONE


def _start(archive: Path, imports: tuple[str, ...]) -> None:
    from wq_package.archive.platform import check_platform
    from wq_package.archive.unpack import unpack_archive
    from wq_package.archive.verify import verify_start

    with tempfile.TemporaryDirectory(prefix="wq-package-") as folder:
        prefix = Path(folder) / "env"
        check_platform(unpack_archive(archive, prefix))
        verify_start(prefix, imports)

"""`wq-package report`: turn a run's transaction log into a page to look at (shell module)."""

from __future__ import annotations

import argparse
import os
import stat
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wq_package.errors import QueueError
from wq_package_cli.exit_codes import ExitCode
from wq_package_cli.output import Printer

if TYPE_CHECKING:
    from wq_package.report import Run
    from wq_package_cli.main import Subparsers

_LONGEST_LINE = 2**24
"""What has no end of a line for so long is no log, and would fill the memory."""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "report",
        help="turn a run's transaction log into a page to look at",
        description="Show the last run of a transaction log as one HTML file that needs nothing else: tasks by worker, "
        "use against allocation, waste, transfers and environments.",
    )
    parser.add_argument(
        "log", metavar="LOG", type=Path, help="the file of the manager's option `transaction_log`"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, required=True, help="the page, e.g. report.html"
    )


def run(args: argparse.Namespace, printer: Printer) -> ExitCode:
    """Write the page."""
    from wq_package.report import render_page

    page = render_page(_read(args.log))
    _write(args.output, page)
    printer.print_words(f"wrote {args.output}")
    return ExitCode.DONE


def _read(path: Path) -> Run:
    from wq_package.report import read_run

    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            mode = os.fstat(lines.fileno()).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                raise QueueError(
                    f"`{path}` is no file",
                    hint="give the file that the manager's option `transaction_log` has named",
                )
            return read_run(iter(partial(lines.readline, _LONGEST_LINE), ""))
    except OSError as error:
        raise QueueError(
            f"transaction log `{path}` cannot be read: {error.strerror}",
            hint="check the path and its permissions",
        ) from error


def _write(path: Path, page: str) -> None:
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise QueueError(
            f"the report `{path}` cannot be written: {error.strerror}",
            hint="give a path in a folder that exists and that you may write to",
        ) from error

"""`wq-package diff`: show what differs between two environments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wq_package_cli.exit_codes import ExitCode
from wq_package_cli.output import Printer

if TYPE_CHECKING:
    from wq_package.build.comparison import Comparison, Package, PackageChange
    from wq_package_cli.main import Subparsers

_DESCRIPTION = """\
Show which distributions a second environment has more, less, or in another version than a first, and how many files differ. A
`.` stands for the environment that runs this program.
"""
_HERE = "."


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "diff", help="show what differs between two environments", description=_DESCRIPTION
    )
    parser.add_argument("first", metavar="A", help="an environment archive, or `.`")
    parser.add_argument("second", metavar="B", help="another one, or `.`")
    parser.add_argument("--json", action="store_true", help="print what differs as JSON")


def run(args: argparse.Namespace, printer: Printer) -> ExitCode:
    """Compare and print; a difference is no failure."""
    found = _compare(args.first, args.second)
    if args.json:
        printer.print_json(_dump(found))
        return ExitCode.DONE
    lines = [*_iter_lines(found)]
    if lines:
        printer.print_data("\n".join(lines))
    printer.print_words(_summarize(found))
    return ExitCode.DONE


def _compare(first: str, second: str) -> Comparison:
    from wq_package.build.comparison import compare
    from wq_package.build.holdings import (
        describe_archive,
        describe_running_environment,
        limit_to_distributions,
    )

    both = [
        describe_running_environment() if name == _HERE else describe_archive(Path(name))
        for name in (first, second)
    ]
    if _HERE in (first, second):
        both = [limit_to_distributions(each) for each in both]
    return compare(both[0], both[1])


def _dump(found: Comparison) -> dict[str, object]:
    return {
        "added": [_dump_package(each) for each in found.added],
        "removed": [_dump_package(each) for each in found.removed],
        "changed": [
            {
                "name": each.name,
                "old": _dump_package(each.old),
                "new": _dump_package(each.new),
                "files": each.files,
            }
            for each in found.changed
        ],
        "files": {
            "added": found.files_added,
            "removed": found.files_removed,
            "changed": found.files_changed,
        },
    }


def _dump_package(package: Package) -> dict[str, object]:
    return {"name": package.name, "version": package.version, "kind": package.kind}


def _iter_lines(found: Comparison) -> list[str]:
    return [
        *(f"- {_show(each)}" for each in found.removed),
        *(f"+ {_show(each)}" for each in found.added),
        *(_show_change(each) for each in found.changed),
    ]


def _show(package: Package) -> str:
    kind = "" if package.kind == "wheel" else f" ({package.kind})"
    return f"{package.name} {package.version}{kind}"


def _show_change(change: PackageChange) -> str:
    files = f", {change.files} files differ" if change.files else ""
    if change.is_same_version:
        return f"~ {_show(change.new)}: same version{files}"
    return f"~ {_show(change.old)} -> {_show(change.new)}{files}"


def _summarize(found: Comparison) -> str:
    if found.is_equal:
        return "nothing differs"
    return (
        f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed; "
        f"files: {found.files_added} added, {found.files_removed} removed, {found.files_changed} changed"
    )

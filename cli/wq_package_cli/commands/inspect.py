"""`wq-package inspect`: show what is in an environment archive."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wq_package_cli.exit_codes import ExitCode
from wq_package_cli.output import Printer

if TYPE_CHECKING:
    from wq_package.archive.layer import ArchiveIndex
    from wq_package.archive.reader import ArchiveReader
    from wq_package_cli.main import Subparsers


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "inspect",
        help="show what is in an environment archive",
        description="Show an environment archive's index: its layers with their sizes, and what it needs to run.",
    )
    parser.add_argument("archive", metavar="ARCHIVE", type=Path, help="the environment archive")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--json", action="store_true", help="print the index as JSON")
    what.add_argument("--sizes", action="store_true", help="draw which folders take how much room")
    what.add_argument(
        "--lock", action="store_true", help="print the lock that the environment was built from"
    )


def run(args: argparse.Namespace, printer: Printer) -> ExitCode:
    """Print the index."""
    import json

    from wq_package.archive.reader import ArchiveReader

    with ArchiveReader(args.archive) as archive:
        if args.json:
            printer.print_json(json.loads(archive.index_text))
        elif args.lock:
            printer.print_data(archive.index.lock)
        elif args.sizes:
            _print_sizes(archive, printer)
        else:
            _print_table(archive.index, printer)
    return ExitCode.DONE


def _print_sizes(archive: ArchiveReader, printer: Printer) -> None:
    from wq_package.archive.contents import read_archived_manifest
    from wq_package_cli.size_tree import draw_sizes, sum_sizes

    manifests = (read_archived_manifest(archive, layer) for layer in archive.index.layers)
    sizes = sum_sizes((member.path, member.size) for manifest in manifests for member in manifest.members)
    console = printer.make_console(data=True)
    console.print(f"{sizes.files} files, {_show_size(sizes.size)} MB unpacked", highlight=False)
    console.print(draw_sizes(sizes))


def _print_table(index: ArchiveIndex, printer: Printer) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("layer", "version", "kind"):
        table.add_column(name, overflow="fold")
    for name in ("files", "MB", "stored MB"):
        table.add_column(name, justify="right")
    table.add_column("digest")
    for layer in index.layers:
        header, stored = layer.header, layer.stored
        version = "=".join(word for word in (header.version, header.build) if word)
        sizes = (str(stored.files), _show_size(layer.size), _show_size(layer.stored_size))
        table.add_row(header.name, version, header.kind.value, *sizes, layer.digest[:12])
    console = printer.make_console(data=True)
    console.print(_describe(index), highlight=False, markup=False)
    console.print(table)


def _describe(index: ArchiveIndex) -> str:
    needs = index.machine or "any machine"
    if index.glibc:
        needs += f" with glibc {index.glibc[0]}.{index.glibc[1]} or newer"
    size = sum(layer.size for layer in index.layers)
    stored = sum(layer.stored_size for layer in index.layers)
    files = sum(layer.stored.files for layer in index.layers)
    return (
        f"environment {index.environment}\n"
        f"Python {index.python} for {needs}\n"
        f"{len(index.layers)} layers, {files} files, {_show_size(size)} MB, stored in {_show_size(stored)} MB"
        f" ({index.compression.value})\n"
    )


def _show_size(size: int) -> str:
    return f"{size / 1e6:.1f}" if size < 10_000_000 else f"{size / 1e6:.0f}"

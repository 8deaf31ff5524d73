"""The options that say where distributions are looked for, the same for every command that builds (logic module)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wq_package.build import Indexes

__all__ = ["add_index_arguments", "parse_indexes"]


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options, with pip's names."""
    add = parser.add_argument_group("where distributions are looked for").add_argument
    add("--index-url", metavar="URL", default="", help="the index, instead of PyPI or the one that is set up")
    add(
        "--extra-index-url",
        metavar="URL",
        action="append",
        default=[],
        help="one more index; may be repeated",
    )
    add(
        "--find-links",
        metavar="DIR",
        action="append",
        default=[],
        help="a folder, or the URL of a page, that has wheels; may be repeated",
    )
    add("--no-index", action="store_true", help="ask no index: only --find-links, installed and cached")


def parse_indexes(args: argparse.Namespace) -> Indexes:
    """Read the options."""
    from wq_package.build import Indexes

    links = (each if "://" in each else str(Path(each).absolute()) for each in args.find_links)
    return Indexes(args.index_url, tuple(args.extra_index_url), tuple(links), args.no_index)

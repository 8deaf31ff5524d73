"""The options that decide what a build of a spec packs, the same for every command that builds or locks (logic module)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wq_package_cli.index_arguments import add_index_arguments, parse_indexes

if TYPE_CHECKING:
    from wq_package.build import BuildOptions

__all__ = ["SPEC_HELP", "add_build_arguments", "parse_build_options"]

SPEC_HELP = "environment.yml, requirements.txt, pylock.toml, poncho's JSON or a script"


def add_build_arguments(parser: argparse.ArgumentParser, *, no_bytecode: str) -> None:
    """Add the options.

    Args:
        parser: of the command.
        no_bytecode: what `--no-bytecode` does there.
    """
    add = parser.add_argument
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
    add("--no-bytecode", action="store_true", help=no_bytecode)
    add("--cache", metavar="DIR", help="where finished layers are kept")
    add_index_arguments(parser)


def parse_build_options(args: argparse.Namespace) -> BuildOptions:
    """Read the options."""
    from wq_package.build import BuildOptions

    return BuildOptions(
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

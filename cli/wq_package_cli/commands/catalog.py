"""`wq-package catalog`: be the catalog of a site that has none (shell module)."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from wq_package_cli.exit_codes import ExitCode
from wq_package_cli.output import Printer

if TYPE_CHECKING:
    from wq_package.catalog import CatalogAddress
    from wq_package_cli.main import Subparsers


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "catalog",
        help="run a small catalog of project names",
        description="Run a catalog where managers advertise their project names and workers and tools find them. "
        "It needs a port (UDP and TCP) and the next one (TCP). Its address is written to standard output.",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default 127.0.0.1; 0.0.0.0 for every network)",
    )
    parser.add_argument(
        "-p", "--port", type=_parse_port, default=9097, help="port to listen on; 0 for any (default 9097)"
    )


def run(args: argparse.Namespace, printer: Printer) -> ExitCode:
    """Serve until told to stop."""
    from wq_package.catalog import serve_catalog

    def announce(address: CatalogAddress) -> None:
        printer.print_data(str(address))
        printer.print_words(
            f"set CATALOG_HOST={address.host} and CATALOG_PORT={address.port} to use this catalog"
        )

    asyncio.run(serve_catalog(args.host, args.port, announce))
    printer.print_words("the catalog has ended")
    return ExitCode.DONE


def _parse_port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text) < 65535:
        raise argparse.ArgumentTypeError(f"`{text}` is no port: a number from 0 to 65534")
    return int(text)

"""How commands name a manager: by host and port, or by a project name that catalogs know (shell module)."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wq_package.catalog import CatalogAddress
    from wq_package.link import TlsOptions

DEFAULT_PORT = 9123
"""The port of a manager that was told none."""


@dataclass(frozen=True, slots=True)
class ManagerArguments:
    """A manager as the user named it: `host` and `port`, or a `project` with the `catalogs` to ask for it."""

    host: str = ""
    port: int = 0
    project: str = ""
    catalogs: tuple[CatalogAddress, ...] = ()
    tls_fingerprint: str = ""

    @property
    def tls(self) -> TlsOptions | None:
        """How to check the manager's certificate; `None` for no TLS."""
        if not self.tls_fingerprint:
            return None
        from wq_package.link import TlsOptions

        return TlsOptions(fingerprint=self.tls_fingerprint)


def add_manager_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a manager."""
    parser.set_defaults(refuse_usage=parser.error)
    parser.add_argument("host", metavar="HOST", nargs="?", help="where the manager listens")
    parser.add_argument("port", metavar="PORT", nargs="?", type=_parse_port, help="on which port")
    parser.add_argument(
        "-M",
        "--project-name",
        metavar="NAME",
        help="instead of HOST PORT: a regular expression for the whole project name, as catalogs know it",
    )
    parser.add_argument(
        "-C",
        "--catalog",
        metavar="HOST:PORT",
        help="the catalogs to ask, separated by commas (default: $CATALOG_HOST and $CATALOG_PORT)",
    )
    parser.add_argument(
        "--tls-fingerprint",
        type=_parse_fingerprint,
        metavar="SHA256",
        help="speak TLS with the manager, and accept only this certificate",
    )


def read_manager_arguments(args: argparse.Namespace, *, default_port: int | None = None) -> ManagerArguments:
    """Read the arguments that name a manager; leaves the process when they make no sense together.

    Raises:
        QueueError: a catalog is needed and none is named, or it is written wrongly.
    """
    port = default_port if args.port is None else args.port
    if args.project_name is not None:
        if args.host is not None:
            args.refuse_usage("give either HOST PORT or -M NAME")
        return ManagerArguments(
            project=args.project_name,
            catalogs=_find_catalogs(args),
            tls_fingerprint=args.tls_fingerprint or "",
        )
    if args.host is None or port is None:
        args.refuse_usage("give HOST PORT or -M NAME")
    if args.catalog is not None:
        args.refuse_usage("-C goes with -M NAME only")
    return ManagerArguments(args.host, port or 0, tls_fingerprint=args.tls_fingerprint or "")


def _find_catalogs(args: argparse.Namespace) -> tuple[CatalogAddress, ...]:
    from wq_package.catalog import find_default_catalogs, parse_catalogs
    from wq_package.errors import QueueError

    catalogs = find_default_catalogs(os.environ) if args.catalog is None else parse_catalogs(args.catalog)
    if not catalogs:
        raise QueueError(
            "no catalog is named that could know the project",
            hint="name one with -C HOST:PORT or `CATALOG_HOST`, or give the manager's host and port",
        )
    return catalogs


def _parse_port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"`{text}` is no port: a number from 1 to 65535")
    return int(text)


def _parse_fingerprint(text: str) -> str:
    digits = text.replace(":", "").lower()
    if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"`{text}` is no fingerprint: 64 hexadecimal digits")
    return digits

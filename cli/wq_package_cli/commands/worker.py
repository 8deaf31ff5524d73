"""`wq-package worker`: serve a manager (shell module)."""

from __future__ import annotations

import argparse
import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

from wq_package.errors import QueueError
from wq_package_cli.exit_codes import ExitCode
from wq_package_cli.manager_arguments import add_manager_arguments, read_manager_arguments
from wq_package_cli.output import Printer

if TYPE_CHECKING:
    from wq_package.worker import WorkerOptions
    from wq_package_cli.main import Subparsers

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "worker",
        help="run a Work Queue worker",
        description="Connect to a Work Queue manager, ours or the original one, and run its tasks.",
    )
    add_manager_arguments(parser)
    parser.add_argument(
        "-P",
        "--password-file",
        type=Path,
        metavar="FILE",
        help="the manager's password; none is offered without",
    )
    _add_places(parser)
    _add_store_limits(parser)
    _add_peers(parser)
    _add_resources(parser)
    _add_times(parser)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store", type=Path, metavar="DIR", help="keep environments there, for all workers of this machine"
    )
    parser.add_argument(
        "-s", "--workdir", type=Path, metavar="DIR", help="make the worker's own folder in there"
    )
    parser.add_argument(
        "--user-namespace",
        action="store_true",
        help="protect environments from tasks also where this worker is not root; `sudo` does not work in tasks then",
    )
    parser.add_argument(
        "--no-cgroups",
        action="store_true",
        help="make no cgroups for tasks that have limits, though this worker may",
    )


def _add_store_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--private-store",
        action="store_true",
        help="keep environments in the worker's own folder, and nothing of them when its manager has gone",
    )
    parser.add_argument(
        "--store-limit",
        type=_parse_amount,
        metavar="MB",
        help="remove the environments that were unused the longest when the store takes more than this",
    )
    parser.add_argument(
        "--store-free",
        type=_parse_free,
        default=1024,
        metavar="MB",
        help="the same when its disk has less than this free (default: 1024)",
    )


def _add_peers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-peers",
        action="store_true",
        help="exchange no layers with other workers, whatever the manager says",
    )
    parser.add_argument(
        "--peer-port", type=_parse_port, default=0, metavar="PORT", help="listen there for other workers"
    )


def _add_resources(parser: argparse.ArgumentParser) -> None:
    for name, what in (
        ("cores", "cores"),
        ("memory", "MB of memory"),
        ("disk", "MB of disk"),
        ("gpus", "GPUs"),
    ):
        parser.add_argument(
            f"--{name}",
            type=_parse_amount,
            metavar="N",
            help=f"offer so many {what} (default, 0 or `all`: what this machine or batch job has)",
        )
    parser.add_argument(
        "--enforce-limits",
        action="store_true",
        help="end every task that uses more memory or disk than it declares, not only where the manager asks for it",
    )
    parser.add_argument(
        "--feature",
        action="append",
        default=[],
        metavar="NAME",
        help="a feature that tasks may ask for (repeatable)",
    )


def _add_times(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-t",
        "--timeout",
        type=_parse_seconds,
        metavar="TIME",
        help="leave after so long without a task or without a manager (default 900 s; also 15m, 2h, 1d)",
    )
    parser.add_argument(
        "--idle-timeout", type=_parse_seconds, metavar="TIME", help="the first half of --timeout"
    )
    parser.add_argument(
        "--connect-timeout", type=_parse_seconds, metavar="TIME", help="the second half of --timeout"
    )
    parser.add_argument("--single-shot", action="store_true", help="leave when the first manager does")
    parser.add_argument(
        "--wall-time", type=_parse_seconds, metavar="TIME", help="leave after so long, in any case"
    )


def run(args: argparse.Namespace, printer: Printer) -> ExitCode:
    """Serve until told to leave."""
    from wq_package.worker import run_worker

    options = _read_options(args)
    asyncio.run(run_worker(options))
    printer.print_words("the worker has ended")
    return ExitCode.DONE


def _read_options(args: argparse.Namespace) -> WorkerOptions:
    from wq_package.worker import WorkerOptions

    manager = read_manager_arguments(args)
    timeout = 900.0 if args.timeout is None else args.timeout
    return WorkerOptions(
        host=manager.host,
        port=manager.port,
        project=manager.project,
        catalogs=manager.catalogs,
        tls_fingerprint=manager.tls_fingerprint,
        password=None if args.password_file is None else _read_password(args.password_file),
        store=args.store,
        workdir=args.workdir,
        user_namespace=args.user_namespace,
        uses_cgroups=not args.no_cgroups,
        keeps_store=not args.private_store,
        store_limit_mb=args.store_limit,
        store_free_mb=args.store_free,
        peers=not args.no_peers,
        peer_port=args.peer_port,
        cores=args.cores,
        memory_mb=args.memory,
        disk_mb=args.disk,
        gpus=args.gpus,
        timeout=timeout if args.idle_timeout is None else args.idle_timeout,
        connect_timeout=args.timeout if args.connect_timeout is None else args.connect_timeout,
        single_shot=args.single_shot,
        wall_time=args.wall_time,
        features=tuple(args.feature),
        is_enforcing=args.enforce_limits,
    )


def _read_password(path: Path) -> bytes:
    """Read a password file as real workers do: every byte of it, the final newline too."""
    try:
        password = path.read_bytes()
    except OSError as error:
        hint = "the manager's owner has this file; copy it here"
        raise QueueError(f"the password file `{path}` cannot be read: {error.strerror}", hint=hint) from error
    if not password:
        raise QueueError(f"the password file `{path}` is empty", hint="the manager's owner has the right one")
    return password


def _parse_free(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"`{text}` is no whole number of MB")
    return int(text)


def _parse_port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"`{text}` is no port: a number from 1 to 65535")
    return int(text)


def _parse_amount(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"`{text}` is neither a whole number nor `all`")
    return int(text) or None


def _parse_seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"`{text}` is no time: a number, with s, m, h or d behind it if you like"
        )
    return float(found[1]) * _UNITS[found[2]]

"""The entry point: builds the parser, calls one command, turns errors into exit codes (shell module)."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol, cast

from wq_package import __version__
from wq_package.errors import WQPackageError
from wq_package_cli.commands import COMMANDS
from wq_package_cli.exit_codes import ExitCode, find_exit_code
from wq_package_cli.output import Printer, make_printer
from wq_package_cli.signals import obeying_signals

Subparsers = argparse._SubParsersAction  # the only name argparse has for it


class Command(Protocol):
    """What a module in `wq_package_cli.commands` offers."""

    def add_parser(self, subparsers: Subparsers[argparse.ArgumentParser]) -> None:
        """Add the command's parser under its own name."""

    def run(self, args: argparse.Namespace, printer: Printer) -> ExitCode:
        """Carry the command out."""


class _Formatter(argparse.HelpFormatter):
    """As wide as the terminal, which argparse itself finds out with a module that costs 4 ms, at every option."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_find_width())


class _Parser(argparse.ArgumentParser):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": _Formatter, **settings})


def _find_width() -> int:
    named = os.environ.get("COLUMNS", "")
    with suppress(OSError, ValueError, AttributeError):  # no terminal, or no standard output at all
        return (int(named) if named.isdecimal() else os.get_terminal_size(sys.stdout.fileno()).columns) - 2
    return 78


def main(argv: Sequence[str] | None = None) -> int:
    """Run `wq-package` and return its exit code; see `ExitCode`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    printer = make_printer()
    with obeying_signals() as interruption:
        try:
            code = _run(arguments, printer)
        except KeyboardInterrupt:
            # A command that handles signals itself has put Python's own handler back.
            interruption.number = interruption.number or signal.SIGINT
            code = ExitCode.INTERRUPTED
        except WQPackageError as error:
            if interruption.number is None:  # else it failed because it was interrupted
                printer.print_error(error)
            code = find_exit_code(error)
        if interruption.number is not None:
            return _say_interrupted(interruption.number, printer)
    return code


def _say_interrupted(number: signal.Signals, printer: Printer) -> int:
    words = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    with suppress(OSError):  # the terminal may be what has gone
        printer.print_words(words)
    return 128 + number


def _run(arguments: Sequence[str], printer: Printer) -> int:
    try:
        args = _make_parser(arguments).parse_args(arguments)
    except SystemExit as ended:  # argparse has printed the reason
        return int(ended.code or 0)
    logging.basicConfig(
        level=_LEVELS[min(args.verbose, 2)], format="%(asctime)s %(name)s %(message)s", stream=printer.err
    )
    try:
        return _load(args.command).run(args, printer)
    except BrokenPipeError:  # the reader of our output has gone, e.g. `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE


_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


def _load(name: str) -> Command:
    return cast(Command, importlib.import_module(f"wq_package_cli.commands.{name}"))


def _make_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="wq-package",
        description="Run Python functions with exactly the environment they need, on machines that have nothing.",
    )
    parser.add_argument("--version", action="version", version=f"wq-package {__version__}")
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="log more; twice for the wire trace"
    )
    subparsers = parser.add_subparsers(prog="wq-package", dest="command", metavar="COMMAND", required=True)
    for name in _names_to_load(arguments):
        _load(name).add_parser(subparsers)
    return parser


def _names_to_load(arguments: Sequence[str]) -> Sequence[str]:
    """Name the one command that was asked for, or all of them when help is wanted."""
    for argument in arguments:
        if argument in COMMANDS:
            return [argument]
        if not argument.startswith("-"):
            break
    return list(COMMANDS)

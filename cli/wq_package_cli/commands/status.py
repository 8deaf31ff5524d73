"""`wq-package status`: show what a manager is doing (shell module)."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wq_package.errors import QueueError
from wq_package_cli.exit_codes import ExitCode
from wq_package_cli.manager_arguments import (
    DEFAULT_PORT,
    ManagerArguments,
    add_manager_arguments,
    read_manager_arguments,
)
from wq_package_cli.output import Printer

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from wq_package.manager.status_client import QueueReport, Row
    from wq_package_cli.main import Subparsers

MOST_ROWS = 200


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "status",
        help="show what a manager is doing",
        description="Ask a manager, ours or the original Work Queue's, for its tasks and workers.",
    )
    add_manager_arguments(parser)
    parser.add_argument("-P", "--password-file", type=Path, metavar="FILE", help="the manager's password")
    parser.add_argument("--tasks", action="store_true", help="list the tasks too")
    parser.add_argument(
        "--categories", action="store_true", help="show what the tasks of each category used and are given"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print everything as JSON, with Work Queue's keys")
    how.add_argument(
        "--watch",
        metavar="SECONDS",
        type=float,
        nargs="?",
        const=2.0,
        help="show it again and again, every 2 s if not told otherwise",
    )


def run(args: argparse.Namespace, printer: Printer) -> ExitCode:
    """Print the status once, or until interrupted."""
    password = _read_password(args.password_file)
    manager = read_manager_arguments(args, default_port=DEFAULT_PORT)
    if args.watch is not None:
        return _watch(args, manager, printer, password)
    reports = _query(args, manager, password)
    if args.json:
        rows = [dataclasses.asdict(report) for report in reports]
        printer.print_json(rows if manager.project else rows[0])
    else:
        printer.make_console(data=True).print(_render_all(reports, categories=args.categories))
    return ExitCode.DONE


def _query(
    args: argparse.Namespace, manager: ManagerArguments, password: bytes | None
) -> tuple[QueueReport, ...]:
    """Ask the manager, or every manager of that name."""
    from wq_package.manager.status_client import query_project, query_status

    options = {"password": password, "tls": manager.tls, "tasks": args.tasks}
    if manager.project:
        return query_project(manager.catalogs, manager.project, **options)
    return (query_status(manager.host, manager.port, **options),)


def _read_password(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise QueueError(
            f"password file `{path}` cannot be read: {error.strerror}",
            hint="check the path and its permissions",
        ) from error


def _watch(
    args: argparse.Namespace, manager: ManagerArguments, printer: Printer, password: bytes | None
) -> ExitCode:
    from rich.live import Live

    console = printer.make_console(data=True)
    pause = max(0.1, args.watch)
    if not console.is_terminal:  # nothing can be overwritten there: one after the other
        while True:
            console.print(_render_all(_query(args, manager, password), categories=args.categories))
            time.sleep(pause)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(
                _render_all(_query(args, manager, password), categories=args.categories), refresh=True
            )
            time.sleep(pause)


def _render_all(reports: tuple[QueueReport, ...], *, categories: bool) -> Group:
    from rich.console import Group

    return Group(*(_render(report, categories=categories) for report in reports))


def _render(report: QueueReport, *, categories: bool) -> Group:
    from rich.console import Group
    from rich.text import Text

    from wq_package_cli.category_tables import make_category_report

    parts: list[Any] = [Text(_describe(report.queue))]
    if report.workers:
        parts.append(_make_workers_table(report.workers))
    if len(report.categories) > 1:
        parts.append(_make_categories_table(report.categories))
    if categories:
        parts.append(make_category_report(report.categories, _show))
    if report.tasks:
        parts.append(_make_tasks_table(report.tasks))
    return Group(*parts)


def _describe(queue: Row) -> str:
    name = _show(queue.get("project") or "(no name)").plain
    words = {
        "waiting": "tasks_waiting",
        "running": "tasks_running",
        "done": "tasks_done",
        "failed": "tasks_failed",
    }
    counts = ", ".join(f"{queue.get(key, 0)} {word}" for word, key in words.items())
    lines = [
        f"queue {name} on port {queue.get('port')}",
        f"tasks: {counts}",
        f"workers: {queue.get('workers', 0)} connected, {queue.get('workers_busy', 0)} busy",
    ]
    if queue.get("tasks_unservable"):
        lines.append(f"no connected worker is large enough for {queue['tasks_unservable']} tasks")
    if queue.get("workers_blocked"):
        lines.append(f"turned away: {', '.join(_show(host).plain for host in queue['workers_blocked'])}")
    return "\n".join(lines) + "\n"


def _show(value: object) -> Text:
    """Show what somebody else has written as it is: neither markup nor control sequences."""
    from rich.text import Text

    letters = (letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(value))
    return Text("".join(letters))


def _make_table(names: Iterable[str], numbers: Iterable[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _make_workers_table(workers: tuple[Row, ...]) -> Table:
    table = _make_table(("worker", "address"), ("tasks", "done", "cores", "memory MB", "disk MB", "gpus"))
    for worker in workers[:MOST_ROWS]:
        amounts = [
            f"{worker.get(f'{kind}_inuse', 0)}/{worker.get(f'{kind}_total', 0)}"
            for kind in ("cores", "memory", "disk", "gpus")
        ]
        counts = (str(worker.get("total_tasks_running", 0)), str(worker.get("total_tasks_complete", 0)))
        words = (worker.get("hostname"), worker.get("address_port"), *counts, *amounts)
        table.add_row(*map(_show, words))
    return table


def _make_categories_table(categories: tuple[Row, ...]) -> Table:
    table = _make_table(("category",), ("waiting", "running", "done", "failed"))
    for row in categories[:MOST_ROWS]:
        counts = [_show(row.get(f"tasks_{kind}", 0)) for kind in ("waiting", "running", "done", "failed")]
        table.add_row(_show(row.get("category")), *counts)
    return table


def _make_tasks_table(tasks: tuple[Row, ...]) -> Table:
    table = _make_table(("task", "state", "category", "host", "command"), ())
    for task in tasks[:MOST_ROWS]:
        names = ("taskid", "state", "category")
        words = (*map(task.get, names), task.get("host", ""), task.get("command"))
        table.add_row(*map(_show, words))
    return table

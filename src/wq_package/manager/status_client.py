"""Asks a manager, ours or the original one, what it is doing (shell module)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wq_package.catalog import CatalogAddress, ManagerRecord, find_managers
from wq_package.errors import ManagerUnreachableError, RemoteProtocolError, WQPackageError
from wq_package.link import TlsOptions, ask_status

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class QueueReport:
    """What a manager says about itself, with Work Queue's own keys."""

    queue: Row
    workers: tuple[Row, ...]
    categories: tuple[Row, ...]
    tasks: tuple[Row, ...] = ()


def query_status(
    host: str, port: int, *, password: bytes | None = None, tls: TlsOptions | None = None, tasks: bool = False
) -> QueueReport:
    """Ask a manager what it is doing.

    Args:
        host: where it listens.
        port: on which port.
        password: the raw bytes of its password file, if it has one.
        tls: how to check its certificate, if it speaks TLS.
        tasks: whether to ask for the single tasks too.

    Raises:
        ManagerUnreachableError: nobody answers there.
        AuthenticationError: it has another password.
        RemoteProtocolError: what answers is no manager.
    """
    return asyncio.run(_ask_all(host, port, password, tls, tasks=tasks))


def query_project(
    catalogs: Sequence[CatalogAddress],
    pattern: str,
    *,
    password: bytes | None = None,
    tls: TlsOptions | None = None,
    tasks: bool = False,
) -> tuple[QueueReport, ...]:
    """Ask every manager with such a project name; those that do not answer are left out.

    Args:
        catalogs: whom to ask where they are.
        pattern: a regular expression for the whole project name.
        password: the raw bytes of their password file, if they have one.
        tls: how to check their certificate; those that say that they speak TLS are verified without, too.
        tasks: whether to ask for the single tasks too.

    Raises:
        ManagerUnreachableError: no catalog answers, or no manager of that name.
        AuthenticationError: the only one has another password.
        QueueError: the pattern is no regular expression.
    """

    async def ask() -> tuple[QueueReport, ...]:
        found = await find_managers(catalogs, pattern)
        answers = await asyncio.gather(
            *(_ask_one(manager, password, tls, tasks=tasks) for manager in found), return_exceptions=True
        )
        reports = tuple(answer for answer in answers if isinstance(answer, QueueReport))
        for answer in answers if not reports else ():
            if isinstance(answer, BaseException):
                raise answer
        if not reports:
            raise ManagerUnreachableError(
                f"the catalog knows no manager with a project name like `{pattern}`",
                hint="the manager must run, have this name and advertise itself at this catalog",
            )
        return reports

    return asyncio.run(ask())


async def _ask_one(
    manager: ManagerRecord, password: bytes | None, tls: TlsOptions | None, *, tasks: bool
) -> QueueReport:
    """Ask a manager at the first of its addresses where it answers."""
    if tls is None and manager.uses_tls:
        tls = TlsOptions()
    problem: WQPackageError = ManagerUnreachableError(f"`{manager.project}` has no address")
    for host in manager.hosts:
        try:
            report = await _ask_all(host, manager.port, password, tls, tasks=tasks)
        except WQPackageError as error:
            problem = error
            continue
        if report.queue.get("project") == manager.project:
            return report
        problem = ManagerUnreachableError(f"another manager than `{manager.project}` is at {host}")
    raise problem


async def _ask_all(
    host: str, port: int, password: bytes | None, tls: TlsOptions | None, *, tasks: bool
) -> QueueReport:
    kinds = ["queue_status", "worker_status", "wable_status"] + ["task_status"] * tasks
    rows = [_check_rows(await ask_status(host, port, kind, password=password, tls=tls)) for kind in kinds]
    if not rows[0]:
        raise RemoteProtocolError(f"the manager at {host}:{port} answered without its status")
    return QueueReport(rows[0][0], *rows[1:])


def _check_rows(rows: list[object]) -> tuple[Row, ...]:
    checked = tuple(row for row in rows if isinstance(row, dict))
    if len(checked) != len(rows):
        raise RemoteProtocolError("the manager's answer is no list of objects")
    return checked

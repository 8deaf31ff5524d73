"""Asks a manager, ours or the original one, what it is doing (shell module)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wq_package.errors import RemoteProtocolError
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

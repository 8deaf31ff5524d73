"""What can be set about a manager (value module)."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from wq_package.catalog import CatalogAddress
from wq_package.resources import SharingRule
from wq_package.task import TaskResult


@dataclass(frozen=True, slots=True)
class ManagerOptions:
    """How a manager listens and decides.

    Attributes:
        host: address to listen on. Others than loopback are reached by whoever knows the password.
        port: 0 for any that is free.
        password: the raw bytes of the password file, or `None` to let in everybody.
        tls: with a certificate, to speak TLS only; real Work Queue workers cannot.
        name: the project name.
        catalogs: whom to tell that this manager is there; nobody if empty, or without a name.
        rule: what an incomplete declaration of resources is worth.
        look_ahead: how many times a worker's resources may be promised to short tasks that wait at the worker.
        on_result: called in the manager's loop with each result, in place of `Manager.wait`.
        keepalive_interval: seconds of silence after which a worker is asked whether it is there.
        keepalive_timeout: seconds that it may take to answer.
    """

    host: str = "127.0.0.1"
    port: int = 0
    password: bytes | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    name: str | None = None
    catalogs: tuple[CatalogAddress, ...] = ()
    rule: SharingRule = SharingRule.WHOLE_WORKER
    look_ahead: int = 16
    on_result: Callable[[TaskResult], None] | None = None
    keepalive_interval: float = 120.0
    keepalive_timeout: float = 30.0

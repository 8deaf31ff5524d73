"""What can be set about a manager (value module)."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wq_package.catalog import CatalogAddress
from wq_package.errors import QueueError
from wq_package.manager.passwords import make_password
from wq_package.resources import CategoryOptions, SharingRule
from wq_package.task import TaskResult


@dataclass(frozen=True, slots=True)
class ManagerOptions:
    """How a manager listens and decides.

    Attributes:
        host: address to listen on. Others than loopback are for those who know the password only.
        port: 0 for any that is free.
        password: the raw bytes of the password file; made up if it is left out; `None` to let in everybody.
        is_open: listen beyond loopback without a password: whoever reaches the port is given tasks with
            what they read, and may answer for them.
        tls: whether to speak TLS only, with a certificate of our own; `None` means beyond loopback. Or a context with
            another certificate. Real Work Queue workers cannot connect then.
        name: the project name.
        catalogs: whom to tell that this manager is there; nobody if empty, or without a name.
        rule: what an incomplete declaration of resources is worth.
        categories: limits and labels of single categories, by name.
        default_category: limits and labels of all others, each with statistics of its own.
        transaction_log: a file to which is added what happens, as lines of JSON; see `docs/reference-log.md`.
        look_ahead: how many times a worker's resources may be promised to short tasks that wait at the worker.
        peers: whether workers of ours fetch layers of environments from each other; `None` means beyond loopback, with a
            password.
        on_result: called in the manager's loop with each result, in place of `Manager.wait`.
        on_worker: called in the manager's loop with the name and the features of each worker that has come.
        keepalive_interval: seconds of silence after which a worker is asked whether it is there.
        keepalive_timeout: seconds that it may take to answer.
        fast_abort_multiplier: how many times the average time of its category a task may take before it is tried on
            another worker; a worker where that happens twice in a row is dropped. `None` for never.
        fast_abort_categories: the same for single categories; `None` for never.
        min_transfer_timeout: seconds that each file has to be sent or fetched; a large one has more, at 100 kB/s.
    """

    host: str = "127.0.0.1"
    port: int = 0
    password: bytes | None = field(default_factory=make_password, repr=False)
    tls: ssl.SSLContext | bool | None = None
    name: str | None = None
    catalogs: tuple[CatalogAddress, ...] = ()
    rule: SharingRule = SharingRule.WHOLE_WORKER
    categories: Mapping[str, CategoryOptions] = field(default_factory=dict)
    default_category: CategoryOptions = field(default_factory=CategoryOptions)
    transaction_log: str | Path | None = None
    look_ahead: int = 16
    on_result: Callable[[TaskResult], None] | None = None
    on_worker: Callable[[str, frozenset[str]], None] | None = None
    keepalive_interval: float = 120.0
    keepalive_timeout: float = 30.0
    is_open: bool = False
    fast_abort_multiplier: float | None = None
    fast_abort_categories: Mapping[str, float | None] = field(default_factory=dict)
    min_transfer_timeout: float = 60.0
    peers: bool | None = None

    def __post_init__(self) -> None:
        if self.password == b"":
            raise QueueError("an empty password protects nothing", hint="leave it out to have one made")
        if self.password is None and not self.is_loopback and not self.is_open:
            raise QueueError(
                f"a manager without a password must not listen on `{self.host}`, where others can reach it",
                hint="leave `password` out to have one made, listen on 127.0.0.1, or give `is_open=True`",
            )
        if self.peers and self.password is None:
            raise QueueError(
                "workers that prove no password cannot be trusted with each other's layers",
                hint="leave `password` out to have one made, or leave `peers` out",
            )
        for multiplier in (self.fast_abort_multiplier, *self.fast_abort_categories.values()):
            if multiplier is not None and multiplier < 1:
                raise QueueError(
                    f"a `fast_abort_multiplier` of {multiplier:g} would abort ordinary tasks",
                    hint="give 1 or more; 3 to 10 are usual",
                )

    @property
    def speaks_tls(self) -> bool:
        """Whether TLS is spoken."""
        return not self.is_loopback if self.tls is None else self.tls is not False

    @property
    def uses_peers(self) -> bool:
        """Whether workers are told to fetch layers from each other."""
        return (not self.is_loopback and self.password is not None) if self.peers is None else self.peers

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name, or nothing, which means every address
            return False

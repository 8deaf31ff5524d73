"""How a worker is told to behave (value module)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from wq_package.catalog import CatalogAddress
from wq_package.errors import QueueError

__all__ = ["WorkerOptions"]


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Everything that a worker can be told.

    Attributes:
        host, port: where the manager listens; empty with a project name.
        project: a regular expression for the whole project name of the managers to serve.
        catalogs: whom to ask for it, in this order.
        tls_fingerprint: hex sha256 of the manager's certificate; with it TLS is spoken.
        password: raw bytes of the password file, or `None` to offer no password.
        store: where layers and environments are kept between managers; the user's store by default.
        workdir: where this worker makes its own folder, which is gone when it ends.
        cores, memory_mb, disk_mb, gpus: what to announce instead of what is found here.
        timeout: seconds without any task after which the worker leaves.
        connect_timeout: seconds for which a manager is looked for; `None` means as `timeout`, and at most ten with
            `single_shot`.
        single_shot: leave after the first manager, instead of waiting for it to come back.
        wall_time: seconds after which the worker leaves whatever it does.
        features: user features to announce.
        user_namespace: protect environments from tasks by a user namespace where this worker is not root; programs
            that change the user (`sudo`) do not work in tasks then.
        uses_cgroups: keep tasks that have limits in cgroups of their own, where this worker may make some.
        is_enforcing: hold every task to the memory, disk and cores that it declares, whatever its manager asks for.
        store_limit_mb: what the store may take; what was least recently used goes first, but nothing that is in use.
        store_free_mb: what the store leaves free of its disk, as long as there is something to remove.
        keeps_store: keep layers and environments for the next manager and other workers; else they are in the worker's own
            folder, and gone when a manager is.
        peers: exchange layers with other workers when an authenticated manager says so.
        peer_port: where to listen for them; 0 for any port that is free.
        interpreter_idle: seconds after which a warm interpreter without calls is ended.
    """

    host: str = ""
    port: int = 0
    password: bytes | None = field(default=None, repr=False)
    store: Path | None = None
    workdir: Path | None = None
    cores: int | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    gpus: int | None = None
    timeout: float = 900.0
    connect_timeout: float | None = None
    single_shot: bool = False
    wall_time: float | None = None
    features: tuple[str, ...] = ()
    interpreter_idle: float = 300.0
    project: str = ""
    catalogs: tuple[CatalogAddress, ...] = ()
    tls_fingerprint: str = ""
    user_namespace: bool = False
    uses_cgroups: bool = True
    is_enforcing: bool = False
    store_limit_mb: int | None = None
    store_free_mb: int = 1024
    keeps_store: bool = True
    peers: bool = True
    peer_port: int = 0

    def __post_init__(self) -> None:
        if bool(self.project) == bool(self.host):
            raise QueueError(
                "a worker needs a manager", hint="give either its host and port or a project name"
            )
        if self.store is not None and not self.keeps_store:
            raise QueueError(
                "a private store lies in the worker's own folder",
                hint="give either `--store` or `--private-store`",
            )
        if self.project and not self.catalogs:
            raise QueueError("a project name needs a catalog that knows it", hint="name a catalog")

    @property
    def patience(self) -> float:
        """Seconds for which a manager is looked for."""
        if self.connect_timeout is not None:
            return self.connect_timeout
        return min(self.timeout, 10.0) if self.single_shot else self.timeout

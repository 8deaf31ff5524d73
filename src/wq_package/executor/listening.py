"""Where the manager listens, and how workers find it (logic module).

Knows the executor's parameters and a worker's command line, ours and real Work Queue's; opens nothing.
"""

from __future__ import annotations

import logging
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wq_package.catalog import CatalogAddress, find_default_catalogs, parse_catalogs
from wq_package.errors import QueueError, WQPackageError
from wq_package.manager import ManagerOptions
from wq_package.resources import CategoryOptions

__all__ = ["BLOCK", "BLOCK_FEATURE", "Listening", "default_worker_command", "is_real_worker"]

logger = logging.getLogger(__name__)

BLOCK = "{block}"
"""Stands in the worker's command for the id of its block."""
BLOCK_FEATURE = "wq-package-block-"
"""What the workers of a block announce, before its id."""
_ORPHAN_SECONDS = 60
"""How long a worker looks for a manager: a program that was killed, or forgot to clean up, leaves no workers behind."""
_LOOPBACK = "127.0.0.1"
_LOOPBACK_NAMES = frozenset({None, _LOOPBACK, "localhost"})
_EVERYWHERE = "0.0.0.0"
_REAL_WORKER = "work_queue_worker"


def default_worker_command() -> str:
    """Tell how a worker is started: by this Python, named so that no search path is needed."""
    return f"{shlex.quote(sys.executable)} -m wq_package_cli worker"


def is_real_worker(executable: str | None) -> bool:
    """Tell whether workers are real Work Queue's."""
    return _REAL_WORKER in (executable or "")


@dataclass(frozen=True, slots=True)
class Listening:
    """What the user said about it.

    Attributes:
        address: what workers connect to; `None` for this machine only, unless a catalog elsewhere is told.
        port: 0 for any that is free.
        project_name: under which catalogs know the manager.
        catalog: whom to tell, `HOST[:PORT]`, several separated by commas; `None` for what the environment names.
        tls: `None` for what is right.
        worker_executable: what starts a worker; `None` for ours.
        worker_options: what the user adds to its command.
        transaction_log: where it is written down what happens; `None` for nowhere.
    """

    address: str | None = None
    port: int = 0
    project_name: str | None = None
    catalog: str | None = None
    tls: bool | None = None
    worker_executable: str | None = None
    worker_options: str = ""
    transaction_log: str | None = None

    def find_catalogs(self, variables: Mapping[str, str]) -> tuple[CatalogAddress, ...]:
        """Find the catalogs to tell: none unless the manager has a name and a catalog is named.

        Raises:
            WQPackageError: a catalog without a project name, or an address that is none.
        """
        if self.project_name is None:
            if self.catalog is not None:
                raise WQPackageError(
                    "a `catalog` is told nothing without a `project_name`", hint="give both, or neither"
                )
            return ()
        if not self.project_name.strip() or not self.project_name.isprintable():
            raise WQPackageError(
                f"{self.project_name!r} cannot be a `project_name`", hint="use letters, digits, `-` and `_`"
            )
        try:
            found = find_default_catalogs(variables) if self.catalog is None else parse_catalogs(self.catalog)
        except QueueError as error:
            raise WQPackageError(f"the `catalog` is wrong: {error.message}", hint=error.hint) from error
        if not found:
            logger.warning(
                "the project name `%s` is told to nobody, and workers connect by address: "
                "name a catalog with `catalog` or CATALOG_HOST",
                self.project_name,
            )
        return found

    def make_options(
        self,
        password: bytes,
        catalogs: tuple[CatalogAddress, ...],
        labelling: CategoryOptions,
        on_worker: Callable[[str, frozenset[str]], None] | None = None,
    ) -> ManagerOptions:
        """Say how the manager listens, how its tasks get their labels, who is told of workers, and where it is written down."""
        interface = self._find_interface(catalogs)
        return ManagerOptions(
            host=interface,
            port=self.port,
            password=password,
            tls=self._wants_tls(interface),
            name=self.project_name,
            catalogs=catalogs,
            default_category=labelling,
            on_worker=on_worker,
            transaction_log=self.transaction_log,
        )

    def _find_interface(self, catalogs: tuple[CatalogAddress, ...]) -> str:
        if self.address not in _LOOPBACK_NAMES:
            return _EVERYWHERE
        if self.address is None and any(each.host not in _LOOPBACK_NAMES for each in catalogs):
            return _EVERYWHERE  # a catalog elsewhere is told for the sake of workers elsewhere
        return _LOOPBACK

    def _wants_tls(self, interface: str) -> bool:
        if self.tls is not None:
            return self.tls
        if interface == _LOOPBACK:
            return False
        is_foreign = is_real_worker(self.worker_executable)
        if is_foreign:
            logger.warning(
                "real Work Queue workers cannot speak TLS: what is sent to them can be read on the way"
            )
        return not is_foreign

    def make_worker_command(
        self, port: int, password_file: str, fingerprint: str, catalogs: tuple[CatalogAddress, ...]
    ) -> str:
        """Compose the shell command that starts a worker; `BLOCK` in it stands for the id of its block."""
        words = [
            self.worker_executable or default_worker_command(),
            f"--connect-timeout {_ORPHAN_SECONDS}",
            self.worker_options,
            "--feature",
            BLOCK_FEATURE + BLOCK,
            "-P",
            shlex.quote(password_file),
        ]
        if fingerprint:
            words += ["--tls-fingerprint", fingerprint]
        if catalogs and self.project_name is not None:
            words += ["-M", shlex.quote(_escape(self.project_name))]
            words += ["-C", shlex.quote(",".join(map(str, catalogs)))]
        else:
            words += [shlex.quote(self.address or _LOOPBACK), str(port)]
        return " ".join(word for word in words if word)


def _escape(name: str) -> str:
    """Write a name as the regular expression that workers take it for."""
    return re.sub(r"([][.^$*+?(){}|\\])", r"\\\1", name)

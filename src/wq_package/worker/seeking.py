"""Finds the manager to serve (shell module).

Knows where managers may be: at an address, or under a project name that catalogs know. Knows nothing of how often to try.
"""

from __future__ import annotations

import random

from wq_package.catalog import ManagerRecord, find_managers
from wq_package.errors import AuthenticationError, ManagerUnreachableError
from wq_package.link import Link, TlsOptions, connect
from wq_package.worker.options import WorkerOptions

__all__ = ["seek_manager"]

_HOST_SECONDS = 5.0
"""A manager tells all of its addresses; most cannot be reached from elsewhere."""


async def seek_manager(options: WorkerOptions, seconds: float) -> tuple[Link, int | None]:
    """Try once to connect to a manager, and tell its protocol number if a catalog knows it.

    Args:
        options: where it is, and how to prove ourselves.
        seconds: for each address.

    Raises:
        ManagerUnreachableError: none is there now.
        AuthenticationError: what is there has another password or certificate.
        QueueError: the project name is no regular expression.
    """
    tls = TlsOptions(fingerprint=options.tls_fingerprint) if options.tls_fingerprint else None
    if not options.project:
        link = await connect(options.host, options.port, password=options.password, tls=tls, timeout=seconds)
        return link, None
    found = list(await find_managers(options.catalogs, options.project))
    random.shuffle(found)  # so that many workers spread over many managers
    refusal: AuthenticationError | None = None
    for manager in found:
        try:
            found_link = await _connect_to(manager, options, tls, min(seconds, _HOST_SECONDS))
        except AuthenticationError as error:
            refusal = error
        else:
            if found_link is not None:
                return found_link, manager.protocol
    if refusal is not None:
        raise refusal
    problem = "does not answer" if found else "is not known to the catalog"
    raise ManagerUnreachableError(
        f"a manager with a project name like `{options.project}` {problem}",
        hint="check the name with `wq-package status -M NAME`; the manager must run and advertise itself",
    )


async def _connect_to(
    manager: ManagerRecord, options: WorkerOptions, tls: TlsOptions | None, seconds: float
) -> Link | None:
    """Connect to the first of a manager's addresses that answers, if any does."""
    if tls is None and manager.uses_tls:
        tls = TlsOptions()
    for host in manager.hosts:
        try:
            return await connect(host, manager.port, password=options.password, tls=tls, timeout=seconds)
        except ManagerUnreachableError:
            continue
    return None

"""Asks catalogs which managers there are (shell module). Knows HTTP, nothing of what is done with the answer."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence

from wq_package.catalog.address import CatalogAddress
from wq_package.catalog.records import ManagerRecord, select_managers
from wq_package.errors import ManagerUnreachableError
from wq_package.protocol.conversation import VERSIONS
from wq_package.protocol.status_text import parse_status

TIMEOUT = 15.0
MAX_ANSWER = 64 * 2**20
_EXPRESSION = 'type=="wq_manager" or type=="wq_master"'


async def find_managers(
    catalogs: Sequence[CatalogAddress], pattern: str, *, versions: Sequence[int] = VERSIONS
) -> tuple[ManagerRecord, ...]:
    """Find the managers whose project name matches, in the first catalog that answers.

    Args:
        catalogs: whom to ask, in this order.
        pattern: a regular expression for the whole project name.
        versions: protocol numbers that we can speak with them.

    Raises:
        ManagerUnreachableError: no catalog answers.
        QueueError: the pattern is no regular expression.
    """
    select_managers([], pattern, versions)
    problems = []
    for catalog in catalogs:
        try:
            records = await asyncio.to_thread(query_catalog, catalog, _EXPRESSION)
        except (OSError, ValueError) as error:
            problems.append(f"{catalog} ({_explain(error)})")
        else:
            return select_managers(records, pattern, versions)
    raise ManagerUnreachableError(
        f"no catalog answers: {', '.join(problems) or 'none was named'}",
        hint="name a catalog with `CATALOG_HOST` and `CATALOG_PORT`, or give the manager's host and port",
    )


def _explain(error: OSError | ValueError) -> str:
    """Say what is behind an error of requests, whose own words quote its objects."""
    import requests

    if isinstance(error, requests.Timeout):
        return "it does not answer in time"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error)


def query_catalog(catalog: CatalogAddress, expression: str) -> list[object]:
    """Ask one catalog for the records that an expression selects.

    Raises:
        OSError: it cannot be reached (the errors of requests are such).
        ValueError: its answer is none.
    """
    # Imported late: it takes longer than everything else that a worker with a known manager needs.
    import requests

    path = base64.b64encode(expression.encode()).decode()
    url = f"http://{catalog}/query/{path}"
    with requests.get(url, timeout=TIMEOUT, stream=True, allow_redirects=False) as response:
        response.raise_for_status()
        body = b""
        for piece in response.iter_content(2**20):
            body += piece
            if len(body) > MAX_ANSWER:
                raise ValueError("its answer is too long")
    records = parse_status(body.decode("utf-8", "replace"))
    if not isinstance(records, list):
        raise ValueError("its answer is no list")
    return records

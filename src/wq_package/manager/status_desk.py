"""Answers status tools and catalogs for a manager that runs (shell module).

Knows when the manager started and where it listens; what an answer looks like is the matter of `status`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from wq_package.manager.options import ManagerOptions
from wq_package.manager.state import ManagerState, Statistics
from wq_package.manager.status import QueueFacts, render_status
from wq_package.protocol import messages as m


class StatusDesk:
    """Answers one query after the other. `port` is to be set when it is known."""

    def __init__(self, options: ManagerOptions, state: ManagerState, count: Callable[[], Statistics]) -> None:
        self.port = 0
        self._options = options
        self._state = state
        self._count = count
        self._started = time.time()

    def answer(self, query: m.StatusQuery) -> m.StatusAnswer:
        """Answer one query."""
        if query.is_http and query.kind == "":
            return m.StatusAnswer(_INDEX, is_http=True, content_type="text/html")
        body: Any = render_status(query.kind, self._state, self._collect_facts())
        return m.StatusAnswer(json.dumps(body), is_http=query.is_http)

    def make_record(self) -> dict[str, object]:
        """Make what a catalog is told: the status without the categories, which may be many."""
        (record,) = render_status("queue_status", self._state, self._collect_facts())
        return {**record, "categories": []}

    def _collect_facts(self) -> QueueFacts:
        return QueueFacts(
            project=self._options.name or "",
            port=self.port,
            started=self._started,
            now=time.time(),
            host=self._options.host,
            is_tls=self._options.speaks_tls,
            statistics=self._count(),
        )


_INDEX = """<h1>wq-package manager</h1>
<ul><li><a href="/queue_status">queue</a></li><li><a href="/task_status">tasks</a></li>
<li><a href="/worker_status">workers</a></li><li><a href="/wable_status">categories</a></li>
<li><a href="/resources_status">resources</a></li></ul>
"""

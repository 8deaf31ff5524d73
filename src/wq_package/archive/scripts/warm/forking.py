"""How a Python process forks at little cost (shell module; Python 3.8 or newer).

Knows what modules register for forks; knows nothing of calls.
"""

from __future__ import annotations

import _thread
import os
from typing import Any


class ForkHooks:
    """What modules want done when the process forks; in a fork of Python, that is most of what costs.

    Those of `threading` and `logging` only repair locks that another thread may have held: with one thread they are
    spared. A child gives all of them to the system again, for forks of its own.
    """

    def __init__(self) -> None:
        self._register: Any = os.register_at_fork
        self._all: list[dict[str, Any]] = []
        self._others: list[dict[str, Any]] = []

    def collect(self) -> None:
        """Keep what modules register from now on."""
        os.register_at_fork = self._keep

    def _keep(self, **hooks: Any) -> None:
        self._all.append(hooks)
        if any(getattr(hook, "__module__", None) not in ("threading", "logging") for hook in hooks.values()):
            self._others.append(hooks)

    def fork(self) -> int:
        """Fork, as `os.fork` does; 0 in the child."""
        hooks = self._all if _thread._count() else self._others
        pid = _fork_with(hooks) if hooks else os.fork()
        if pid == 0:
            os.register_at_fork = register = self._register
            for each in self._all:
                register(**each)
        return pid


def _fork_with(hooks: list[dict[str, Any]]) -> int:
    for each in reversed(hooks):
        if each.get("before"):
            each["before"]()
    pid = -1
    try:
        pid = os.fork()
    finally:
        which = "after_in_child" if pid == 0 else "after_in_parent"
        for each in hooks:
            if each.get(which):
                each[which]()
    return pid

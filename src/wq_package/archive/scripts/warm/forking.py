"""How a Python process forks at little cost (shell module; Python 3.8 or newer).

Knows what modules register for forks; knows nothing of calls.
"""

from __future__ import annotations

import _thread
import os
import sys
import traceback
from typing import Any

from .system import find_bare_fork

_REGISTERING = ("random", "concurrent.futures.thread")
"""Modules of Python's own that register something; `threading` and `logging` are spared anyway."""


class ForkHooks:
    """What modules want done when the process forks.

    Most of what a fork of Python costs is what Python does after it: locks, signals and threads of the interpreter are
    made anew, and `threading` and `logging` repair their own, and every page that this touches is copied. With one thread
    nobody else can have held a lock, and C's own fork leaves all as it should be. What other modules registered is done.
    """

    def __init__(self) -> None:
        self._register: Any = os.register_at_fork
        self._others: list[dict[str, Any]] = []
        self._bare_fork = find_bare_fork()

    def collect(self) -> None:
        """Note what modules register from now on; what others have registered before, only Python knows."""
        if any(map(_may_have_registered, list(sys.modules.values()))):
            self._bare_fork = None
        os.register_at_fork = self._note

    def _note(self, **hooks: Any) -> None:
        self._register(**hooks)
        if any(getattr(hook, "__module__", None) not in ("threading", "logging") for hook in hooks.values()):
            self._others.append(hooks)

    def fork(self) -> int:
        """Fork, as `os.fork` does; 0 in the child."""
        if self._bare_fork is None or _thread._count():
            return os.fork()
        hooks = self._others
        return _fork_with(hooks, self._bare_fork) if hooks else _fork(self._bare_fork)


def _may_have_registered(module: Any) -> bool:
    """Whether a module that was imported while Python started may want something done at forks."""
    place = getattr(module, "__file__", None) or ""
    return "site-packages" in place or getattr(module, "__name__", "") in _REGISTERING


def _fork(bare_fork: Any) -> int:
    pid: int = bare_fork()
    return pid if pid >= 0 else os.fork()  # which says what is wrong


def _fork_with(hooks: list[dict[str, Any]], bare_fork: Any) -> int:
    for each in reversed(hooks):
        _run(each, "before")
    pid: int = bare_fork()
    which = "after_in_child" if pid == 0 else "after_in_parent"
    for each in hooks:
        _run(each, which)
    return pid if pid >= 0 else os.fork()


def _run(hooks: dict[str, Any], moment: str) -> None:
    hook = hooks.get(moment)
    if hook is not None:
        try:
            hook()
        except BaseException:  # noqa: BLE001 - as in Python's own forks, which only print it
            traceback.print_exc()

"""Our process and its children, as the system knows them (shell module; Python 3.8 or newer).

Knows `/proc`, process groups and the C library; knows nothing of calls.
"""

from __future__ import annotations

import os
import sys
from typing import Any

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

_prctl: Any = None
_fork: Any = None


def load_libc() -> None:
    """Load what we need of the C library, with C's own standard output unbuffered, where that can be done."""
    global _prctl, _fork
    try:
        import ctypes

        libc = ctypes.PyDLL(None)  # it keeps the lock of Python: nothing here waits
        for name in ("stdout", "stderr"):
            libc.setvbuf(ctypes.c_void_p.in_dll(libc, name), None, 2, 0)  # 2 is _IONBF
        prctl, fork = libc.prctl, libc.fork
    except Exception:  # noqa: BLE001 - only tidiness and speed are lost
        return
    _prctl, _fork = prctl, fork


def find_bare_fork() -> Any:
    """Find C's own `fork`, without what Python does about it; `None` where Python needs that."""
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    return _fork if has_lock else None


def adopt_orphans() -> None:
    """Have children of our children handed to us when their parents are gone."""
    if _prctl is not None:
        _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> bool:
    """Be killed when our parent is gone; tell whether that can be had."""
    return _prctl is not None and _prctl(PR_SET_PDEATHSIG, 9) == 0


def kill_group(pid: int) -> None:
    """Kill a process group, if there is one."""
    try:
        os.killpg(pid, 9)
    except OSError:
        return


def list_children() -> list[int]:
    """List our child processes, as far as the system tells."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def find_birth(pid: int) -> float:
    """Tell when a process began at the latest, in seconds since the machine did; later than ever if that is not known."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return float("inf")
    return (int(fields[19]) + 1) / os.sysconf("SC_CLK_TCK")  # the system tells the tick only

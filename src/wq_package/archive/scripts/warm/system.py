"""Our process and its children, as the system knows them (shell module; Python 3.8 or newer).

Knows `/proc`, process groups and the C library; knows nothing of calls.
"""

from __future__ import annotations

import os
from typing import Any

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

_libc: Any = None


def load_libc() -> None:
    """Load the C library, with C's own standard output unbuffered, where that can be done."""
    global _libc  # noqa: PLW0603 - loaded once, before any fork
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        for name in ("stdout", "stderr"):
            libc.setvbuf(ctypes.c_void_p.in_dll(libc, name), None, 2, 0)  # 2 is _IONBF
    except Exception:  # noqa: BLE001 - only tidiness is lost
        return
    _libc = libc


def adopt_orphans() -> None:
    """Have children of our children handed to us when their parents are gone."""
    if _libc is not None:
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Be killed when our parent is gone."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, 9)


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
    """Tell when a process began, in seconds since the machine did; later than ever if that is not known."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return float("inf")
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")

"""Child processes: which there are, and signals to them (shell module; standard library only).

Knows `/proc` and the system calls; knows nothing of programs, decides nothing.
"""

from __future__ import annotations

import contextlib
import os

PR_SET_CHILD_SUBREAPER = 36
_PIECE = 1 << 16


def signal_group(pid: int, sign: int) -> None:
    """Send a signal to a process group, if it is there."""
    with contextlib.suppress(OSError):
        os.killpg(pid, sign)


def send_signal(pid: int, sign: int) -> None:
    """Send a signal to a process, if it is there."""
    with contextlib.suppress(OSError):
        os.kill(pid, sign)


class ChildList:
    """Our child processes, as far as the system tells."""

    def __init__(self) -> None:
        self._file = -1
        with contextlib.suppress(OSError):
            self._file = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> list[int]:
        """List them as they are now."""
        text = b""
        with contextlib.suppress(OSError):
            while piece := os.pread(self._file, _PIECE, len(text)):  # whole numbers, as many as fit a page
                text += piece
        return [int(word) for word in text.split()]


def read_environ(pid: int) -> bytes:
    """Read the variables that a process was started with, each between two NULs; nothing if that is not to be had."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return b"\0" + file.read() + b"\0"
    except OSError:
        return b""


def is_group_there(group: int) -> bool:
    """Tell whether a process group has any process left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is there, and somebody else's by now
        return True
    return True


def find_own_peak() -> int:
    """Find our own high-water mark in KiB: a process that we start begins with it, because it shares our memory."""
    try:
        with open("/proc/self/status", "rb") as file:
            status = file.read()
        return int(status[status.index(b"VmHWM:") + 6 :].split(None, 1)[0])
    except (OSError, ValueError):
        return 0


def forget_own_peak() -> None:
    """Begin our high-water mark anew, after something large."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def adopt_orphans() -> None:
    """Be handed every process below us whose parent ends."""
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except Exception:  # noqa: BLE001 - only tidiness is lost
        return

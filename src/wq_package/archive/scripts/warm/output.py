"""What a process prints, kept in a file without a name (shell module; Python 3.8 or newer).

Knows file descriptors 1 and 2 and Python's streams on them; knows nothing of calls.
"""

from __future__ import annotations

import os
import sys


def redirect_output(folder: str) -> None:
    """Send file descriptors 1 and 2 to a fresh file without a name."""
    flags = os.O_RDWR | os.O_APPEND
    try:
        output = os.open(folder, flags | os.O_TMPFILE, 0o600)
    except OSError:  # not every file system can
        place = f"{folder}/output.{os.getpid()}"
        output = os.open(place, flags | os.O_CREAT | os.O_EXCL, 0o600)
        os.unlink(place)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def flush_output() -> int:
    """Have all that was printed in the file; return how much there is."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001 - a call may have closed or replaced it
            restore_streams()
    return os.lseek(1, 0, os.SEEK_END)


def restore_streams() -> None:
    """Give Python new streams on file descriptors 1 and 2."""
    sys.stdout = open(1, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115 - stays open
    sys.stderr = open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115 - stays open


def take_output(size: int) -> bytes:
    """Read so much of what was printed, and forget it."""
    output = os.pread(1, size, 0)
    os.ftruncate(1, 0)
    return output

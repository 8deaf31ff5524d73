"""Whether an environment can run on this machine (shell module).

Asks the system for its architecture and C library and compares them with an archive's index. Decides before anything of the
environment is started, because the loader's own words for it help nobody.
"""

from __future__ import annotations

import os

from wq_package.archive.layer import ArchiveIndex
from wq_package.errors import IncompatibleEnvironmentError


def check_platform(index: ArchiveIndex) -> None:
    """Raise `IncompatibleEnvironmentError` unless the environment can run here."""
    check_machine(index, os.uname().machine, find_glibc())


def check_machine(index: ArchiveIndex, machine: str, glibc: tuple[int, int] | None) -> None:
    """Raise `IncompatibleEnvironmentError` unless the environment can run on such a machine.

    Args:
        index: of the environment's archive.
        machine: architecture of the machine.
        glibc: version of its GNU C library, or `None` if it has another one.
    """
    if index.machine and index.machine != machine:
        raise IncompatibleEnvironmentError(
            f"the environment is for {index.machine}, and this machine is {machine}",
            hint="build the archive on a machine of the same architecture",
        )
    if index.glibc is None or (glibc is not None and glibc >= index.glibc):
        return
    found = f"glibc {glibc[0]}.{glibc[1]}" if glibc else "no glibc"
    raise IncompatibleEnvironmentError(
        f"the environment needs glibc {index.glibc[0]}.{index.glibc[1]} or newer, and this machine has {found}",
        hint="build the archive on an older system, or choose newer workers",
    )


def find_glibc() -> tuple[int, int] | None:
    """Find the version of this machine's GNU C library, or `None` if it has another one."""
    try:
        words = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        major, minor = words[1].split(".")[:2]
        return int(major), int(minor)
    except (ValueError, OSError, IndexError):
        return None

"""What the compiled files of a layer need of a machine (shell module: reads files).

Knows how to look into a file without having all of it in memory. What stands in it is known by `wq_package.build.elf`.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from pathlib import Path

from wq_package.build.elf import ElfFacts, is_elf, read_elf

__all__ = ["find_needs", "read_elf_file"]

_HEAD = 65


def read_elf_file(path: Path) -> ElfFacts | None:
    """Read what a file says about itself; `None` if it is not compiled code.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if not is_elf(file.read(_HEAD)):
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return read_elf(data)


def find_needs(facts: Iterable[ElfFacts | None]) -> tuple[str, tuple[int, int] | None]:
    """Tell which architecture some files are for, and the oldest C library that serves all of them.

    Args:
        facts: of each file; `None` for those that are not compiled code.
    """
    known = [each for each in facts if each is not None]
    machines = [each.machine for each in known]
    machine = max(sorted(set(machines)), key=machines.count) if machines else ""
    return machine, max((each.glibc for each in known if each.glibc), default=None)

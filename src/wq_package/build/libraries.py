"""Find the shared libraries that a tree needs from its host, and which the host must keep (shell module).

Knows the loader's cache and search rules. Knows nothing of Python, of patching or of layers.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wq_package.build.elf import read_elf
from wq_package.programs import run_program

__all__ = ["LibraryFinder", "is_host_library", "load_loader_cache", "parse_loader_cache"]

# What the C library of the host brings: bundling any of it would mix two C libraries in one process.
_HOST = re.compile(
    r"(linux-vdso\.so\.\d+|ld(64)?(-linux.*|-musl.*)?\.so\.\d+|libnsl\.so\.1"
    r"|lib(c|m|dl|pthread|rt|util|resolv|anl|mvec|BrokenLocale|thread_db|nss_.+)\.so\.\d+)"
)
_LINE = re.compile(r"^\s+(?P<name>\S+) \((?P<kind>[^)]*)\) => (?P<path>/.+)$", re.MULTILINE)
_FOLDERS = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib")


def is_host_library(soname: str) -> bool:
    """Tell whether a library belongs to the host's C library."""
    return _HOST.fullmatch(soname) is not None


def parse_loader_cache(text: str) -> dict[str, tuple[str, ...]]:
    """Read what `ldconfig -p` prints: the paths of each soname, best first."""
    found: dict[str, list[str]] = {}
    for match in _LINE.finditer(text):
        found.setdefault(match["name"], []).append(match["path"])
    return {name: tuple(paths) for name, paths in found.items()}


def load_loader_cache() -> dict[str, tuple[str, ...]]:
    """Ask the loader's cache; empty where there is no `ldconfig`."""
    program = shutil.which("ldconfig") or shutil.which("ldconfig", path="/sbin:/usr/sbin")
    if program is None:
        return {}
    asked = run_program((program, "-p"), environ={"LC_ALL": "C"})
    return parse_loader_cache(asked.stdout)


@dataclass(frozen=True, slots=True)
class LibraryFinder:
    """Finds libraries as the loader of this machine would.

    Attributes:
        machine: architecture that a library must have.
        cache: the loader's cache.
    """

    machine: str
    cache: Mapping[str, tuple[str, ...]]

    def find(self, soname: str, folders: Iterable[str] = ()) -> Path | None:
        """Find a library by soname: first in `folders`, then where the loader looks."""
        multiarch = f"/usr/lib/{self.machine}-linux-gnu"
        candidates = [f"{folder}/{soname}" for folder in folders]
        candidates += self.cache.get(soname, ())
        candidates += [f"{folder}/{soname}" for folder in (*_FOLDERS, multiarch)]
        return next((Path(path) for path in candidates if self._fits(Path(path))), None)

    def _fits(self, path: Path) -> bool:
        try:
            facts = read_elf(path.read_bytes())
        except OSError:
            return False
        return facts is not None and facts.machine == self.machine

"""What a build is asked for and what comes of it (value module)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from wq_package.archive.layer import ArchiveIndex, Compression
from wq_package.build.indexes import Indexes
from wq_package.errors import BuildError

__all__ = ["BuildOptions", "BuiltEnvironment", "Reporter", "SilentReporter", "find_compression"]

_SUFFIXES = {
    ".tar.gz": Compression.GZIP,
    ".tgz": Compression.GZIP,
    ".tar.zst": Compression.ZSTD,
    ".tzst": Compression.ZSTD,
}


def find_compression(output: Path) -> Compression:
    """Tell from an archive's name how it is to be compressed.

    Raises:
        BuildError: the name has none of the known endings.
    """
    for suffix, compression in _SUFFIXES.items():
        if output.name.endswith(suffix) and output.name != suffix:
            return compression
    hint = "end the name in `.tar.gz`, which every tar reads, or `.tar.zst`, which is smaller and faster"
    raise BuildError(f"`{output}` does not say how to compress the archive", hint=hint)


class Reporter(Protocol):
    """Is told how a build goes on; one thing at a time, from any thread."""

    def start(self, what: str, total: int | None) -> None:
        """Begin something that has `total` steps, or an unknown number."""

    def advance(self, steps: int) -> None:
        """Some steps are done."""

    def done(self) -> None:
        """It is finished."""


class SilentReporter:
    """Tells nobody."""

    def start(self, what: str, total: int | None) -> None:
        """Begin something."""

    def advance(self, steps: int) -> None:
        """Some steps are done."""

    def done(self) -> None:
        """It is finished."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build an environment.

    Attributes:
        compression: of the archive; `None` for what its name says, or zstd if it says nothing.
        cache: where layers are kept; `None` for `default_cache_root()`.
        fresh: take every wheel from the index, whatever is installed or cached.
        bytecode: whether modules are compiled at once. Without it the archive is smaller and the first import slower.
        python: version of Python, or a constraint, instead of the spec's; empty for the spec's.
        platform: the machines that it is for, such as `manylinux_2_28_aarch64`; empty for machines like this one.
        interpreter: a Python program to copy; `None` to find one that fits the spec.
        offline: never ask an index.
        allow_pypi: take conda packages from the Python package index where their channel cannot be reached.
        lock: text of a lock that the environment must be equal to; nothing is resolved then.
        indexes: where distributions are looked for, beside what uv and pip are set up for.
        keep_edits: take installed distributions as they are, edited or not, instead of as they were released.
        prefix: an existing environment to take conda packages from, instead of the one that runs this program.
        site_folders: where to find installed distributions, instead of where the running Python finds them. The spec is
            then taken as complete: nothing is resolved.
    """

    compression: Compression | None = None
    cache: Path | None = None
    fresh: bool = False
    bytecode: bool = True
    python: str = ""
    platform: str = ""
    interpreter: str | None = None
    offline: bool = False
    allow_pypi: bool = False
    lock: str = ""
    indexes: Indexes = field(default_factory=Indexes)
    keep_edits: bool = False
    prefix: str = ""
    site_folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuiltEnvironment:
    """An environment archive that has just been written.

    Attributes:
        digest: of the environment: of its ordered layers.
        layers_built: how many layers had to be made.
        layers_reused: how many were there already.
        seconds: how long it took.
    """

    path: Path
    digest: str
    index: ArchiveIndex
    layers_built: int
    layers_reused: int
    seconds: float

"""Which environment the user means by a name or a path (shell module).

Knows where conda keeps environments and what a path may be; builds nothing and reads no archive but their digests.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wq_package.archive.reader import ArchiveReader
from wq_package.errors import ArchiveError, SpecError

__all__ = ["Given", "GivenKind", "find_given"]

_ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar")
_SPEC_SUFFIXES = (".yml", ".yaml", ".json", ".toml", ".txt", ".in", ".py", ".pyw", ".lock")
_DIGEST = re.compile(r"[0-9a-f]{8,64}")
_INSTALLERS = ("miniforge3", "mambaforge", "miniconda3", "anaconda3", "micromamba", ".conda")
_LOCK_MARK = '"lock-version"'
_LOCK_HEAD = 1 << 20


class GivenKind(enum.Enum):
    """What a user may give as an environment."""

    ARCHIVE = "archive"
    SPEC = "spec"
    LOCK = "lock"
    PREFIX = "prefix"


@dataclass(frozen=True, slots=True)
class Given:
    """What the user gave, found."""

    kind: GivenKind
    path: Path


def find_given(given: str, archives: Path, variables: Mapping[str, str]) -> Given:
    """Find what the user means.

    Args:
        given: a path of an archive, a spec, a lock or an environment's folder; or the name of a conda environment; or
            the digest of an environment that was built before, or its first eight or more characters.
        archives: the folder with those that were built before.
        variables: of this process; they tell where conda is.

    Raises:
        SpecError: it is nothing of the kind.
    """
    path = Path(given).expanduser().resolve()
    if path.is_dir():
        return Given(GivenKind.PREFIX, path)
    if path.name.endswith(_ARCHIVE_SUFFIXES):
        return Given(GivenKind.ARCHIVE, path)
    if path.exists() or "/" in given or path.suffix in _SPEC_SUFFIXES:
        return Given(GivenKind.LOCK if _is_lock(path) else GivenKind.SPEC, path)
    for folder in _iter_conda(given, variables):
        if (folder / "conda-meta").is_dir():
            return Given(GivenKind.PREFIX, folder)
    return Given(GivenKind.ARCHIVE, _find_built(given, archives))


def _is_lock(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_LOCK_HEAD).lstrip()
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 200))
            tail = file.read()
    except OSError:
        return False  # whoever reads it as a spec says why it cannot
    return head.startswith(b"{") and any(_LOCK_MARK.encode() in part for part in (head, tail))


def _iter_conda(name: str, variables: Mapping[str, str]) -> Iterator[Path]:
    """Yield where conda may keep an environment of this name."""
    for variable in ("CONDA_ENVS_PATH", "CONDA_ENVS_DIRS"):
        for folder in filter(None, variables.get(variable, "").split(":")):
            yield Path(folder) / name
    if active := variables.get("CONDA_PREFIX"):
        yield Path(active) / "envs" / name
        yield Path(active).parent / name
    if root := variables.get("MAMBA_ROOT_PREFIX"):
        yield Path(root) / "envs" / name
    if program := variables.get("CONDA_EXE"):
        yield Path(program).parent.parent / "envs" / name
    home = Path(variables.get("HOME") or "/")
    for installer in _INSTALLERS:
        yield home / installer / "envs" / name
    try:
        noted = (home / ".conda" / "environments.txt").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        noted = []
    yield from (Path(line) for line in noted if Path(line).name == name)


def _find_built(digest: str, archives: Path) -> Path:
    if not _DIGEST.fullmatch(digest):
        raise SpecError(
            f"there is no environment `{digest}`: neither a file nor a folder nor a conda environment has that name",
            hint="give an archive, a spec file, a lock, an environment's folder, or the name of a conda environment",
        )
    found = {name: path for path in sorted(archives.glob("*.tar.*")) if (name := _read_digest(path))}
    matching = [path for name, path in found.items() if name.startswith(digest)]
    if len(matching) != 1:
        count = f"{len(matching)} environments" if matching else "no environment"
        hint = "give more of it" if matching else "Parsl's log names the environment of each app"
        raise SpecError(f"`{digest}` begins the digest of {count} that was built here", hint=hint)
    return matching[0]


def _read_digest(path: Path) -> str:
    try:
        with ArchiveReader(path) as reader:
            return reader.index.environment
    except (ArchiveError, OSError):
        return ""

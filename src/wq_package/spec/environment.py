"""The environment spec and the requirements it is made of (value module).

Knows how a requirement is written as text. Knows nothing of files, of imports or of what is installed.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

__all__ = [
    "CondaRequirement",
    "DataForm",
    "DataSource",
    "EnvironmentSpec",
    "LocalSource",
    "WheelRequirement",
    "canonicalize_name",
]

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SEPARATORS = re.compile(r"[-_.]+")
_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_PIN = re.compile(
    r"^\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\])?\s*\(?\s*={2,3}\s*([^\s;,*)]+)\s*\)?\s*(?:;.*)?$"
)


def canonicalize_name(name: str) -> str:
    """Write a distribution's name as the index does (PEP 503): `Foo.Bar_baz` is `foo-bar-baz`."""
    return _SEPARATORS.sub("-", name).lower()


@dataclass(frozen=True, slots=True, order=True)
class CondaRequirement:
    """One conda package.

    Attributes:
        version: an exact version, or a constraint that starts with an operator or has a wildcard; empty for any.
        build: an exact build string; empty for any.
    """

    name: str
    version: str = ""
    build: str = ""
    channel: str = ""

    @property
    def text(self) -> str:
        """The requirement as conda writes it: `channel::name=version=build`."""
        prefix = f"{self.channel}::" if self.channel else ""
        if self.version[:1] in ("<", ">", "=", "!", "~"):
            return f"{prefix}{self.name}{self.version}" + (f"={self.build}" if self.build else "")
        version = self.version or ("*" if self.build else "")
        return prefix + "=".join(part for part in (self.name, version, self.build) if part)


@dataclass(frozen=True, slots=True, order=True)
class WheelRequirement:
    """One distribution of the Python package index, as a PEP 508 requirement."""

    text: str

    @property
    def name(self) -> str:
        """The distribution's name as written."""
        found = _NAME.match(self.text)
        return found.group(1) if found else self.text

    @property
    def canonical_name(self) -> str:
        """The distribution's name as the index writes it."""
        return canonicalize_name(self.name)

    @property
    def version(self) -> str | None:
        """The exact version if the requirement pins one with `==`, else `None`."""
        found = _PIN.match(self.text)
        return found.group(1) if found else None


@dataclass(frozen=True, slots=True, order=True)
class LocalSource:
    """The user's own code: it travels as source and can be imported in the environment.

    Attributes:
        import_name: the name it is imported by, top level or dotted: `helpers`, `mypkg`, `pkg.sub`.
        path: its file or folder; absolute once loaded.
        digest: hex sha256 over the names and contents of its files.
    """

    import_name: str
    path: str
    digest: str


class DataForm(enum.Enum):
    """What data are when they arrive."""

    GIT = "git"
    FILE = "file"
    TAR = "tar"

    def __lt__(self, other: DataForm) -> bool:
        """Sort by name, so that sources can be sorted."""
        return self.value < other.value


@dataclass(frozen=True, slots=True, order=True)
class DataSource:
    """Data that travel with an environment; a variable holds the path of their folder or file there.

    Attributes:
        variable: set when the environment is activated.
        url: of a repository, a file or a tar file.
        reference: a commit, tag or branch of a repository; empty for its default branch.
        sha256: hex digest of the file as it is downloaded, or empty if it is not known.
        is_compressed: whether it has to be decompressed with gzip.
    """

    variable: str
    form: DataForm
    url: str
    reference: str = ""
    sha256: str = ""
    is_compressed: bool = False

    @property
    def is_pinned(self) -> bool:
        """Whether it says exactly what will arrive: by a whole commit, or a digest."""
        if self.form is DataForm.GIT:
            return _COMMIT.fullmatch(self.reference) is not None
        return bool(self.sha256)


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """What is to be in an environment.

    Attributes:
        python: the interpreter's version, `3.11.7`, or a constraint.
        channels: names, URLs and paths; once loaded, no path is relative.
        conda: conda packages, without `pip`, and with `python` only if its build or channel is named.
        wheels: distributions of the Python package index.
        local: the user's own code.
        data: repositories and files that are fetched when the environment is built.
        variables: names and values of environment variables, set when it is activated.
    """

    name: str | None = None
    python: str | None = None
    channels: tuple[str, ...] = ()
    conda: tuple[CondaRequirement, ...] = ()
    wheels: tuple[WheelRequirement, ...] = ()
    local: tuple[LocalSource, ...] = ()
    data: tuple[DataSource, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()

"""What an analysis says: imports, apps, distributions, problems, and the spec that follows (value module).

Knows nothing of how any of it is found.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from wq_package.spec.environment import CondaRequirement, EnvironmentSpec, LocalSource

__all__ = [
    "Analysis",
    "AnalyzeOptions",
    "App",
    "AppKind",
    "Distribution",
    "ImportKind",
    "ImportUse",
    "Location",
    "Origin",
    "Problem",
    "Resolver",
    "Severity",
    "Suggestion",
]


@dataclass(frozen=True, slots=True)
class AnalyzeOptions:
    """How to analyse.

    Attributes:
        app: analyse this app only.
        include_optional: take optional imports that are installed here.
        mapping: pairs of import name and distribution that go before everything else.
        python: analyse for this version of Python, `X.Y` or `X.Y.Z`; the running one if `None`.
        keep_going: return what could be resolved instead of raising.
        extra: requirements to add, with what they require.
        search_path: folders of the installed environment; the running interpreter's if `None`.
        include_self: the analysed file itself is imported on the worker, so it travels as local source too.
        name: the name of the spec.
    """

    app: str | None = None
    include_optional: bool = True
    mapping: tuple[tuple[str, str], ...] = ()
    python: str | None = None
    keep_going: bool = False
    extra: tuple[str, ...] = ()
    search_path: tuple[str, ...] | None = None
    include_self: bool = False
    name: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a source; `line` is 1-based and 0 if unknown, `column` is 0-based."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


class ImportKind(enum.Enum):
    """When an import takes place."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    """The program goes on without it."""
    TYPE_ONLY = "type-only"
    """Only a type checker sees it."""
    OTHER_PLATFORM = "other-platform"
    """Only on another platform or version of Python than the target."""
    NEVER = "never"
    """Behind a condition that is always false."""


class Origin(enum.Enum):
    """Whose code an import brings in."""

    STANDARD_LIBRARY = "standard library"
    LOCAL = "local"
    THIRD_PARTY = "third party"
    UNKNOWN = "unknown"


class Resolver(enum.Enum):
    """Who named the distribution."""

    MAPPING = "--map"
    SCRIPT_BLOCK = "script block"
    NOTEBOOK = "notebook"
    INSTALLED = "installed file"
    METADATA = "installed metadata"
    CONDA = "conda-meta"
    TABLE = "shipped table"
    EXTRA = "asked for"
    REQUIRED = "required by another"


@dataclass(frozen=True, slots=True)
class ImportUse:
    """One import in the analysed code or in local code that it reaches.

    Attributes:
        module: absolute dotted name of what is imported, as written.
        name: for `from module import name`, the name; `*` for all.
        distributions: who provides it; empty for the standard library and local code.
        is_used: whether it counts for the spec; `note` says why not.
    """

    module: str
    kind: ImportKind
    location: Location
    name: str | None = None
    origin: Origin = Origin.UNKNOWN
    distributions: tuple[str, ...] = ()
    is_used: bool = True
    note: str = ""


class AppKind(enum.Enum):
    """Which Parsl decorator makes a function an app."""

    PYTHON = "python_app"
    BASH = "bash_app"
    JOIN = "join_app"


@dataclass(frozen=True, slots=True)
class App:
    """A Parsl app of the analysed file.

    Attributes:
        name: its name, with the classes and functions around it: `main.fit`.
    """

    name: str
    kind: AppKind
    location: Location


@dataclass(frozen=True, slots=True)
class Distribution:
    """One distribution of the spec, and why it is there.

    Attributes:
        version: the installed version, or `None` if it is not installed here.
        requirement: what goes into the spec.
        resolver: who named it first.
        detail: the file, table or option behind the resolver's answer.
        imported_at: the imports that need it.
        required_by: distributions of the spec that require it.
    """

    name: str
    version: str | None
    requirement: str
    resolver: Resolver
    detail: str = ""
    imported_at: tuple[Location, ...] = ()
    required_by: tuple[str, ...] = ()
    conda: CondaRequirement | None = None


class Severity(enum.Enum):
    """How bad a problem is: an error means that the spec is incomplete."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be found out.

    Attributes:
        text: one clause, lower case, no full stop.
    """

    severity: Severity
    text: str
    location: Location | None = None
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.location}: {self.text}" if self.location else self.text


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A requirement that no import shows but that the code probably has.

    Attributes:
        candidates: any of these would do.
        installed: those of the candidates that are installed here.
    """

    text: str
    candidates: tuple[str, ...]
    location: Location
    installed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything that was found out.

    Attributes:
        spec: the environment: exact pins and all that they require here.
        imports: all imports that were looked at, in order of file and line.
        local: modules of the user's own code that are reached, with their files.
        apps: the Parsl apps of the analysed file.
    """

    spec: EnvironmentSpec
    imports: tuple[ImportUse, ...] = ()
    apps: tuple[App, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    problems: tuple[Problem, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()

    @property
    def local(self) -> tuple[LocalSource, ...]:
        """The user's own code that the analysed code needs."""
        return self.spec.local

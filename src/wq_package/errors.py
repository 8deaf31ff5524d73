"""The exception tree: every failure that this package raises on purpose (value module).

Knows nothing of the other rooms. An exception carries data and writes its sentence in `__str__`; `hint` says what the
user can do next. All of them survive pickling, because they cross process borders. A *task* that fails is not an
exception, it is a `wq_package.task.TaskResult`.

    WQPackageError
    ├── AnalysisError      SourceSyntaxError · AppNotFoundError · UnresolvedImportsError
    ├── SpecError          InvalidSpecError
    ├── BuildError         BackendNotFoundError · BackendFailedError · NotRelocatableError · DiskFullError · AlteredDistributionError
    │                      ChannelUnreachableError
    ├── ArchiveError       CorruptArchiveError · UnsafeMemberError · IncompatibleEnvironmentError
    ├── ProtocolError      LocalProtocolError · RemoteProtocolError
    └── QueueError         WorkerLostError · ManagerUnreachableError · AuthenticationError
"""

from __future__ import annotations

import re
from typing import Any

_CREDENTIALS = re.compile(r"(?<=://)[^/\s'\"]*@")


def hide_credentials(text: str) -> str:
    """Take the user name and password out of every URL in a text."""
    return _CREDENTIALS.sub("", text)


class WQPackageError(Exception):
    """Base of every error that this package raises on purpose.

    Attributes:
        message: one sentence, lower case, no full stop.
        hint: what the user can do next, or `None`.
    """

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.__dict__.copy())


def _restore(kind: type[WQPackageError], state: dict[str, Any]) -> WQPackageError:
    error = kind.__new__(kind)
    Exception.__init__(error, state.get("message", ""))
    error.__dict__.update(state)
    return error


class AnalysisError(WQPackageError):
    """The imports of a program could not be found or resolved."""


class SourceSyntaxError(AnalysisError):
    """A source file is not valid Python.

    Args:
        path: the file, as the user named it.
        line: 1-based line of the error, 0 if unknown.
        text: what the parser said.
    """

    def __init__(self, path: str, line: int, text: str, *, hint: str | None = None) -> None:
        place = f" line {line}" if line else ""
        super().__init__(f"`{path}`{place}: {text}", hint=hint)
        self.path = path
        self.line = line
        self.text = text


class AppNotFoundError(AnalysisError):
    """The file has no app of the name asked for."""

    def __init__(self, path: str, name: str, apps: tuple[str, ...]) -> None:
        known = ", ".join(f"`{app}`" for app in apps)
        hint = f"apps in this file: {known}" if apps else "the file defines no Parsl apps"
        super().__init__(f"`{path}` has no app named `{name}`", hint=hint)
        self.path = path
        self.name = name
        self.apps = apps


class UnresolvedImportsError(AnalysisError):
    """Some required imports belong to no distribution that can be found; all of them are named."""

    def __init__(self, issues: tuple[str, ...], *, hint: str | None = None) -> None:
        super().__init__(_list_issues("unresolved import", issues), hint=hint)
        self.issues = issues


class SpecError(WQPackageError):
    """An environment spec cannot be used."""


class InvalidSpecError(SpecError):
    """A spec file is malformed; all issues are named."""

    def __init__(self, path: str, issues: tuple[str, ...], *, hint: str | None = None) -> None:
        super().__init__(_list_issues(f"`{path}` is not a valid environment spec", issues), hint=hint)
        self.path = path
        self.issues = issues


class BuildError(WQPackageError):
    """An environment could not be built."""


class BackendNotFoundError(BuildError):
    """A program that a build needs is not installed."""

    def __init__(self, program: str, tried: tuple[str, ...], *, hint: str | None = None) -> None:
        super().__init__(f"`{program}` was not found (tried: {', '.join(tried)})", hint=hint)
        self.program = program
        self.tried = tried


class BackendFailedError(BuildError):
    """A program that a build runs ended with an error.

    Args:
        command: the command line, for the log; kept without the credentials that URLs in it have.
        exit_code: its exit code; negative for a signal.
        output: the end of what it printed; as `command`.
    """

    def __init__(
        self,
        command: tuple[str, ...],
        exit_code: int,
        output: str,
        *,
        summary: str = "",
        hint: str | None = None,
    ) -> None:
        summary = summary or f"`{command[0]}` failed with exit code {exit_code}: {output.strip()}"
        super().__init__(hide_credentials(summary), hint=hint)
        self.command = tuple(map(hide_credentials, command))
        self.exit_code = exit_code
        self.output = hide_credentials(output)


class NotRelocatableError(BuildError):
    """A file carries a path of the build machine that cannot be rewritten."""


class DiskFullError(BuildError):
    """There was no room left while writing."""


class AlteredDistributionError(BuildError):
    """The installed files of a distribution are not what its RECORD says; all of them are named."""

    def __init__(self, name: str, version: str, issues: tuple[str, ...]) -> None:
        what = f"the installed `{name}` {version} is not as it was released"
        super().__init__(
            _list_issues(what, issues),
            hint=f"reinstall it: `python -m pip install --force-reinstall {name}=={version}`",
        )
        self.name = name
        self.version = version
        self.issues = issues


class ChannelUnreachableError(BuildError):
    """A conda channel does not answer.

    Args:
        wheels: what the Python package index may have instead, as PEP 508 texts.
    """

    def __init__(self, message: str, wheels: tuple[str, ...], *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.wheels = wheels


class ArchiveError(WQPackageError):
    """An environment archive cannot be used."""


class CorruptArchiveError(ArchiveError):
    """An archive is damaged: truncated, altered, or not an archive of ours."""

    def __init__(self, path: str, issues: tuple[str, ...], *, hint: str | None = None) -> None:
        super().__init__(_list_issues(f"`{path}` is damaged", issues), hint=hint)
        self.path = path
        self.issues = issues


class UnsafeMemberError(ArchiveError):
    """An archive member would be written outside its target, or is of a kind that is never unpacked."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"archive member `{name}` is refused: {reason}", hint="do not use this archive")
        self.name = name
        self.reason = reason


class IncompatibleEnvironmentError(ArchiveError):
    """An environment cannot run on this machine (architecture or C library)."""


class ProtocolError(WQPackageError):
    """The Work Queue protocol was broken."""


class LocalProtocolError(ProtocolError):
    """We tried to send something illegal: a bug in this package."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something illegal: drop it."""


class QueueError(WQPackageError):
    """The manager or a worker failed."""


class WorkerLostError(QueueError):
    """A worker went away while it had work."""


class ManagerUnreachableError(QueueError):
    """No manager answered."""


class AuthenticationError(QueueError):
    """The peer's password is missing or differs from ours."""


def _list_issues(what: str, issues: tuple[str, ...]) -> str:
    if len(issues) == 1:
        return f"{what}: {issues[0]}"
    return "\n".join([f"{what}:", *(f"  - {issue}" for issue in issues)])

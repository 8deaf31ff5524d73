"""The base interpreter that goes into an environment: what it is and how it is found (value and shell module).

Knows how to ask a Python where its parts are. Knows nothing of layers or of how its files are copied: see
`wq_package.build.interpreter_tree`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from wq_package.build.scripts import describe_python
from wq_package.errors import BackendFailedError, BackendNotFoundError, BuildError, NotRelocatableError
from wq_package.programs import run_program

__all__ = [
    "Interpreter",
    "check_wanted",
    "describe_interpreter",
    "describe_running_interpreter",
    "find_interpreter",
    "is_wanted_folder",
    "satisfies_version",
]

# Before Python 3.12, a thread may see the variables of `sysconfig` half collected by another one.
_WANTED = re.compile(r"\d+(\.\d+)*(\.\*)?|[<>!~=]=?\s*\d[\d.,*<>!~= ]*")
_ONE_AT_A_TIME = threading.Lock()
_SCRIPT = Path(describe_python.__file__)
_FOLDERS_LEFT_OUT = frozenset(
    {
        "__pycache__",
        "dist-packages",
        "ensurepip",
        "idlelib",
        "site-packages",
        "test",
        "tests",
        "tkinter",
        "turtledemo",
    }
)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A base interpreter: no virtual environment, nothing but Python itself.

    Attributes:
        executable: its program, links resolved.
        version: `3.11.7`.
        name: of its library folder: `python3.11`.
        prefix: where it was installed.
        stdlib: folder of the standard library.
        dynload: folder of its extension modules.
        include: folder of its headers, which may be missing.
        lib_folder: where its shared library was installed, or "".
        platlibdir: `lib`, or `lib64` where extension modules live apart.
        cache_tag: of its bytecode files: `cpython-311`.
        magic: of its bytecode, in hex.
        sees_site_packages: whether `site-packages` is on its path by itself.
        machine: architecture of the machines that it is for, or empty for this one's.
        runner: what is run in its place, where it cannot be: a Python of the same minor version.
    """

    executable: str
    version: str
    name: str
    prefix: str
    stdlib: str
    dynload: str
    include: str
    lib_folder: str
    platlibdir: str
    cache_tag: str
    magic: str
    sees_site_packages: bool
    machine: str = ""
    runner: str = ""

    @property
    def program(self) -> str:
        """What resolves and compiles for it."""
        return self.runner or self.executable

    @property
    def short_version(self) -> str:
        """Major and minor: `3.11`."""
        return ".".join(self.version.split(".")[:2])

    @property
    def site_packages(self) -> str:
        """Where distributions go, relative to the prefix of an environment."""
        return f"lib/{self.name}/site-packages"

    def satisfies(self, version: str | None) -> bool:
        """Tell whether this is the Python of a spec; any is for `None`."""
        return version is None or satisfies_version(self.version, version)


def satisfies_version(version: str, wanted: str) -> bool:
    """Tell whether a version is one that a spec wants: `3.11.7`, `3.11`, `3.11.*`, `>=3.11,<3.13`."""
    if wanted[:1] in "<>!~":
        return _contains(wanted, version)
    parts = wanted.lstrip("=").removesuffix(".*").split(".")
    return version.split(".")[: len(parts)] == parts


def check_wanted(wanted: str) -> None:
    """Refuse what cannot be a version that a user asks for.

    Raises:
        BuildError: it is neither a version nor a constraint.
    """
    if not _WANTED.fullmatch(wanted):
        hint = "write it as `3.12`, `3.12.4` or `>=3.11,<3.13`"
        raise BuildError(f"`{wanted}` is not a version of Python", hint=hint)


def _contains(specifier: str, version: str) -> bool:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # most specs name one version

    try:
        return SpecifierSet(specifier).contains(version)
    except InvalidSpecifier:
        return False


def describe_running_interpreter() -> Interpreter:
    """Describe the base interpreter of this process."""
    with _ONE_AT_A_TIME:
        described = describe_python.describe()
    return _make(described, sys.executable)


def describe_interpreter(executable: str) -> Interpreter:
    """Describe the base interpreter behind a program, by running it.

    Raises:
        BackendNotFoundError: there is no such program.
        BackendFailedError: it ran and is no Python of ours.
        NotRelocatableError: it is a Python, but not CPython.
    """
    from shutil import which  # costs 4 ms, and the running Python needs no search

    program = which(executable)
    if program is None:
        hint = "name a Python with --interpreter, for example `--interpreter /usr/bin/python3`"
        raise BackendNotFoundError(executable, ("--interpreter",), hint=hint)
    command = (program, "-I", str(_SCRIPT))
    asked = _run(command)
    try:
        return _make(json.loads(asked.stdout), executable)
    except (ValueError, KeyError, TypeError) as error:
        summary = f"`{executable}` does not behave like a Python interpreter"
        raise BackendFailedError(
            command, asked.returncode, (asked.stderr or asked.stdout)[-2000:], summary=summary, hint=_HINT
        ) from error


_HINT = "an interpreter is needed that runs on this machine, CPython 3.8 or later"


def _run(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    try:
        return run_program(command, seconds=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        summary = f"`{command[0]}` could not be run: {error}"
        raise BackendFailedError(command, -1, str(error), summary=summary, hint=_HINT) from error


def find_interpreter(version: str | None, named: str | None) -> Interpreter:
    """Choose the interpreter of an environment.

    Args:
        version: what the spec asks for, or `None`.
        named: a program that the user named: it wins, if its version fits.

    Raises:
        BackendNotFoundError: no interpreter of that version is installed.
    """
    if named is not None:
        return _check_version(describe_interpreter(named), version, named)
    running = describe_running_interpreter()
    if running.satisfies(version):
        return running
    assert version is not None
    return _find_installed(version, running)


def _find_installed(version: str, running: Interpreter) -> Interpreter:
    from shutil import which

    # Asked one after another: each costs a process, and the first nearly always fits.
    for program in _iter_candidates(version, running):
        if program is None or which(program) is None:
            continue
        try:
            found = describe_interpreter(program)
        except (BackendFailedError, NotRelocatableError):
            continue  # e.g. a pyenv shim of a version that is not active
        if found.satisfies(version):
            return found
    hint = f"install Python {version} (`uv python install` can), name one with --interpreter, or change `python=` in the spec to {running.version}"
    raise BackendNotFoundError(
        f"Python {version}", (f"this Python {running.version}", "PATH", "uv"), hint=hint
    )


def _iter_candidates(version: str, running: Interpreter) -> Iterator[str | None]:
    exact = re.match(r"[\d.]*\d", version)
    if exact:
        yield f"python{'.'.join(exact[0].split('.')[:2])}"
        # pyenv, uv and many clusters keep their versions side by side.
        for folder in sorted(Path(running.prefix).parent.glob(f"*{exact[0]}*"), reverse=True):
            yield str(folder / "bin" / "python3")
    from wq_package.build.uv import find_python

    yield find_python(version)


def _check_version(found: Interpreter, version: str | None, named: str) -> Interpreter:
    if found.satisfies(version):
        return found
    hint = f"name another interpreter, or change `python=` in the spec to {found.version}"
    raise BackendNotFoundError(
        f"Python {version}", (f"`{named}`, which is Python {found.version}",), hint=hint
    )


def _make(described: dict[str, object], executable: str) -> Interpreter:
    if described["implementation"] != "cpython":
        what = described["implementation"]
        raise NotRelocatableError(f"`{executable}` is {what}, and only CPython can be packed", hint=_HINT)
    known = (field.name for field in fields(Interpreter) if field.name in described)
    values: dict[str, Any] = {name: described[name] for name in known}
    made = Interpreter(**values)
    if not re.fullmatch(r"\d+\.\d+\.\d+", made.version) or not Path(made.stdlib).is_dir():
        raise ValueError("not a description of a Python")
    return made


def is_wanted_folder(name: str) -> bool:
    """Tell whether a folder of the standard library goes along."""
    return name not in _FOLDERS_LEFT_OUT and name != "lib-dynload"

"""A Python for machines of another kind: described without being run (shell module).

It is copied as any other. What has to be run, to resolve and to compile, a Python of this machine does in its place: bytecode is the
same on all machines, for all releases of one minor version.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from wq_package.build.elf import read_elf
from wq_package.build.interpreter import Interpreter, find_interpreter, satisfies_version
from wq_package.build.platforms import Platform
from wq_package.errors import BackendNotFoundError, BuildError

__all__ = ["find_foreign_interpreter", "read_machine"]

_VERSION = re.compile(r'^#define\s+PY_VERSION\s+"(\d+\.\d+\.\d+)"', re.MULTILINE)
_UNKNOWN = "which version it is, its `include` folder does not say"


def read_machine(program: Path) -> str:
    """Tell the architecture of a program, or nothing if it is none."""
    try:
        facts = read_elf(program.read_bytes())
    except OSError:
        return ""
    return facts.machine if facts else ""


def find_foreign_interpreter(version: str | None, named: str | None, platform: Platform) -> Interpreter:
    """Find the Python of an environment for another architecture than this machine's.

    Args:
        version: what the spec asks for, or `None`.
        named: the program that the user named, in its folder `bin`; else uv is asked for a standalone build.
        platform: where it is to run.

    Raises:
        BackendNotFoundError: there is none.
        BuildError: what was named is no such Python.
    """
    program = Path(named) if named else _find_standalone(version, platform)
    found = _describe(program.resolve(), platform)
    if not found.satisfies(version):
        hint = f"name another interpreter, or change `python=` in the spec to {found.version}"
        raise BackendNotFoundError(
            f"Python {version}", (f"`{program}`, which is Python {found.version}",), hint=hint
        )
    return replace(found, runner=_find_runner(found))


def _find_standalone(version: str | None, platform: Platform) -> Path:
    from wq_package.build.uv import find_python_folder

    ending = f"-linux-{platform.machine}-gnu"
    folder = find_python_folder()
    folders = folder.glob(f"cpython-3.*{ending}") if folder else ()
    versions = {each.name.removeprefix("cpython-").removesuffix(ending): each for each in folders}
    usual = [
        each for each in versions if re.fullmatch(r"[\d.]+", each)
    ]  # neither free-threaded nor for debugging
    for known in sorted(usual, key=_order, reverse=True):
        program = versions[known] / "bin" / "python3"
        if (version is None or satisfies_version(known, version)) and program.exists():
            return program
    wanted = f"cpython-{version}{ending}" if version and version[0].isdigit() else f"cpython-3.12{ending}"
    hint = (
        f"fetch one with `uv python install {wanted}`, "
        "or unpack a standalone build and name its `bin/python3` with --interpreter"
    )
    tried = (f"the Pythons that uv keeps for {platform.machine}",)
    raise BackendNotFoundError(f"Python {version or '3'} for {platform.machine}", tried, hint=hint)


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _describe(program: Path, platform: Platform) -> Interpreter:
    machine = read_machine(program)
    if machine != platform.machine:
        what = f"a program for {machine}" if machine else "no program"
        raise BuildError(f"`{program}` is {what}, and the environment is to run on {platform.machine}")
    prefix = program.parent.parent
    for header in sorted(prefix.glob("include/python3.*/patchlevel.h")):
        version = _VERSION.search(header.read_text(encoding="utf-8", errors="replace"))
        name = f"python{'.'.join(version[1].split('.')[:2])}" if version else ""
        if version and (prefix / "lib" / name / "os.py").is_file():
            return _make(program, prefix, name, version[1], header.parent, platform)
    hint = "name the `bin/python3` of a whole installation, headers included"
    raise BuildError(f"`{program}` is not part of a Python that can be copied: {_UNKNOWN}", hint=hint)


def _make(
    program: Path, prefix: Path, name: str, version: str, include: Path, platform: Platform
) -> Interpreter:
    stdlib = prefix / "lib" / name
    return Interpreter(
        executable=str(program),
        version=version,
        name=name,
        prefix=str(prefix),
        stdlib=str(stdlib),
        dynload=str(stdlib / "lib-dynload"),
        include=str(include),
        lib_folder=str(prefix / "lib"),
        platlibdir="lib",
        cache_tag="cpython-" + "".join(version.split(".")[:2]),
        magic="",
        sees_site_packages=True,
        machine=platform.machine,
    )


def _find_runner(foreign: Interpreter) -> str:
    try:
        return find_interpreter(foreign.short_version, None).executable
    except BackendNotFoundError as error:
        hint = f"install Python {foreign.short_version} here as well"
        raise BackendNotFoundError(
            f"Python {foreign.short_version} for {os.uname().machine}, which is to compile in place of `{foreign.executable}`,",
            error.tried,
            hint=hint,
        ) from error

"""A source file and where it stands: its module name and the folders that Python would search (shell module).

Knows scripts, packages, `src/` layouts and projects. Reads files; does not look into them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from wq_package.errors import AnalysisError

__all__ = ["SourceFile", "locate_source", "read_source"]

_PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One source.

    Attributes:
        path: as messages name it.
        text: the source.
        module: its dotted name if it can be imported, else empty.
        package: the package that its relative imports start from; empty if it is in none.
        first: folders searched before the standard library.
        last: folders of the project, searched after everything installed.
    """

    path: str
    text: bytes | str
    module: str = ""
    package: str = ""
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()


def read_source(path: Path) -> bytes:
    """Read a source file.

    Raises:
        AnalysisError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise AnalysisError(f"there is no file `{path}`", hint="give the path of a Python file") from error
    except OSError as error:
        raise AnalysisError(f"`{path}` cannot be read: {error.strerror or error}") from error


def locate_source(path: Path, text: bytes | str, label: str | None = None) -> SourceFile:
    """Find out where a source stands; nothing of it is read."""
    file = os.path.abspath(path)  # noqa: PTH100 - links stay as they are: Python does not resolve them either
    folder = os.path.dirname(file)  # noqa: PTH120 - plain strings all the way
    stem = os.path.basename(file).partition(".")[0]  # noqa: PTH119 - plain strings all the way
    parts = [] if stem in ("__init__", "__main__") else [stem]
    root = folder
    packages: list[str] = []
    while _is_package(root) and os.path.dirname(root) != root:  # noqa: PTH120 - plain strings all the way
        root, name = os.path.split(root)
        packages.insert(0, name)
    first: tuple[str, ...] = (root,)
    last = tuple(_iter_project_folders(root))
    if packages:
        last = (folder, *last)  # a script inside a package may still be run by its path
    else:
        packages = []
    module = ".".join([*packages, *parts])
    return SourceFile(label or str(path), text, module, ".".join(packages), first, last)


def _is_package(folder: str) -> bool:
    return os.path.isfile(f"{folder}/__init__.py")  # noqa: PTH113 - plain strings all the way


def _iter_project_folders(start: str) -> list[str]:
    """Tell the folders of the project around a folder from which its code can be imported."""
    folder = start
    for _ in range(12):
        if any(os.path.isfile(f"{folder}/{name}") for name in _PROJECT_FILES):  # noqa: PTH113 - plain strings all the way
            inner = [f"{folder}/{name}" for name in ("src", "lib")]
            return [*(entry for entry in inner if os.path.isdir(entry)), folder]  # noqa: PTH112 - plain strings all the way
        parent = os.path.dirname(folder)  # noqa: PTH120 - plain strings all the way
        if parent == folder:
            break
        folder = parent
    return []

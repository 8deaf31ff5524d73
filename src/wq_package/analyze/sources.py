"""The sources of an analysis and where they stand: files, folders, notebooks, standard input (shell module).

Knows scripts, packages, `src/` layouts and projects: which module name a file has, and which folders Python would
search for what it imports. Reads files; does not look into Python code.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from wq_package.analyze.analysis import Location, Problem, Resolver, Severity
from wq_package.errors import AnalysisError, InvalidSpecError, SourceSyntaxError

__all__ = [
    "MAX_SOURCE",
    "SourceFile",
    "check_size",
    "iter_source_paths",
    "locate_source",
    "make_label",
    "read_source",
]

MAX_SOURCE = 256 * 1024 * 1024
"""How large a source may be."""

_PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
_SUFFIXES = (".py", ".pyw", ".ipynb")
_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta", ".wq-package")
"""What virtual environments, conda's and unpacked archives have in them."""
_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One source.

    Attributes:
        path: as messages name it.
        text: the source; of a notebook, the code of its cells.
        file: its absolute path; empty if it is no file.
        module: its dotted name if it can be imported, else empty.
        package: the package that its relative imports start from; empty if it is in none.
        first: folders searched before the standard library.
        last: folders of the project, searched after everything installed.
        places: for a notebook, the first line of each cell in `text` and its label.
        declared: requirements that the program states itself, and where.
        problems: what was wrong when it was read.
    """

    path: str
    text: bytes | str
    file: str = ""
    module: str = ""
    package: str = ""
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    places: tuple[tuple[int, str], ...] = ()
    declared: tuple[tuple[str, Resolver, Location], ...] = ()
    problems: tuple[Problem, ...] = ()

    def locate(self, line: int, column: int = 0) -> Location:
        """Make the location of a line, as the user counts it."""
        if not self.places or not line:
            return Location(self.path, line, column)
        start, label = self.places[max(bisect_right(self.places, (line, "\U0010ffff")) - 1, 0)]
        return Location(label, line - start + 1, column)


def read_source(path: Path) -> bytes:
    """Read a source file.

    Raises:
        AnalysisError: it cannot be read, or is larger than any source.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size or MAX_SOURCE  # a pipe or a device does not say
            text = stream.read(min(size, MAX_SOURCE) + 1)
    except FileNotFoundError as error:
        raise AnalysisError(f"there is no file `{path}`", hint="give the path of a Python file") from error
    except OSError as error:
        raise AnalysisError(f"`{path}` cannot be read: {error.strerror or error}") from error
    return check_size(text, str(path))


def check_size(text: bytes, label: str) -> bytes:
    """Pass a source on.

    Raises:
        AnalysisError: it is larger than any source.
    """
    if len(text) > MAX_SOURCE:
        hint = "is this a Python source file?"
        raise AnalysisError(f"`{label}` has more than {MAX_SOURCE >> 20} MB", hint=hint)
    return text


def make_label(file: str) -> str:
    """Name a file as the user would: relative if it is below the current folder."""
    here = os.getcwd() + "/"  # noqa: PTH109 - plain strings all the way
    return file.removeprefix(here)


def iter_source_paths(path: Path) -> Iterator[Path]:
    """Yield the sources of a folder, sorted; a file yields itself.

    Hidden folders, environments and installed packages inside the folder are passed over.
    """
    if not path.is_dir():
        yield path
        return
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if _is_searched(folder, name))
        yield from (Path(folder) / name for name in sorted(files) if name.endswith(_SUFFIXES))


def _is_searched(folder: str, name: str) -> bool:
    if name.startswith(".") or name in _SKIPPED_FOLDERS or name.endswith(".egg-info"):
        return False
    inner = f"{folder}/{name}"
    return not any(os.path.exists(f"{inner}/{mark}") for mark in _ENVIRONMENTS)  # noqa: PTH110 - a hot path


def locate_source(
    path: Path, text: bytes | str, label: str | None = None, *, as_script: bool = True
) -> SourceFile:
    """Find out where a source stands, and read what it declares about itself.

    Args:
        path: the file.
        text: its text.
        label: how messages name it; the path if `None`.
        as_script: it may be run by its path, so that its own folder counts even inside a package.

    Raises:
        SourceSyntaxError: it is a zip app, or is named like a notebook but is none.
    """
    if isinstance(text, bytes) and _is_zip(text):
        hint = f"unpack it with `python -m zipfile -e {path} FOLDER`, and analyse the folder"
        raise SourceSyntaxError(label or str(path), 0, "it is a zip file, not a source", hint=hint)
    file = os.path.abspath(path)  # noqa: PTH100 - links stay as they are: Python does not resolve them either
    root, packages = _find_package(os.path.dirname(file))  # noqa: PTH120 - plain strings all the way
    stem = os.path.basename(file).partition(".")[0]  # noqa: PTH119 - plain strings all the way
    module = ".".join([*packages, *([] if stem == "__init__" else [stem])])
    last = tuple(_iter_project_folders(root))
    if packages and as_script:
        last = (os.path.dirname(file), *last)  # noqa: PTH120 - a script inside a package may still be run by its path
    source = SourceFile(label or str(path), text, file, module, ".".join(packages), (root,), last)
    if file.endswith(".ipynb"):
        return _open_notebook(source)
    return _read_block(source)


def _is_zip(text: bytes) -> bool:
    """Whether a file is an archive, with or without the `#!` line that makes it a program."""
    start = text.find(b"\n") + 1 if text.startswith(b"#!") else 0
    return text.startswith(b"PK\x03\x04", start)


def _find_package(folder: str) -> tuple[str, list[str]]:
    """Tell the folder above the outermost package, and the packages down from there."""
    packages: list[str] = []
    while _is_package(folder) and os.path.dirname(folder) != folder:  # noqa: PTH120 - plain strings all the way
        folder, name = os.path.split(folder)
        packages.insert(0, name)
    return folder, packages


def _is_package(folder: str) -> bool:
    return os.path.isfile(f"{folder}/__init__.py")  # noqa: PTH113 - plain strings all the way


def _iter_project_folders(start: str) -> list[str]:
    """Tell the folders of the project around a folder from which its code can be imported."""
    folder = start
    for _ in range(12):
        if any(os.path.isfile(f"{folder}/{name}") for name in _PROJECT_FILES):  # noqa: PTH113 - plain strings
            inner = [f"{folder}/{name}" for name in ("src", "lib")]
            return [*(entry for entry in inner if os.path.isdir(entry)), folder]  # noqa: PTH112 - plain strings
        parent = os.path.dirname(folder)  # noqa: PTH120 - plain strings all the way
        if parent == folder:
            break
        folder = parent
    return []


def _open_notebook(source: SourceFile) -> SourceFile:

    from wq_package.analyze.notebooks import read_notebook

    notebook = read_notebook(source.text, source.path)
    problems = tuple(
        Problem(Severity.ERROR, f"the cell cannot be parsed: {text}", Location(label, line))
        for label, line, text in notebook.issues
    )
    place = Location(source.path)
    declared = tuple((text, Resolver.NOTEBOOK, place) for text in dict.fromkeys(notebook.installs))
    return replace(
        source, text=notebook.text, places=tuple(notebook.places), declared=declared, problems=problems
    )


def _read_block(source: SourceFile) -> SourceFile:
    """Read the `# /// script` block, if there is one."""
    marker: bytes | str = b"# /// script" if isinstance(source.text, bytes) else "# /// script"
    if marker not in source.text:  # type: ignore[operator]  # both are bytes, or both are text
        return source

    from wq_package.spec.script_block import parse_script_block

    text = source.text.decode("utf-8-sig", "replace") if isinstance(source.text, bytes) else source.text
    try:
        block = parse_script_block(text, source.path)
    except InvalidSpecError as error:
        return replace(
            source,
            problems=tuple(Problem(Severity.ERROR, issue, Location(source.path)) for issue in error.issues),
        )
    if block is None:
        return source
    place = Location(source.path, block.line)
    return replace(
        source, declared=tuple((wheel.text, Resolver.SCRIPT_BLOCK, place) for wheel in block.dependencies)
    )

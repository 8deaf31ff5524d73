"""Which files local source is made of, and its digest (shell module: reads folders and files).

Knows the one rule of what travels with a local module or package, and where a single file goes. Knows nothing of imports.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from wq_package.errors import InvalidSpecError

__all__ = ["digest_local_source", "iter_local_files", "name_local_file", "place_local_file"]

_MODULES = (".py", ".so")
_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules"})
_SKIPPED_SUFFIXES = (".pyc", ".pyo", ".tmp", ".swp", "~")


def iter_local_files(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield `(relative name, file)` of everything that travels, sorted by name.

    A single file yields itself under its own name. In a folder, hidden entries, bytecode, linked folders and build
    droppings (`*.egg-info`) stay behind; any other file is package data.
    """
    if path.is_file():
        yield path.name, path
        return
    found: list[tuple[str, Path]] = []
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if _travels(name) and not name.endswith(".egg-info")]
        base = Path(folder)
        for name in files:
            if _travels(name) and (base / name).is_file():
                found.append(((base / name).relative_to(path).as_posix(), base / name))
    yield from sorted(found)


def _travels(name: str) -> bool:
    return not (name.startswith(".") or name in _SKIPPED_FOLDERS or name.endswith(_SKIPPED_SUFFIXES))


def name_local_file(place: PurePosixPath) -> str:
    """Name a file by its place below `site-packages`: a module as it is imported, any other with all of its name.

    `pkg/_core.abi3.so` is `pkg._core`, and `pkg/table.v2.json` is `pkg.table.v2.json`.
    """
    name = place.name.partition(".")[0] if place.name.endswith(_MODULES) else place.name
    return ".".join((*place.parts[:-1], name))


def place_local_file(import_name: str, file: Path) -> str:
    """Tell the place below `site-packages` of a file that `name_local_file` has named, or a user by how it is imported."""
    is_whole = f".{import_name}".endswith(f".{file.name}") and not file.name.endswith(_MODULES)
    if is_whole:
        return import_name[: -len(file.name)].replace(".", "/") + file.name
    return import_name.replace(".", "/") + file.suffix


def digest_local_source(path: Path) -> str:
    """Compute the digest of a module file or package folder: names and contents, never times or owners.

    Raises:
        InvalidSpecError: nothing is there, or it cannot be read.
    """
    import hashlib  # costs 8 ms, and not every program has local source

    digest = hashlib.sha256()
    files = 0
    try:
        for name, file in iter_local_files(path):
            files += 1
            with file.open("rb") as opened:  # piece by piece: it may be data of any size
                content = hashlib.file_digest(opened, "sha256").hexdigest()
            digest.update(f"{len(name)}:{name}={content}\n".encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise InvalidSpecError(
            str(path), (f"local source cannot be read: {error.strerror or error}",)
        ) from error
    if not files:
        hint = "give the path of a Python file or of a folder with Python files"
        raise InvalidSpecError(str(path), ("there is no local source here",), hint=hint)
    return digest.hexdigest()

"""Where the code of an editable install lies, and what of it is importable (shell module).

Knows the ways in which installers leave such an install: `.pth` files, setuptools' finders, `.egg-link`. Imports nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from wq_package.build.installed import InstalledDistribution
from wq_package.build.record import parse_record

__all__ = ["find_editable_sources", "iter_importable"]

# What lies beside a package in its project's folder and is no part of it, as setuptools' own discovery has it.
_NOT_SHIPPED = re.compile(
    r"tests?|testing|docs?|documentation|manpages|changelog|benchmarks?|examples?|scripts|tools|build|dist|etc|ci|"
    r"htmlcov|setup|conftest|noxfile|tasks|fabfile|toxfile|versioneer|manage|venv|node_modules"
)


def find_editable_sources(distribution: InstalledDistribution) -> dict[str, Path]:
    """Find the modules and packages of an editable install, by import name."""
    found: dict[str, Path] = {}
    for row in parse_record((distribution.read("RECORD") or b"").decode("utf-8", "replace")):
        file = Path(distribution.site_folder, row.path)
        if row.path.startswith("__editable__") and row.path.endswith("_finder.py"):
            found |= dict(_iter_mapped(file))
        elif row.path.endswith(".pth") and "/" not in row.path:
            for folder in _iter_path_lines(file):
                found |= dict(iter_importable(folder))
    return found


def _iter_mapped(finder: Path) -> Iterator[tuple[str, Path]]:
    from wq_package.analyze.metadata import parse_finder_mapping  # the analyser costs 60 ms, and few need it

    for name, place in parse_finder_mapping(_read(finder)).items():
        path = Path(place)
        module = path.with_name(f"{path.name}.py")
        if path.is_dir() or path.is_file():
            yield name, path
        elif module.is_file():  # setuptools names modules without their suffix
            yield name, module


def _iter_path_lines(file: Path) -> Iterator[Path]:
    for line in _read(file).splitlines():
        if line.strip() and not line.startswith(("#", "import ", "import\t")):
            folder = Path(file.parent, line.strip())
            if folder.is_dir():
                yield folder


def iter_importable(folder: Path) -> Iterator[tuple[str, Path]]:
    """Name the modules and packages in a project's folder that belong to the project."""
    for path in sorted(folder.iterdir()):
        name = path.name.removesuffix(".py")
        if not name.isidentifier() or _NOT_SHIPPED.fullmatch(name):
            continue
        if (path.suffix == ".py" and path.is_file()) or (path / "__init__.py").is_file():
            yield name, path


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

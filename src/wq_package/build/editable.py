"""Where the code of an editable install lies, and what of it is importable (shell module).

Knows the ways in which installers leave such an install: `.pth` files, setuptools' finders, meson-python's loaders. Imports
nothing.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from wq_package.build.installed import InstalledDistribution
from wq_package.build.record import parse_record
from wq_package.spec.local_source import name_local_file, place_local_file

__all__ = ["find_editable_sources", "is_editable_from", "iter_importable"]

_LOG = logging.getLogger(__name__)

# What lies beside a package in its project's folder and is no part of it, as setuptools' own discovery has it.
_NOT_SHIPPED = re.compile(
    r"tests?|testing|docs?|documentation|manpages|changelog|benchmarks?|examples?|scripts|tools|build|dist|etc|ci|"
    r"htmlcov|setup|conftest|noxfile|tasks|fabfile|toxfile|versioneer|manage|venv|node_modules"
)


def find_editable_sources(distribution: InstalledDistribution) -> dict[str, Path]:
    """Find the modules and packages of an editable install, by import name."""
    found: dict[str, Path] = {}
    for file in _iter_leads(distribution):
        if file.name.endswith("_finder.py"):
            found |= dict(_iter_mapped(file))
        elif file.name.endswith("_editable_loader.py"):
            found |= dict(_iter_planned(file))
        else:
            for folder in _iter_path_lines(file):
                found |= dict(iter_importable(folder))
    return found


def is_editable_from(distribution: InstalledDistribution, sources: Mapping[Path, str]) -> bool:
    """Tell whether any of some modules and packages is code of an editable install.

    Args:
        distribution: the editable install.
        sources: the import name by the path, which has no links in it.
    """
    # Finders and loaders name every package, so most need not be parsed.
    words = {word for path, name in sources.items() for word in (path.stem, name.split(".")[0])}
    folders = {path.parent for path in sources}
    for file in _iter_leads(distribution):
        if file.suffix == ".pth" and any(folder.resolve() in folders for folder in _iter_path_lines(file)):
            break
        if file.suffix == ".py" and any(word in _read(file) for word in words):
            break
    else:
        return False
    return any(path.resolve() in sources for path in find_editable_sources(distribution).values())


def _iter_leads(distribution: InstalledDistribution) -> Iterator[Path]:
    """Name the files in `site-packages` that lead to the code."""
    for row in parse_record((distribution.read("RECORD") or b"").decode("utf-8", "replace")):
        is_finder = row.path.startswith("__editable__") and row.path.endswith("_finder.py")
        is_loader = row.path.startswith("_") and row.path.endswith("_editable_loader.py")
        if "/" not in row.path and (is_finder or is_loader or row.path.endswith(".pth")):
            yield Path(distribution.site_folder, row.path)


def _iter_mapped(finder: Path) -> Iterator[tuple[str, Path]]:
    from wq_package.analyze.metadata import parse_finder_mapping  # the analyser costs 60 ms, and few need it

    for name, place in parse_finder_mapping(_read(finder)).items():
        path = Path(place)
        module = path.with_name(f"{path.name}.py")
        if path.is_dir() or path.is_file():
            yield name, path
        elif module.is_file():  # setuptools names modules without their suffix
            yield name, module


def _iter_planned(loader: Path) -> Iterator[tuple[str, Path]]:
    """Name the packages of a Meson project, and what is added to them from elsewhere: what was compiled or generated."""
    from wq_package.analyze.metadata import parse_install_plan, parse_meson_loader, parse_planned_files

    plan = _read(Path(parse_meson_loader(_read(loader)) or "", "meson-info", "intro-install_plan.json"))
    places = {name: Path(place) for name, place in parse_install_plan(plan).items()}
    yield from places.items()
    for source, target in parse_planned_files(plan):
        parts = PurePosixPath(target).parts
        place = places.get(parts[0] if parts[1:] else parts[0].partition(".")[0])
        if place and place.joinpath(*parts[1:]) == Path(source):
            continue
        name = name_local_file(PurePosixPath(target))
        if place_local_file(name, Path(source)).partition(".")[0] == target.partition(".")[0]:
            yield name, Path(source)
        else:
            _LOG.warning("`%s` is left out, because it is installed under another name: `%s`", source, target)


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

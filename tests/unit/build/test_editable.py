from __future__ import annotations

from pathlib import Path

import pytest

from wq_package.build.editable import find_editable_sources, iter_importable
from wq_package.build.installed import find_distributions


def _write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _find(site: Path) -> dict[str, Path]:
    return find_editable_sources(find_distributions([str(site)])["demo"])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("demo/__init__.py", "demo_single.py", "setup.py", "tests/__init__.py", "data/x.csv"):
        _write(tmp_path / "project" / name)
    return tmp_path / "project"


def test_importable__project_folder__its_modules_and_packages_only(project: Path) -> None:
    assert [name for name, _ in iter_importable(project)] == ["demo", "demo_single"]


def test_sources__path_file__names_what_is_in_its_folders(tmp_path: Path, project: Path) -> None:
    site = tmp_path / "site"
    _write(site / "demo-1.dist-info" / "RECORD", "_demo.pth,,\n")
    _write(site / "_demo.pth", f"import os\n{project}\n/nowhere\n")
    assert _find(site) == {"demo": project / "demo", "demo_single": project / "demo_single.py"}


def test_sources__finder__names_packages_and_modules(tmp_path: Path, project: Path) -> None:
    site = tmp_path / "site"
    mapping = {"demo": str(project / "demo"), "demo_single": str(project / "demo_single"), "gone": "/nowhere"}
    _write(site / "demo-1.dist-info" / "RECORD", "__editable___demo_1_finder.py,,\n__editable__.demo.pth,,\n")
    _write(
        site / "__editable___demo_1_finder.py",
        f"MAPPING: dict[str, str] = {mapping!r}\nNAMESPACES: dict[str, list[str]] = {{}}\n",
    )
    _write(site / "__editable__.demo.pth", "import __editable___demo_1_finder\n")
    assert _find(site) == {"demo": project / "demo", "demo_single": project / "demo_single.py"}

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wq_package.build.editable import find_editable_sources, is_editable_from, iter_importable
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


@pytest.fixture
def meson_site(tmp_path: Path, project: Path) -> Path:
    """Make what meson-python leaves of an editable install."""
    site, build = tmp_path / "site", tmp_path / "build"
    _write(site / "demo-1.dist-info" / "RECORD", "_demo_editable_loader.py,,\ndemo-editable.pth,,\n")
    _write(site / "demo-editable.pth", "import _demo_editable_loader\n")
    loader = f"MesonpyMetaFinder(\n    'demo',\n    {{'alone', 'demo'}},\n    {str(build)!r},\n    ['ninja'],\n    False,\n)\n"
    _write(site / "_demo_editable_loader.py", loader)
    targets = {
        f"{build}/_core.cpython-311.so": "{py_platlib}/demo/_core.cpython-311.so",
        f"{build}/_version.py": "{py_purelib}/demo/_version.py",
        f"{build}/more.tar.gz": "{py_purelib}/demo/more.tar.gz",
        f"{build}/more.json": "{py_purelib}/demo/more.json",
        f"{build}/renamed.json": "{py_purelib}/demo/other.json",
        f"{project}/demo/__init__.py": "{py_purelib}/demo/__init__.py",
        f"{project}/demo_single.py": "{py_purelib}/alone.py",
        f"{project}/tool": "{bindir}/tool",
    }
    plan = {"python": {source: {"destination": target} for source, target in targets.items()}}
    _write(build / "meson-info" / "intro-install_plan.json", json.dumps(plan))
    return site


def test_sources__meson__names_packages_modules_and_what_was_built(
    tmp_path: Path, project: Path, meson_site: Path
) -> None:
    assert _find(meson_site) == {
        "demo": project / "demo",
        "alone": project / "demo_single.py",
        "demo._core": tmp_path / "build" / "_core.cpython-311.so",
        "demo._version": tmp_path / "build" / "_version.py",
        "demo.more.tar.gz": tmp_path / "build" / "more.tar.gz",
        "demo.more.json": tmp_path / "build" / "more.json",
    }


def test_sources__meson_file_under_another_name__is_told(
    meson_site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _find(meson_site)
    assert (
        "renamed.json` is left out, because it is installed under another name: `demo/other.json`"
        in caplog.text
    )


def test_sources__meson_without_its_build_folder__nothing(tmp_path: Path, meson_site: Path) -> None:
    (tmp_path / "build" / "meson-info" / "intro-install_plan.json").unlink()
    assert _find(meson_site) == {}


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("demo", "demo", True),
        ("demo_single.py", "alone", True),
        ("data", "other", False),
        ("demo", "x", True),
    ],
)
def test_is_editable_from__meson__code_that_is_among_its_own(
    project: Path, meson_site: Path, path: str, name: str, expected: bool
) -> None:
    distribution = find_distributions([str(meson_site)])["demo"]
    assert is_editable_from(distribution, {(project / path).resolve(): name}) is expected


def test_is_editable_from__path_file__code_in_its_folder(tmp_path: Path, project: Path) -> None:
    site = tmp_path / "site"
    _write(site / "demo-1.dist-info" / "RECORD", "_demo.pth,,\n")
    _write(site / "_demo.pth", f"{project}\n")
    distribution = find_distributions([str(site)])["demo"]
    assert is_editable_from(distribution, {(project / "demo").resolve(): "demo"})
    assert not is_editable_from(distribution, {(project / "tests").resolve(): "tests"})
    assert not is_editable_from(distribution, {(project / "demo" / "sub").resolve(): "demo.sub"})

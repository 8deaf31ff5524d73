from __future__ import annotations

from pathlib import Path

from wq_package.build.installed import find_distributions


def _install(folder: Path, name: str, version: str, metadata: str = "", direct: str = "") -> None:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}\nA text.\nRequires-Dist: no\n"
    )
    if direct:
        (info / "direct_url.json").write_text(direct)


def test_find_distributions__first_folder_wins_and_names_are_canonical(tmp_path: Path) -> None:
    _install(tmp_path / "a", "Foo.Bar", "1.0")
    _install(tmp_path / "b", "foo_bar", "2.0")
    _install(tmp_path / "b", "other", "3.0")

    found = find_distributions([str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "missing")])

    assert {name: each.version for name, each in found.items()} == {"foo-bar": "1.0", "other": "3.0"}


def test_requires__headers_only__markers_stay(tmp_path: Path) -> None:
    _install(tmp_path, "x", "1", "Requires-Dist: numpy>=2\nRequires-Dist: tomli; python_version < '3.11'\n")

    assert find_distributions([str(tmp_path)])["x"].requires == ("numpy>=2", "tomli; python_version < '3.11'")


def test_is_editable__only_what_its_installer_says(tmp_path: Path) -> None:
    _install(tmp_path, "e", "1", direct='{"dir_info": {"editable": true}, "url": "file:///x"}')
    _install(tmp_path, "d", "1", direct='{"dir_info": {}, "url": "file:///x"}')
    found = find_distributions([str(tmp_path)])

    assert found["e"].is_editable
    assert not found["d"].is_editable
    assert found["d"].read("nothing") is None

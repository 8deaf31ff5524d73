from __future__ import annotations

from pathlib import Path

import pytest

from wq_package.analyze.finder import FolderCache, find_module


def make_files(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def find(name: str, *path: Path) -> str | None:
    found = find_module(name, tuple(map(str, path)), FolderCache())
    return (
        None if found is None else f"{found.name}@{Path(found.file).relative_to(path[0].parent).as_posix()}"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pkg", "pkg@a/pkg/__init__.py"),
        ("pkg.sub", "pkg.sub@a/pkg/sub.py"),
        ("pkg.sub.attribute", "pkg.sub@a/pkg/sub.py"),
        ("pkg.attribute", "pkg@a/pkg/__init__.py"),
        ("single", "single@a/single.py"),
        ("both", "both@a/both/__init__.py"),
        ("native", "native@a/native.cpython-311-x86_64-linux-gnu.so"),
        ("over", "over@a/over.abi3.so"),
        ("space.one", "space.one@a/space/one.py"),
        ("space.two", "space.two@b/space/two.py"),
        ("space", "space@a/space"),
        ("regular", "regular@b/regular/__init__.py"),
        ("data", None),
        ("nosuch", None),
        ("bytecode", "bytecode@a/bytecode.pyc"),
    ],
)
def test_find_module__every_kind__is_found_as_python_does(
    tmp_path: Path, name: str, expected: str | None
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    make_files(
        a,
        *("pkg/__init__.py", "pkg/sub.py", "single.py", "both/__init__.py", "both.py"),
        *("native.cpython-311-x86_64-linux-gnu.so", "over.abi3.so", "over.py", "space/one.py"),
        *("regular/loose.py", "data/table.csv", "bytecode.pyc"),
    )
    make_files(b, "space/two.py", "regular/__init__.py")

    assert find(name, a, b) == expected


def test_find_module__deepest_file__names_its_root_and_parents(tmp_path: Path) -> None:
    make_files(tmp_path / "a", "ns/inner/__init__.py", "ns/inner/leaf.py")
    found = find_module("ns.inner.leaf", (str(tmp_path / "a"),), FolderCache())

    assert found is not None
    assert found.root == str(tmp_path / "a")
    assert found.parents == (str(tmp_path / "a/ns/inner/__init__.py"),)


def test_find_module__missing_folder__is_nothing(tmp_path: Path) -> None:
    assert find("x", tmp_path / "nosuch") is None

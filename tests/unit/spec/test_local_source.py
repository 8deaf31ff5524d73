from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from wq_package.spec.local_source import name_local_file, place_local_file


@pytest.mark.parametrize(
    ("place", "name", "placed"),
    [
        ("helpers.py", "helpers", "helpers.py"),
        ("pkg/sub/helpers.py", "pkg.sub.helpers", "pkg/sub/helpers.py"),
        ("pkg/_core.cpython-311-x86_64-linux-gnu.so", "pkg._core", "pkg/_core.so"),
        ("pkg/table.json", "pkg.table.json", "pkg/table.json"),
        ("pkg/table.v2.json", "pkg.table.v2.json", "pkg/table.v2.json"),
        ("pkg/_core.pyi", "pkg._core.pyi", "pkg/_core.pyi"),
        ("pkg/py.typed", "pkg.py.typed", "pkg/py.typed"),
        ("pkg/NAMES", "pkg.NAMES", "pkg/NAMES"),
        ("words.tar.gz", "words.tar.gz", "words.tar.gz"),
    ],
)
def test_place_local_file__what_was_named__goes_where_it_was(place: str, name: str, placed: str) -> None:
    assert name_local_file(PurePosixPath(place)) == name
    assert place_local_file(name, Path("/elsewhere", PurePosixPath(place).name)) == placed


@pytest.mark.parametrize(
    ("name", "file", "placed"),
    [
        ("alone", "demo_single.py", "alone.py"),
        ("pkg.table", "table.json", "pkg/table.json"),
        ("py", "py.py", "py.py"),
    ],
)
def test_place_local_file__named_by_a_user__goes_where_it_is_imported(
    name: str, file: str, placed: str
) -> None:
    assert place_local_file(name, Path(file)) == placed

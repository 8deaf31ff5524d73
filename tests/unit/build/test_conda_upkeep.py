from __future__ import annotations

import os
from pathlib import Path

import pytest

from wq_package.build.conda.upkeep import list_kept, mark_used, measure_kept, prune_kept


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder, age in (("packages/old", 100), ("packages/new", 0), ("pythons/p", 50)):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file").write_bytes(b"x" * 10)
        _age(tmp_path / folder, age)
    (tmp_path / "pythons/p/linked").hardlink_to(tmp_path / "packages/new/file")
    _age(tmp_path / "pythons/p", 50)
    return tmp_path


def _age(path: Path, seconds: int) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_list_kept__longest_unused_first(root: Path) -> None:
    assert [path.name for path in list_kept(root)] == ["old", "p", "new"]
    mark_used(root / "packages/old")
    assert list_kept(root)[-1].name == "old"


def test_list_kept__nothing_was_ever_built(tmp_path: Path) -> None:
    assert list_kept(tmp_path / "none") == []
    assert prune_kept(tmp_path / "none") == 0


def test_measure_kept__hard_links_count_once(root: Path) -> None:
    assert measure_kept(root) == 30


def test_prune_kept__by_age__keeps_what_was_used_lately(root: Path) -> None:
    assert prune_kept(root, older_than=70) == 10
    assert [path.name for path in list_kept(root)] == ["p", "new"]


def test_prune_kept__without_an_age__removes_all(root: Path) -> None:
    assert prune_kept(root) == 30
    assert list_kept(root) == []


def test_prune_kept__half_fetched_package__goes_whatever_its_age(root: Path) -> None:
    (root / "packages/.partial-1").mkdir()
    prune_kept(root, older_than=1000)
    assert not (root / "packages/.partial-1").exists()

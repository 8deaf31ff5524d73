from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from small_archives import make_archive, make_layer
from wq_package.archive.layer import StoredLayer
from wq_package.archive.unfinished import claim, is_abandoned, name_unfinished, remove_abandoned
from wq_package.archive.unpack import unpack_archive
from wq_package.archive.writer import write_archive


def make_old(path: Path, *, is_folder: bool = False) -> Path:
    if is_folder:
        (path / "lib").mkdir(parents=True)
    else:
        path.write_bytes(b"half")
    os.utime(path, (0, 0))
    return path


@pytest.mark.parametrize("is_folder", [False, True])
def test_remove_abandoned__nobody_holds_it__it_goes(is_folder: bool, tmp_path: Path) -> None:
    target = tmp_path / "env.tar.gz"
    left = make_old(name_unfinished(target), is_folder=is_folder)
    other = make_old(name_unfinished(tmp_path / "other.tar.gz"))
    remove_abandoned(target)
    assert not left.exists()
    assert other.exists()


@pytest.mark.parametrize("is_folder", [False, True])
def test_remove_abandoned__somebody_holds_it__it_stays(is_folder: bool, tmp_path: Path) -> None:
    target = tmp_path / "env.tar.gz"
    held = make_old(name_unfinished(target), is_folder=is_folder)
    descriptor = os.open(held, os.O_RDONLY)
    claim(descriptor)
    remove_abandoned(target)
    assert held.exists()
    os.close(descriptor)
    remove_abandoned(target)
    assert not held.exists()


def test_remove_abandoned__just_begun__stays(tmp_path: Path) -> None:
    new = name_unfinished(tmp_path / "env.tar.gz")
    new.write_bytes(b"")
    remove_abandoned(tmp_path / "env.tar.gz")
    assert new.exists()


@pytest.mark.parametrize(
    "name", [".env.tar.gz.mine.tmp", "env.tar.gz", ".env.tar.gz.0123456789abcdef.tmp.txt"]
)
def test_remove_abandoned__name_of_the_users_own__stays(name: str, tmp_path: Path) -> None:
    mine = make_old(tmp_path / name)
    remove_abandoned(tmp_path / "env.tar.gz")
    assert mine.exists()


def test_is_abandoned__link_or_pipe__is_left_alone(tmp_path: Path) -> None:
    make_old(tmp_path / "target")
    (tmp_path / "link").symlink_to("target")
    os.mkfifo(tmp_path / "pipe")
    os.utime(tmp_path / "pipe", (0, 0))
    assert not is_abandoned(tmp_path / "link")
    assert is_abandoned(tmp_path / "pipe")  # and nobody waits for a writer


def test_write_archive__holds_what_it_writes_and_removes_what_was_left(tmp_path: Path) -> None:
    output = tmp_path / "env.tar.zst"
    left = make_old(name_unfinished(output))
    layer, stored = make_layer({"lib/a": b"a"})
    path = tmp_path / "layer"
    path.write_bytes(stored)
    seen: list[bool] = []

    def look(layers: Sequence[StoredLayer]) -> str:
        (unfinished,) = (each for each in tmp_path.iterdir() if each.suffix == ".tmp")
        os.utime(unfinished, (0, 0))
        seen.extend((left.exists(), is_abandoned(unfinished)))
        return ""

    write_archive([(layer, path)], output, make_lock=look, python="3.11.7")
    assert seen == [False, False]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["env.tar.zst", "layer"]


def test_unpack_archive__removes_what_was_left(tmp_path: Path) -> None:
    left = make_old(name_unfinished(tmp_path / "env"), is_folder=True)
    archive, _ = make_archive(tmp_path, [make_layer({"lib/a": b"a"})])
    unpack_archive(archive, tmp_path / "env")
    assert not left.exists()
    assert (tmp_path / "env").is_dir()

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from wq_package.errors import QueueError
from wq_package.manager import BlockingManager, ManagerOptions
from wq_package.manager.passwords import make_password, save_password


def test_save_password__any__is_for_the_owner_alone_and_leaves_nothing_else(tmp_path: Path) -> None:
    password = make_password()
    path = tmp_path / "password"
    path.write_bytes(b"old")
    path.chmod(0o644)
    mask = os.umask(0)
    try:
        save_password(password, path)
    finally:
        os.umask(mask)

    assert path.read_bytes() == password
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_save_password__folder_missing__says_so(tmp_path: Path) -> None:
    with pytest.raises(QueueError, match="cannot be written: No such file") as caught:
        save_password(b"x", tmp_path / "missing" / "password")
    assert caught.value.hint


def test_save_password__is_a_folder__says_so_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "password").mkdir()

    with pytest.raises(QueueError, match="cannot be written"):
        save_password(b"x", tmp_path / "password")
    assert [path.name for path in tmp_path.iterdir()] == ["password"]


def test_manager__save_password__writes_its_own(tmp_path: Path) -> None:
    manager = BlockingManager()

    manager.save_password(str(tmp_path / "password"))

    assert (tmp_path / "password").read_bytes() == manager.password


def test_manager__without_a_password__has_none_to_save(tmp_path: Path) -> None:
    manager = BlockingManager(ManagerOptions(password=None))

    with pytest.raises(QueueError, match="no password") as caught:
        manager.save_password(tmp_path / "password")
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []

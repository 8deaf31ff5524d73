from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from wq_package.errors import ArchiveError
from wq_package.worker.store import default_store_root


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(folder))
    return folder


def test_default_store_root__named__is_made_there(tmp_path: Path) -> None:
    root = default_store_root({"WQ_PACKAGE_STORE": str(tmp_path / "a/b"), "HOME": "/nowhere"})
    assert root == tmp_path / "a/b"
    assert root.is_dir()


def test_default_store_root__cache_folder__comes_before_home(tmp_path: Path) -> None:
    variables = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path / "home")}
    assert default_store_root(variables) == tmp_path / "cache/wq-package/store"
    variables["XDG_CACHE_HOME"] = "relative"
    assert default_store_root(variables) == tmp_path / "home/.cache/wq-package/store"


def test_default_store_root__no_variables_at_all__is_private_in_the_temporary_folder(temporary: Path) -> None:
    root = default_store_root({})
    assert root == temporary / f"wq-package-{os.getuid()}" / "store"
    assert root.parent.stat().st_mode & 0o777 == 0o700


def test_default_store_root__home_cannot_be_written__falls_back(temporary: Path) -> None:
    assert default_store_root({"HOME": "/proc/nowhere"}).is_relative_to(temporary)


def test_default_store_root__named_folder_cannot_be_written__says_so() -> None:
    with pytest.raises(ArchiveError, match="cannot be used as the store") as caught:
        default_store_root({"WQ_PACKAGE_STORE": "/proc/nowhere"})
    assert caught.value.hint


def test_default_store_root__somebody_put_a_link_there__is_refused(temporary: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (temporary / f"wq-package-{os.getuid()}").symlink_to(tmp_path / "theirs")
    with pytest.raises(ArchiveError, match="belongs to somebody else"):
        default_store_root({})


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_default_store_root__somebody_else_owns_it__is_refused(temporary: Path) -> None:
    folder = temporary / f"wq-package-{os.getuid()}"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(ArchiveError, match="belongs to somebody else"):
        default_store_root({})

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from wq_package.worker.workspace import make_workspace, remove_abandoned


def abandon(folder: Path, name: str = "alive") -> None:
    """Make the folder of a worker that was killed long ago."""
    folder.mkdir()
    (folder / "t.1").mkdir()
    (folder / "t.1" / "output").write_text("left behind")
    (folder / name).touch()
    os.utime(folder / name, (0, 0))


def test_make_workspace__at_the_end__is_gone(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as workspace:
        assert workspace.parent == tmp_path.resolve()
    assert list(tmp_path.iterdir()) == []


def test_remove_abandoned__worker_was_killed__its_folder_goes(tmp_path: Path) -> None:
    abandon(tmp_path / f"worker-{os.getuid()}-1-abc")
    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("turns", range(1, 9))
def test_removal__killed_in_the_middle_of_it__the_next_worker_removes_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    def make_mortal(remove: Callable[..., None]) -> Callable[..., None]:
        def remove_or_die(*args: Any, **options: Any) -> None:
            removed.append(args)
            if len(removed) > turns:
                raise KeyboardInterrupt
            remove(*args, **options)

        return remove_or_die

    removed: list[object] = []
    folder = tmp_path / f"worker-{os.getuid()}-1-abc"
    abandon(folder)
    for name in ("a", "b", "z"):
        (folder / name).touch()
    os.utime(folder / "alive", (0, 0))
    with monkeypatch.context() as patch:
        for name in ("unlink", "rmdir"):
            patch.setattr(os, name, make_mortal(getattr(os, name)))
        with suppress(KeyboardInterrupt):
            remove_abandoned(tmp_path)
    if folder.exists():
        os.utime(folder, (0, 0))  # as if a minute had gone

    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_remove_abandoned__folder_without_a_lock_and_not_empty__stays(tmp_path: Path) -> None:
    folder = tmp_path / f"worker-{os.getuid()}-1-abc"
    abandon(folder)
    (folder / "alive").unlink()
    os.utime(folder, (0, 0))
    remove_abandoned(tmp_path)
    assert (folder / "t.1").exists()


def test_remove_abandoned__worker_that_lives__keeps_its_folder(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as workspace:
        os.utime(workspace / "alive", (0, 0))
        remove_abandoned(tmp_path)
        assert (workspace / "alive").exists()


def test_remove_abandoned__what_no_worker_of_ours_has_made__stays(tmp_path: Path) -> None:
    abandon(tmp_path / f"worker-{os.getuid()}-1-theirs", "cache")
    abandon(tmp_path / f"worker-{os.getuid() + 1}-1-abc")
    abandon(tmp_path / "else")
    remove_abandoned(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_remove_abandoned__one_that_has_just_begun__stays(tmp_path: Path) -> None:
    abandon(tmp_path / f"worker-{os.getuid()}-1-abc")
    os.utime(tmp_path / f"worker-{os.getuid()}-1-abc" / "alive")
    remove_abandoned(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1

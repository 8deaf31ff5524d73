from __future__ import annotations

from pathlib import Path

import pytest

from wq_package.worker.disk_room import DiskRoom
from wq_package.worker.options import WorkerOptions

PLENTY = 10**9


def look(
    folder: Path, known_mb: float, held_mb: float = 0, *, disk_mb: int = 1000, now: float = 100.0
) -> int | None:
    return DiskRoom(WorkerOptions("h", 1, disk_mb=disk_mb), folder, 0.0).find_change(known_mb, held_mb, now)


@pytest.fixture(autouse=True)
def _have_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 600 MB be free."""
    usage = type("Usage", (), {"free": 600 * 2**20})
    monkeypatch.setattr("wq_package.worker.discovery.shutil.disk_usage", lambda _: usage)


def test_find_change__much_less_is_free_and_nothing_runs__is_told(tmp_path: Path) -> None:
    assert look(tmp_path, 1000) == 600


def test_find_change__more_is_free__is_told_up_to_the_limit(tmp_path: Path) -> None:
    assert look(tmp_path, 300) == 600
    assert look(tmp_path, 300, disk_mb=500) == 500


def test_find_change__tasks_may_have_written_what_is_missing__is_no_change(tmp_path: Path) -> None:
    assert look(tmp_path, 1000, 400) is None
    assert look(tmp_path, 1000, 1000) is None
    assert look(tmp_path, 1000, 100) == 700


def test_find_change__little_more_or_less__is_no_news(tmp_path: Path) -> None:
    assert look(tmp_path, 650) is None
    assert look(tmp_path, 550) is None


def test_find_change__looks_every_few_seconds_only(tmp_path: Path) -> None:
    assert look(tmp_path, 1000, now=1.0) is None

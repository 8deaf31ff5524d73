"""A run with real workers leaves a log, and `wq-package report` turns it into a page that a real browser shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from manager_programs import PASSWORD, SECONDS, Programs
from wq_package.errors import QueueError
from wq_package.manager import BlockingManager, ManagerOptions
from wq_package.report import read_run
from wq_package.report.run import TryEnd
from wq_package.task import InputFile, OutputFile, Resources, Task

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def run_tasks(folder: Path, log: Path, count: int = 6) -> None:
    """Run some tasks on a worker of ours, with one that fails."""
    programs = Programs(folder)
    options = ManagerOptions(password=PASSWORD, transaction_log=log, name="my <project>")
    try:
        with BlockingManager(options) as manager:
            programs.start("ours", manager.port)
            for number in range(count):
                task = Task(
                    command="cat in > out" if number else "exit 3",
                    inputs=(InputFile("in", content=b"same"),),
                    outputs=(OutputFile("out", str(folder / f"out{number}")),) if number else (),
                    resources=Resources(1, 100, 100),
                    category="copy&paste",
                )
                manager.submit(task)
            for _ in range(count):
                assert manager.wait(SECONDS) is not None
    finally:
        programs.stop()


def report(log: Path, page: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wq_package_cli", "report", str(log), "-o", str(page)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def find_browser() -> str:
    """Find a browser; without one the test is skipped on a laptop and fails in CI."""
    for name in BROWSERS:
        found = shutil.which(name)
        if found is not None:
            return found
    if os.environ.get("CI"):
        pytest.fail("no browser: apt-get install chromium", pytrace=False)
    pytest.skip("no browser: apt-get install chromium")


def browse(folder: Path, page: Path, *options: str) -> str:
    command = [find_browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += ["--hide-scrollbars", "--window-size=1100,1600", f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [*command, *options, page.as_uri()], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_report__run_with_a_real_worker__is_shown_by_a_browser(tmp_path: Path) -> None:
    log, page = tmp_path / "run.log", tmp_path / "report.html"
    run_tasks(tmp_path, log)

    run = read_run(log.read_text().splitlines())
    assert sorted(attempt.end.value for attempt in run.tries) == ["done"] * 5 + ["failed"]
    assert (run.submitted, len(run.workers), run.files, run.outputs) == (6, 1, 6, 5)
    assert run.files_sent == 1
    assert all(attempt.used_memory is not None for attempt in run.tries if attempt.end is TryEnd.DONE)
    done = report(log, page)
    assert done.returncode == 0, done.stderr

    shown = browse(tmp_path, page, "--dump-dom")

    assert "Run of my &lt;project&gt;" in shown
    assert "copy&amp;paste" in shown
    for count, name in ((5, "tasks ended well"), (1, "tasks failed")):  # one left with exit code 3
        assert f"<b>{count}</b><span>{name}</span>" in shown
    assert shown.count("<svg") == page.read_text().count("<svg") >= 4
    browse(tmp_path, page, f"--screenshot={tmp_path / 'shot.png'}")
    assert len((tmp_path / "shot.png").read_bytes()) > 20_000


def test_report__no_log__says_so_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "other.log").write_text("hello\n")
    (tmp_path / "device.log").symlink_to("/dev/zero")

    for name, words in (
        ("missing.log", "cannot be read"), ("other.log", "no transaction log"), ("device.log", "is no file"),
    ):  # fmt: skip
        done = report(tmp_path / name, tmp_path / "report.html")
        assert done.returncode == 6
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "report.html").exists()


def test_transaction_log__disk_is_full__the_tasks_run(tmp_path: Path) -> None:
    run_tasks(tmp_path, Path("/dev/full"), count=2)


def test_transaction_log__cannot_be_opened__the_manager_does_not_start(tmp_path: Path) -> None:
    manager = BlockingManager(ManagerOptions(transaction_log=tmp_path / "missing" / "run.log"))
    with pytest.raises(QueueError, match="cannot be written"):
        manager.start()

from __future__ import annotations

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from wq_package.protocol import messages as m
from wq_package.worker.fetch import fetch
from wq_package.worker.process import Spawner

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="`curl` is missing")


def run_fetch(folder: Path, source: m.Url | m.Thirdget) -> tuple[str, Path]:
    place = folder / "place"

    async def run() -> str:
        spawner = Spawner(folder)
        try:
            with ThreadPoolExecutor(1) as threads:
                return await fetch(source, str(place), spawner, threads)
        finally:
            spawner.close()

    return asyncio.run(run()), place


@pytest.mark.parametrize("mode", [m.TransferMode.COPY, m.TransferMode.SYMLINK])
def test_fetch__path__is_copied(tmp_path: Path, mode: m.TransferMode) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_text("x")

    failure, place = run_fetch(tmp_path, m.Thirdget(mode, "n", str(tmp_path / "folder")))

    assert failure == ""
    assert (place / "x").read_text() == "x"
    assert not place.is_symlink()


def test_fetch__command__writes_where_it_is_told(tmp_path: Path) -> None:
    failure, place = run_fetch(tmp_path, m.Thirdget(m.TransferMode.COMMAND, "n", "echo a > %%; echo b >> %%"))

    assert failure == ""
    assert place.read_text() == "a\nb\n"


@needs_curl
def test_fetch__url__is_downloaded(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("x")

    failure, place = run_fetch(tmp_path, m.Url("n", f"file://{tmp_path}/source", 0o644))

    assert failure == ""
    assert place.read_text() == "x"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (m.Thirdget(m.TransferMode.COMMAND, "n", "exit 3"), "exit code 3"),
        (m.Thirdget(m.TransferMode.COMMAND, "n", "kill -9 $$"), "signal 9"),
        (m.Thirdget(m.TransferMode.COMMAND, "n", "true"), "left nothing"),
        (m.Thirdget(m.TransferMode.COPY, "n", "/nowhere/at/all"), "No such file"),
        (m.Thirdget(m.TransferMode.COPY, "n", "/one\0two"), "null byte"),
        (m.Thirdget(m.TransferMode.COMMAND, "n", "true one\0two"), "Invalid argument"),
        pytest.param(m.Url("n", "file:///nowhere/at/all", 0o644), "exit code", marks=needs_curl),
    ],
)
def test_fetch__cannot__says_why(tmp_path: Path, source: m.Url | m.Thirdget, words: str) -> None:
    assert words in run_fetch(tmp_path, source)[0]

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from wq_package.errors import QueueError
from wq_package.manager import staging
from wq_package.manager.staging import DigestCache, stage_input
from wq_package.task import InputFile


def stage_name(path: Path | None = None, content: bytes | None = None, *, cache: bool = True) -> str:
    given = InputFile("name", str(path) if path else None, content, cache)
    return stage_input(given, DigestCache()).cache_name


def test_stage_input__same_content__same_cache_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"content")
    assert stage_name(tmp_path / "a") == stage_name(tmp_path / "b") == stage_name(content=b"content")


def test_stage_input__executable__has_a_name_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    plain = stage_name(tmp_path / "a")
    (tmp_path / "a").chmod(0o755)
    assert stage_name(tmp_path / "a") == plain.replace("-644", "-755")


def test_stage_input__changed_file__gets_another_name(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    digests = DigestCache()
    first = stage_input(InputFile("a", str(path)), digests)
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    second = stage_input(InputFile("a", str(path)), digests)
    assert first.cache_name != second.cache_name
    assert first.stamp != second.stamp


def test_stage_input__file_was_written_a_moment_ago__is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "RACY_NS", 10**18)
    path, digests, names = tmp_path / "a", DigestCache(), set()
    now = time.time_ns()
    for content in (b"one", b"two"):
        path.write_bytes(content)
        os.utime(path, ns=(now, now))  # the file system's clock has not moved
        names.add(stage_input(InputFile("a", str(path)), digests).cache_name)
    assert len(names) == 2


def test_stage_input__not_cached__is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    staged = stage_input(InputFile("a", str(path), cache=False), DigestCache())
    assert (staged.cache_name, staged.size) == ("", 3)


def test_stage_input__folder__lists_everything_parents_first(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "sub" / "x.txt").write_bytes(b"1")
    (folder / "a b.txt").write_bytes(b"22")
    (folder / "link").symlink_to("a b.txt")
    os.mkfifo(folder / "pipe")
    staged = stage_input(InputFile("f", str(folder)), DigestCache())
    assert staged.entries is not None
    assert [(entry.name, entry.size, entry.is_folder) for entry in staged.entries] == [
        ("a b.txt", 2, False),
        ("link", 2, False),
        ("sub", 0, True),
        ("sub/deep", 0, True),
        ("sub/x.txt", 1, False),
    ]
    before = staged.cache_name
    (folder / "sub" / "x.txt").write_bytes(b"22")
    assert stage_name(folder) != before


@pytest.mark.parametrize("kind", ["absent", "unnamed pipe", "dangling", "loop", "tab"])
def test_stage_input__cannot_be_sent__one_sentence_and_a_hint(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "given"
    if kind == "unnamed pipe":
        os.mkfifo(path)
    elif kind != "absent":
        path.mkdir()
    if kind == "dangling":
        (path / "link").symlink_to("nowhere")
    elif kind == "loop":
        (path / "link").symlink_to(path)
    elif kind == "tab":
        (path / "a\tb").touch()
    with pytest.raises(QueueError) as caught:
        stage_name(path)
    assert caught.value.hint
    assert "input f" in str(caught.value)

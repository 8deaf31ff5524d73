from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from wq_package.errors import RemoteProtocolError
from wq_package.manager import bodies
from wq_package.manager.outputs import MOST_LEVELS, OutputWriter
from wq_package.manager.state.actions import Fetch


def make_writer(path: Path | None) -> OutputWriter:
    return OutputWriter(Fetch(1, 7, "out-7", "out.txt", str(path) if path else None))


def test_output_writer__file__appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.txt"
    writer = make_writer(path)
    writer.open_file("out-7")
    writer.write(b"one ")
    writer.write(b"two")
    writer.close_file()
    assert not path.exists()
    event = writer.finish()
    assert (event.is_missing, event.message, path.read_bytes()) == (False, "", b"one two")
    assert [entry.name for entry in path.parent.iterdir()] == ["out.txt"]


def test_output_writer__folder__is_merged_into_an_old_one(tmp_path: Path) -> None:
    path = tmp_path / "out"
    (path / "sub").mkdir(parents=True)
    (path / "sub" / "old").write_bytes(b"old")
    (path / "sub" / "x").write_bytes(b"old")
    writer = make_writer(path)
    writer.add_folder("out-7")
    writer.add_folder("out-7/sub")
    writer.open_file("out-7/sub/x")
    writer.write(b"new")
    writer.close_file()
    writer.add_folder("out-7/empty")
    assert not writer.finish().message
    assert sorted(str(each.relative_to(path)) for each in path.rglob("*")) == [
        "empty",
        "sub",
        "sub/old",
        "sub/x",
    ]
    assert (path / "sub" / "x").read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_output_writer__abandoned_half_way__leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_bytes(b"old")
    writer = make_writer(path)
    writer.open_file("out-7")
    writer.write(b"new")
    writer.abandon()
    assert list(tmp_path.iterdir()) == [path]
    writer.write(b"more")
    writer.close_file()
    writer.open_file("out-7/another")
    writer.finish()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_output_writer__missing__leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_bytes(b"old")
    writer = make_writer(path)
    writer.add_missing("out-7")
    assert writer.finish().is_missing
    assert path.read_bytes() == b"old"


def test_output_writer__given_up__nothing_is_left(tmp_path: Path) -> None:
    writer = make_writer(tmp_path / "out.txt")
    writer.open_file("out-7")
    writer.write(b"half")
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_output_writer__cannot_be_stored__is_told_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    writer = make_writer(tmp_path / "file" / "out.txt")
    writer.open_file("out-7")
    writer.write(b"data")
    writer.close_file()
    event = writer.finish()
    assert event.is_missing
    assert event.message.startswith("output file `")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_output_writer__no_path__hands_the_bytes_over() -> None:
    writer = make_writer(None)
    writer.open_file("out-7")
    writer.write(b"an")
    writer.write(b"swer")
    writer.close_file()
    assert writer.finish().content == b"answer"


@pytest.mark.parametrize(
    "name", ["other", "out-7/../x", "out-7/", "out-7//x", "out-7/./x", "out-70", "/out-7"]
)
def test_output_writer__another_path_than_asked_for__is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RemoteProtocolError):
        make_writer(tmp_path / "out").open_file(name)


def test_output_writer__old_folder_has_a_link_elsewhere__nothing_is_written_there(tmp_path: Path) -> None:
    elsewhere = tmp_path / "home"
    elsewhere.mkdir()
    path = tmp_path / "out"
    path.mkdir()
    (path / "latest").symlink_to(elsewhere)
    writer = make_writer(path)
    writer.add_folder("out-7")
    writer.open_file("out-7/latest/.profile")
    writer.write(b"evil")
    writer.close_file()
    assert "is a link to another place" in writer.finish().message
    assert list(elsewhere.iterdir()) == []
    assert sorted(tmp_path.iterdir()) == [elsewhere, path]


def test_output_writer__old_file_is_a_link__is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    path = tmp_path / "out"
    path.mkdir()
    (path / "x").symlink_to(tmp_path / "mine")
    writer = make_writer(path)
    writer.add_folder("out-7")
    writer.open_file("out-7/x")
    writer.write(b"new")
    writer.close_file()
    assert not writer.finish().message
    assert ((path / "x").read_bytes(), (tmp_path / "mine").read_bytes()) == (b"new", b"mine")


def test_output_writer__folders_nested_too_deeply__is_a_problem_of_this_output(tmp_path: Path) -> None:
    writer = make_writer(tmp_path / "out")
    for levels in (1, MOST_LEVELS, 1500):
        writer.add_folder("out-7" + "/a" * levels)
    writer.open_file("out-7" + "/a" * 1500)
    assert "nested too deeply" in writer.finish().message
    assert list(tmp_path.iterdir()) == []


def test_output_writer__cannot_be_stored__gives_its_disk_space_back_at_once(tmp_path: Path) -> None:
    writer = make_writer(tmp_path / "out")
    writer.open_file("out-7")
    writer.write(b"x" * 100_000)
    writer.close_file()
    writer.open_file("out-7")
    assert list(tmp_path.iterdir()) == []
    writer.write(b"x" * 100_000)
    assert writer.finish().message


def test_answer__large__does_not_wait_in_memory_for_its_end() -> None:
    writer = make_writer(None)
    writer.open_file("out-7")
    piece = bytes(256 * 1024)
    tracemalloc.start()
    try:
        for _ in range(128):
            writer.write(bytes(len(piece)))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 8 * 2**20
    writer.close_file()
    assert writer.finish().content == piece * 128


def test_answer__too_large__is_missing_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LARGEST_BODY", 10)
    writer = make_writer(None)
    writer.open_file("out-7")
    writer.write(bytes(11))
    event = writer.finish()
    assert event.is_missing
    assert "too large" in event.message

from __future__ import annotations

import os
import time
from hashlib import sha256
from pathlib import Path

import pytest

from wq_package.worker.store import Store
from wq_package.worker.store.files import FileName, FileShelf

BODY = b"some bytes\n" * 100
NAME = FileName(sha256(BODY).hexdigest(), 0o644)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _receive(shelf: FileShelf, body: bytes = BODY, name: FileName = NAME) -> str | None:
    file = shelf.receive(name)
    for piece in (body[:7], body[7:]):
        view = memoryview(piece)
        while view:
            view = view[file.write(view) :]
    return file.finish()


def _list(store: Store) -> list[str]:
    return sorted(path.name for path in (store.root / "files").iterdir())


def test_take__file_of_a_shelf_that_has_gone__is_there(store: Store) -> None:
    first = store.open_shelf()
    assert first.take(NAME, len(BODY)) is None
    assert _receive(first) is not None
    first.close()

    second = store.open_shelf()
    path = second.take(NAME, len(BODY))

    assert path is not None
    assert Path(path).read_bytes() == BODY
    assert not Path(path).stat().st_mode & 0o222


def test_take__program__can_be_run(store: Store) -> None:
    shelf = store.open_shelf()
    name = FileName(NAME.digest, 0o755)
    _receive(shelf, name=name)
    path = shelf.take(name, len(BODY))
    assert path is not None
    assert os.access(path, os.X_OK)
    assert shelf.take(NAME, len(BODY)) is None, "the same bytes with another mode are another file"


def test_receive__other_bytes_than_named__nobody_ever_sees_them(store: Store) -> None:
    shelf = store.open_shelf()
    assert _receive(shelf, BODY + b"!") is None
    assert shelf.take(NAME, len(BODY)) is None
    assert _list(store) == []


def test_receive__given_up__nothing_stays(store: Store) -> None:
    shelf = store.open_shelf()
    file = shelf.receive(NAME)
    file.write(memoryview(BODY))
    file.abort()
    assert _list(store) == []
    assert [
        path for path in (store.root / "held").rglob("*") if path.is_file() and path.suffix != ".lock"
    ] == []


def test_receive__two_workers_the_same_file__both_can_use_it(store: Store) -> None:
    one, two = store.open_shelf(), store.open_shelf()
    paths = [_receive(one), _receive(two)]
    one.close()
    assert paths[1] is not None
    assert Path(paths[1]).read_bytes() == BODY
    assert _list(store) == [str(NAME)]


@pytest.mark.parametrize("damage", ["changed", "shorter", "writable", "a link"])
def test_take__damaged_by_hand__is_noticed_and_goes(store: Store, tmp_path: Path, damage: str) -> None:
    first = store.open_shelf()
    _receive(first)
    first.close()
    place = store.root / "files" / str(NAME)
    times = place.stat()
    place.chmod(0o644)
    if damage == "changed":
        place.write_bytes(BODY.replace(b"some", b"SOME"))
    elif damage == "shorter":
        place.write_bytes(BODY[:-1])
    elif damage == "a link":
        (tmp_path / "elsewhere").write_bytes(BODY)
        place.unlink()
        place.symlink_to(tmp_path / "elsewhere")
    if damage in ("changed", "shorter"):
        place.chmod(0o444)
        os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))

    shelf = store.open_shelf()

    assert shelf.take(NAME, len(BODY)) is None
    assert _list(store) == []
    assert _receive(shelf) is not None
    assert _list(store) == [str(NAME)]


def test_evict__file_in_use__stays_until_its_user_has_gone(store: Store) -> None:
    shelf = store.open_shelf()
    _receive(shelf)
    assert store.size() > 0
    assert store.evict(0).lacking == store.size()
    assert _list(store) == [str(NAME)]
    shelf.close()
    size = store.size()
    assert store.evict(0).freed == size
    assert (_list(store), store.size()) == ([], 0)


def test_evict__least_recently_used_file_goes_first(store: Store) -> None:
    shelf = store.open_shelf()
    bodies = [BODY, BODY + b"2", BODY + b"3"]
    names = [FileName(sha256(body).hexdigest(), 0o644) for body in bodies]
    for body, name in zip(bodies, names, strict=True):
        _receive(shelf, body, name)
        old = time.time() - 1000 + names.index(name)
        os.utime(store.root / "files" / str(name), (old, old))
    shelf.close()
    second = store.open_shelf()
    second.take(names[0], len(bodies[0]))  # it counts as used now
    second.close()
    store.evict(store.size() - 1)
    assert _list(store) == sorted(str(name) for name in (names[0], names[2]))


def test_open__worker_was_killed_with_files_in_use__they_can_go(store: Store) -> None:
    shelf = store.open_shelf()
    _receive(shelf)
    shelf.close()
    left = store.root / "held" / "1-dead"
    left.mkdir()
    os.link(store.root / "files" / str(NAME), left / "1")
    left.with_name("1-dead.lock").touch()
    assert store.evict(0).freed == 0, "it may be alive"
    os.utime(left.with_name("1-dead.lock"), (0, 0))
    assert Store(store.root).evict(0).freed > 0
    assert _list(store) == []


def test_store__folder_of_files__is_protected_from_tasks(store: Store) -> None:
    assert {Path(folder).name for folder in store.trees} == {"layers", "envs", "files", "held"}
    assert all(Path(folder).is_dir() for folder in store.trees)

from __future__ import annotations

import io
import json
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from small_archives import PLACEHOLDER, make_archive, make_layer, read_tree
from wq_package.archive.layer import FIXED_MTIME, Relocation, RelocationMode, StoredLayer
from wq_package.archive.writer import compute_environment_digest
from wq_package.errors import ArchiveError, CorruptArchiveError
from wq_package.worker.store import Store
from wq_package.worker.store.eviction import Evicted

_Layer = tuple[StoredLayer, bytes]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def one() -> _Layer:
    return make_layer(
        {"bin/tool": b"#!/bin/sh\n", "lib/one": b"1" * 5000, "lib/link": ("one",), "var": None}, "one"
    )


@pytest.fixture
def two() -> _Layer:
    relocations = [
        Relocation("etc/place", RelocationMode.TEXT, PLACEHOLDER),
        Relocation("etc/place", RelocationMode.TEXT, "/other-placeholder"),
    ]
    text = f"{PLACEHOLDER} /other-placeholder".encode()
    return make_layer({"etc/place": text, "lib/two": b"2"}, "two", relocations=relocations)


def _add(store: Store, *layers: _Layer) -> list[str]:
    for layer, stored in layers:
        store.add_layer(layer.digest, layer.size, io.BytesIO(stored))
    return [layer.digest for layer, _ in layers]


def _compose(store: Store, *layers: _Layer) -> Path:
    digests = _add(store, *layers)
    return store.compose(compute_environment_digest(digests), digests, "{}\n")


def _list(store: Store, *kinds: str) -> list[str]:
    return sorted(path.name for kind in kinds for path in (store.root / kind).iterdir() if path.is_dir())


def test_find_missing_layers__some_are_here__names_the_others_once(
    store: Store, one: _Layer, two: _Layer
) -> None:
    digest, other = one[0].digest, two[0].digest
    assert store.find_missing_layers([digest, other, digest]) == (digest, other)
    _add(store, one)
    assert store.find_missing_layers([digest, other]) == (other,)


def test_add_layer__twice__reads_the_stream_to_its_end_and_keeps_the_first(store: Store, one: _Layer) -> None:
    _add(store, one)
    stream = io.BytesIO(one[1])
    inode = (store.root / "layers" / one[0].digest / "lib/one").stat().st_ino
    store.add_layer(one[0].digest, one[0].size, stream)
    assert stream.read() == b""
    assert (store.root / "layers" / one[0].digest / "lib/one").stat().st_ino == inode


@pytest.mark.parametrize("damage", ["cut", "altered", "another", "empty"])
def test_add_layer__damaged__is_refused_and_nothing_is_left(
    store: Store, one: _Layer, two: _Layer, damage: str
) -> None:
    stored = {
        "cut": one[1][:-5],
        "altered": one[1][:50] + b"!" + one[1][51:],
        "another": two[1],
        "empty": b"",
    }[damage]
    with pytest.raises(CorruptArchiveError):
        store.add_layer(one[0].digest, one[0].size, io.BytesIO(stored))
    assert store.find_missing_layers([one[0].digest]) == (one[0].digest,)
    assert _list(store, "layers", "tmp") == []
    assert not list((store.root / "tmp").iterdir())


class _Broken(io.RawIOBase):
    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        data = self._data.read(size)
        if not data:
            raise ConnectionResetError("the peer went away")
        return data


def test_add_layer__stream_breaks__nothing_is_left(store: Store, one: _Layer) -> None:
    with pytest.raises(ConnectionResetError):
        store.add_layer(one[0].digest, one[0].size, _Broken(one[1][:60]))  # type: ignore[arg-type]  # read is all it needs
    assert not list((store.root / "tmp").iterdir())
    assert not list((store.root / "layers").iterdir())


@pytest.mark.parametrize("digest", ["../../etc", "", "A" * 64, "x"])
def test_store__name_that_is_no_digest__is_refused_everywhere(store: Store, digest: str) -> None:
    for use in (
        lambda: store.find_missing_layers([digest]),
        lambda: store.add_layer(digest, 5, io.BytesIO()),
        lambda: store.find_environment(digest),
        lambda: store.lease(digest),
        lambda: store.compose(digest, [], ""),
    ):
        with pytest.raises(ArchiveError, match="not a digest"):
            use()


def test_compose__layers__make_one_tree_at_its_prefix(store: Store, one: _Layer, two: _Layer) -> None:
    prefix = _compose(store, one, two)
    assert read_tree(prefix) == {
        "bin/tool": b"#!/bin/sh\n",
        "etc/place": f"{prefix} {prefix}".encode(),
        "lib/link": "one",
        "lib/one": b"1" * 5000,
        "lib/two": b"2",
        "var": None,
    }
    assert (prefix / ".wq-package/index.json").read_text() == "{}\n"
    assert (prefix / ".wq-package/prefix").read_text() == f"{prefix}\n"
    assert {path.name for path in (prefix / ".wq-package/layers").iterdir()} == {
        "one-1.0.json",
        "two-1.0.json",
    }
    assert store.find_environment(prefix.name) == prefix


def test_compose__files__are_the_layers_own_and_read_only(store: Store, one: _Layer, two: _Layer) -> None:
    prefix = _compose(store, one, two)
    layer = store.root / "layers" / one[0].digest
    assert (prefix / "lib/one").samefile(layer / "lib/one")
    modes = {path.stat().st_mode & 0o222 for path in [prefix, *prefix.rglob("*")] if not path.is_symlink()}
    assert modes == {0}
    times = {path.stat().st_mtime_ns for path in prefix.rglob("*") if path.is_file()}
    assert times == {FIXED_MTIME * 10**9}


def test_compose__relocated_file__leaves_the_layer_as_it_was(store: Store, one: _Layer, two: _Layer) -> None:
    _compose(store, one, two)
    place = store.root / "layers" / two[0].digest / "etc/place"
    assert place.read_bytes() == f"{PLACEHOLDER} /other-placeholder".encode()


def test_compose__two_layers_have_one_file__the_later_counts(store: Store, one: _Layer) -> None:
    other = make_layer({"lib/one": b"other", "lib/link": b"no link"}, "other")
    prefix = _compose(store, one, other)
    assert (prefix / "lib/one").read_bytes() == b"other"
    assert (prefix / "lib/link").read_bytes() == b"no link"
    assert (store.root / "layers" / one[0].digest / "lib/one").read_bytes() == b"1" * 5000


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a/b": b""}, {"a": b""}),
        ({"a": b""}, {"a/b": b""}),
        ({"a": ("b",), "b/c": b""}, {"a/x": b""}),
        ({"a/b": b""}, {"a": ("b",)}),
    ],
)
def test_compose__a_folder_in_one_layer_and_not_in_another__is_refused(
    store: Store, first: dict[str, bytes | tuple[str] | None], second: dict[str, bytes | tuple[str] | None]
) -> None:
    with pytest.raises(CorruptArchiveError, match="folder"):
        _compose(store, make_layer(first, "first"), make_layer(second, "second"))
    assert _list(store, "envs", "tmp") == []


def test_compose__made_while_somebody_waited_for_it__is_taken_as_it_is(store: Store, one: _Layer) -> None:
    began = time.time() - 1.0
    prefix = _compose(store, one)
    (prefix / "lib").chmod(0o755)
    (prefix / "lib/one").unlink()
    digest = one[0].digest
    assert store.compose(prefix.name, [digest], "{}\n", since=began) == prefix
    assert not (prefix / "lib/one").exists()
    store.compose(prefix.name, [digest], "{}\n", since=time.time() + 1.0)
    assert (prefix / "lib/one").exists(), "it was there before, and is looked at"


def test_compose__again__is_the_same_tree(store: Store, one: _Layer) -> None:
    prefix = _compose(store, one)
    inode = prefix.stat().st_ino
    assert _compose(store, one) == prefix
    assert prefix.stat().st_ino == inode


def test_compose__a_layer_is_missing__says_which(store: Store, one: _Layer, two: _Layer) -> None:
    _add(store, one)
    digests = [one[0].digest, two[0].digest]
    with pytest.raises(ArchiveError, match=f"layer {digests[1][:12]} is not in the store"):
        store.compose(compute_environment_digest(digests), digests, "")
    assert _list(store, "envs", "tmp") == []


def test_compose__under_a_name_that_is_not_that_of_its_layers__is_refused(store: Store, one: _Layer) -> None:
    _add(store, one)
    with pytest.raises(ArchiveError, match="not made of the layers"):
        store.compose("0" * 64, [one[0].digest], "")


def test_compose__prefix_longer_than_a_placeholder__says_so_and_leaves_nothing(store: Store) -> None:
    layer = make_layer(
        {"lib/x": b"/short\0"}, relocations=[Relocation("lib/x", RelocationMode.BINARY, "/short")]
    )
    with pytest.raises(ArchiveError, match="has room for 6"):
        _compose(store, layer)
    assert _list(store, "envs", "tmp") == []


def test_compose__no_hard_links_here__copies(
    store: Store, one: _Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    prefix = _compose(store, one)
    assert (prefix / "lib/one").read_bytes() == b"1" * 5000
    assert not (prefix / "lib/one").samefile(store.root / "layers" / one[0].digest / "lib/one")
    assert _compose(store, one) == prefix


def _vandalise(path: Path, how: str) -> None:
    if how == "missing":
        path.unlink()
    elif how == "longer":
        path.chmod(0o644)
        with path.open("ab") as file:
            file.write(b"more")
    elif how == "same size":
        path.chmod(0o644)
        path.write_bytes(bytes(path.stat().st_size))
    else:
        path.unlink()
        path.symlink_to("/etc/passwd")


_WAYS = ["missing", "longer", "same size", "a link"]


@pytest.mark.parametrize("how", _WAYS)
def test_find_missing_layers__somebody_changed_a_layer__drops_it(store: Store, one: _Layer, how: str) -> None:
    _add(store, one)
    _vandalise(store.root / "layers" / one[0].digest / "lib/one", how)
    assert store.find_missing_layers([one[0].digest]) == (one[0].digest,)
    assert _list(store, "layers") == []
    _add(store, one)
    assert store.find_missing_layers([one[0].digest]) == ()


@pytest.mark.parametrize("what", ["lib/link", "var"])
def test_find_missing_layers__a_link_or_folder_was_changed__drops_it(
    store: Store, one: _Layer, what: str
) -> None:
    _add(store, one)
    path = store.root / "layers" / one[0].digest / what
    if path.is_symlink():
        path.unlink()
        path.symlink_to("elsewhere")
    else:
        path.rmdir()
    assert store.find_missing_layers([one[0].digest]) == (one[0].digest,)


@pytest.mark.parametrize("what", ["record", "garbled record", "manifest", "garbled manifest", "tree"])
def test_find_missing_layers__what_is_known_of_a_layer_was_damaged__drops_it(
    store: Store, one: _Layer, what: str
) -> None:
    _add(store, one)
    place = store.root / "layers" / one[0].digest
    manifest = place / ".wq-package/layers/one-1.0.json"
    if what == "record":
        place.with_suffix(".json").unlink()
    elif what == "garbled record":
        place.with_suffix(".json").write_text("[]")
    elif what == "manifest":
        manifest.unlink()
    elif what == "garbled manifest":
        manifest.unlink()
        manifest.write_text("{}")
    else:
        shutil.rmtree(place)
    assert store.find_missing_layers([one[0].digest]) == (one[0].digest,)
    assert _list(store, "layers") == []
    _add(store, one)
    assert store.find_missing_layers([one[0].digest]) == ()


@pytest.mark.parametrize("how", _WAYS)
def test_compose__somebody_changed_the_environment__is_repaired_where_it_is(
    store: Store, one: _Layer, two: _Layer, how: str
) -> None:
    prefix = _compose(store, one, two)
    before = read_tree(prefix)
    (prefix / "lib").chmod(0o755)
    _vandalise(prefix / "lib/one", how)
    _vandalise(prefix / "lib/two", "missing")
    _vandalise(prefix / "lib/link", "missing")
    (prefix / "etc").chmod(0o755)
    _vandalise(prefix / "etc/place", how)
    inode = prefix.stat().st_ino
    digests = [one[0].digest, two[0].digest]
    for missing in store.find_missing_layers(digests):
        _add(store, one if missing == one[0].digest else two)
    store.compose(prefix.name, digests, "{}\n")
    assert read_tree(prefix) == before
    assert prefix.stat().st_ino == inode
    assert not any(path.stat().st_mode & 0o222 for path in prefix.rglob("*") if not path.is_symlink())


def test_unpack__archive__is_composed_and_found_again(
    store: Store, tmp_path: Path, one: _Layer, two: _Layer
) -> None:
    path, index = make_archive(tmp_path, [one, two])
    prefix = store.unpack(path)
    assert prefix == store.find_environment(index.environment)
    assert store.unpack(path) == prefix
    assert json.loads((prefix / ".wq-package/index.json").read_text())["environment"] == index.environment


def test_unpack__second_archive__unpacks_only_what_is_new(store: Store, tmp_path: Path, one: _Layer) -> None:
    store.unpack(make_archive(tmp_path, [one], name="a")[0])
    inode = (store.root / "layers" / one[0].digest / "lib/one").stat().st_ino
    store.unpack(make_archive(tmp_path, [one, make_layer({"new": b""}, "new")], name="b")[0])
    assert (store.root / "layers" / one[0].digest / "lib/one").stat().st_ino == inode
    assert len(_list(store, "envs")) == 2


def _age(store: Store, *digests: str) -> None:
    for kind in ("layers", "envs"):
        for digest in digests:
            record = store.root / kind / f"{digest}.json"
            if record.exists():
                os.utime(record, (time.time() - 1000, time.time() - 1000))


def test_evict__least_recently_used__goes_until_it_fits(store: Store, one: _Layer, two: _Layer) -> None:
    old, new = _compose(store, one), _compose(store, two)
    _age(store, old.name, one[0].digest)
    assert store.evict(store.size() - 1).freed > 0
    assert _list(store, "envs") == [new.name]
    store.evict(0)
    assert _list(store, "envs", "layers", "tmp") == []
    assert store.size() == 0


def test_evict__it_fits__nothing_goes(store: Store, one: _Layer) -> None:
    _compose(store, one)
    assert store.evict(store.size()) == Evicted()
    assert len(_list(store, "envs", "layers")) == 2


def test_evict__leased__stays_until_the_lease_is_closed(store: Store, one: _Layer, two: _Layer) -> None:
    prefix = _compose(store, one)
    _add(store, two)
    with store.lease(prefix.name), store.lease("0" * 64, [two[0].digest]):
        assert store.evict(0) == Evicted(0, store.size())
        assert len(_list(store, "envs", "layers")) == 3
    store.evict(0)
    assert _list(store, "envs", "layers") == []


@pytest.mark.parametrize("kind", ["layers", "envs"])
def test_evict__somebody_was_killed_while_he_removed_a_tree__it_goes(
    store: Store, one: _Layer, kind: str
) -> None:
    prefix = _compose(store, one)
    name = prefix.name if kind == "envs" else one[0].digest
    (store.root / kind / f"{name}.json").unlink()
    with store.lease(prefix.name, [one[0].digest]):
        store.evict()
        assert len(_list(store, "envs", "layers")) == 2
    store.evict()
    assert name not in _list(store, kind)
    assert len(_list(store, "envs", "layers")) == 1


@pytest.mark.parametrize("by_unpacking", [False, True])
def test_compose__what_was_known_of_the_environment_is_lost__is_noted_again(
    store: Store, tmp_path: Path, one: _Layer, by_unpacking: bool
) -> None:
    archive, _ = make_archive(tmp_path, [one])
    prefix = store.unpack(archive)
    record = prefix.with_suffix(".json")
    before = record.read_text()
    record.unlink()
    assert (store.unpack(archive) if by_unpacking else _compose(store, one)) == prefix
    assert record.read_text() == before


def test_evict__used_by_a_lease__counts_as_used(store: Store, one: _Layer, two: _Layer) -> None:
    first, second = _compose(store, one), _compose(store, two)
    _age(store, first.name, second.name, one[0].digest, two[0].digest)
    store.lease(first.name).close()
    store.evict(store.size() - 1)
    assert _list(store, "envs") == [first.name]


def test_evict__disk_should_have_more_free_than_it_can__empties_the_store(store: Store, one: _Layer) -> None:
    _compose(store, one)
    assert store.evict(free_bytes=2**60).lacking > 0
    assert _list(store, "envs", "layers") == []


def test_size__shared_layers__count_once(store: Store, one: _Layer, two: _Layer) -> None:
    _compose(store, one)
    single = store.size()
    assert single >= 5000
    _compose(store, one, two)
    assert store.size() - single < 60_000
    assert store.size() - single > 0


def test_store__opened_after_a_crash__removes_what_was_not_finished(store: Store) -> None:
    for token, age in (("1-dead", 1000), ("2-new", 0)):
        (store.root / "tmp" / token / "layer").mkdir(parents=True)
        lock = store.root / "tmp" / f"{token}.lock"
        lock.touch()
        os.utime(lock, (time.time() - age, time.time() - age))
    Store(store.root)
    assert sorted(path.name for path in (store.root / "tmp").iterdir()) == ["2-new", "2-new.lock"]


def test_store__folder_cannot_be_made__says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveError, match="cannot be used") as caught:
        Store(tmp_path / "file" / "store")
    assert caught.value.hint


def _names(paths: Iterable[Path]) -> set[str]:
    return {path.name for path in paths}


def test_store__root__is_for_this_user_alone(store: Store) -> None:
    assert _names(store.root.iterdir()) == {"envs", "files", "held", "layers", "locks", "tmp"}
    assert {path.stat().st_mode & 0o077 for path in store.root.iterdir()} == {0}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_store__folder_in_it_of_somebody_else__is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    planted = tmp_path / "store" / "layers"
    planted.mkdir()
    os.chown(planted, 12345, 12345)
    with pytest.raises(ArchiveError, match="somebody else"):
        Store(tmp_path / "store")
    os.chown(tmp_path / "store", 12345, 12345)  # as where root is nobody to a file server
    assert Store(tmp_path / "store").find_missing_layers(()) == ()

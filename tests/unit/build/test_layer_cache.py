from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from wq_package.archive.layer import Compression, LayerEntry, LayerHeader, LayerKind, StoredLayer
from wq_package.archive.writer import write_layer
from wq_package.build.cache_upkeep import list_layers, prune_layers, verify_layers
from wq_package.build.layer_cache import CachedLayer, LayerCache, compute_key, default_cache_root
from wq_package.errors import BuildError, DiskFullError

_KEY = compute_key("a")


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    return LayerCache(tmp_path / "cache")


def _add(cache: LayerCache, name: str, key: str, watched: tuple[Path, ...] = ()) -> CachedLayer:
    def write(sink: BinaryIO) -> StoredLayer:
        header = LayerHeader(LayerKind.WHEEL, name, "1")
        entries = [LayerEntry(f"{name}.py", 0o644, name.encode() * 100)]
        return write_layer(header, entries, (), sink, Compression.ZSTD)

    return cache.add(key, write, requires=("numpy",), watched=watched)


def _list_files(cache: LayerCache) -> set[str]:
    return {str(path.relative_to(cache.root)) for path in cache.root.rglob("*") if path.is_file()}


def test_find__after_add__gives_the_layer(cache: LayerCache) -> None:
    added = _add(cache, "a", _KEY)

    assert cache.find(_KEY, Compression.ZSTD) == added
    assert added.path.stat().st_size == added.stored.stored_size
    assert added.requires == ("numpy",)


def test_find__other_key_or_compression__none(cache: LayerCache) -> None:
    _add(cache, "a", _KEY)

    assert cache.find(compute_key("b"), Compression.ZSTD) is None
    assert cache.find(_KEY, Compression.GZIP) is None


@pytest.mark.parametrize(
    "content", [b"", b"not json", b"[]", b'{"digest": 1, "watched": [], "requires": []}']
)
def test_find__damaged_key__none(cache: LayerCache, content: bytes) -> None:
    _add(cache, "a", _KEY)
    (cache.root / "keys" / f"{_KEY}.json").write_bytes(content)

    assert cache.find(_KEY, Compression.ZSTD) is None


def test_find__truncated_layer__none(cache: LayerCache) -> None:
    added = _add(cache, "a", _KEY)
    os.truncate(added.path, added.stored.stored_size - 1)

    assert cache.find(_KEY, Compression.ZSTD) is None


def test_find__watched_file_changed__none(cache: LayerCache, tmp_path: Path) -> None:
    library = tmp_path / "libx.so"
    library.write_text("old")
    _add(cache, "a", _KEY, watched=(library,))
    assert cache.find(_KEY, Compression.ZSTD)

    library.write_text("newer")

    assert cache.find(_KEY, Compression.ZSTD) is None


def test_link__another_key__leads_to_the_same_layer(cache: LayerCache) -> None:
    added = _add(cache, "a", _KEY)
    other = compute_key("other")

    assert not cache.has_key(other)
    cache.link(other, added)

    assert cache.has_key(other)
    assert cache.find(other, Compression.ZSTD) == added


def test_add__writing_fails__leaves_nothing(cache: LayerCache) -> None:
    def fail(sink: BinaryIO) -> StoredLayer:
        sink.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(DiskFullError, match="No space left") as caught:
        cache.add(_KEY, fail)

    assert caught.value.hint
    assert _list_files(cache) == set()


def _fail_in_staging(cache: LayerCache) -> None:
    with cache.make_staging() as folder:
        (folder / "x").write_text("x")
        raise KeyError


def test_make_staging__whatever_happens__is_removed(cache: LayerCache) -> None:
    with pytest.raises(KeyError):
        _fail_in_staging(cache)

    assert _list_files(cache) == set()
    assert list((cache.root / "tmp").iterdir()) == []


def test_make_staging__folder_of_a_killed_builder__is_removed(cache: LayerCache) -> None:
    abandoned = cache.root / "tmp" / "abandoned"
    abandoned.mkdir()
    (cache.root / "locks" / "staging-abandoned").touch()

    with cache.make_staging() as mine:
        assert mine.is_dir()
        assert not abandoned.exists()


def test_make_staging__folder_of_a_living_builder__stays(cache: LayerCache) -> None:
    with cache.make_staging() as first, cache.make_staging():
        assert first.is_dir()


def test_notes__are_remembered(cache: LayerCache) -> None:
    assert not cache.has_note("n")
    cache.add_note("n")
    assert LayerCache(cache.root).has_note("n")
    assert cache.read_note("n") == ""
    cache.add_note("n", "text")
    assert cache.read_note("n") == "text"
    assert cache.read_note("m") is None


@pytest.mark.parametrize("suffix", ["layer", "json"])
def test_staging__file_of_a_killed_build__is_removed_after_a_while(cache: LayerCache, suffix: str) -> None:
    old, new = cache.root / "tmp" / f"old.{suffix}", cache.root / "tmp" / f"new.{suffix}"
    old.write_bytes(b"half a layer")
    new.write_bytes(b"perhaps just begun")
    os.utime(old, (0, 0))

    with cache.make_staging():
        assert not old.exists()
        assert new.exists()


def test_staging__old_file_that_is_still_written__stays(cache: LayerCache) -> None:
    file = cache.root / "tmp" / "slow.layer"
    with file.open("xb") as writer:
        fcntl.flock(writer, fcntl.LOCK_SH)
        os.utime(file, (0, 0))
        with cache.make_staging():
            assert file.exists()


def test_cache__root_is_a_file__says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")

    with pytest.raises(BuildError) as caught:
        LayerCache(tmp_path / "cache")

    assert "WQ_PACKAGE_CACHE" in str(caught.value.hint)


def test_default_cache_root__variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WQ_PACKAGE_CACHE", str(tmp_path))
    assert default_cache_root() == tmp_path
    monkeypatch.delenv("WQ_PACKAGE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert default_cache_root() == Path("/xdg/wq-package/build")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_cache_root() == Path("/home/me/.cache/wq-package/build")


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def find_no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("WQ_PACKAGE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", find_no_home)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"wq-package-{os.getuid()}"


def test_default_cache_root__no_home__is_a_private_temporary_folder(homeless: Path) -> None:
    assert default_cache_root() == homeless / "build"
    assert homeless.stat().st_mode & 0o777 == 0o700
    assert default_cache_root() == homeless / "build"


def test_default_cache_root__others_could_write_there__is_refused(homeless: Path) -> None:
    homeless.mkdir()
    homeless.chmod(0o777)

    with pytest.raises(BuildError, match="private") as caught:
        default_cache_root()

    assert "WQ_PACKAGE_CACHE" in str(caught.value.hint)


def test_verify_layers__damaged_one__is_removed(cache: LayerCache) -> None:
    good, bad = _add(cache, "good", _KEY), _add(cache, "bad", compute_key("bad"))
    data = bytearray(bad.path.read_bytes())
    data[len(data) // 2] ^= 1
    bad.path.write_bytes(data)

    sound, removed = verify_layers(cache)

    assert [layer.stored for layer in sound] == [good.stored]
    assert removed == [bad.path]
    assert cache.find(compute_key("bad"), Compression.ZSTD) is None


def test_prune_layers__limit__the_least_recently_used_go_first(cache: LayerCache) -> None:
    layers = [_add(cache, name, compute_key(name)) for name in ("old", "middle", "new")]
    for age, layer in enumerate(reversed(layers)):
        os.utime(f"{layer.path}.json", (1000 - age, 1000 - age))

    pruned = prune_layers(cache, limit=layers[2].stored.stored_size + layers[1].stored.stored_size)

    assert pruned.layers == 1
    assert [kept.stored for kept in list_layers(cache)] == [layers[2].stored, layers[1].stored]
    assert cache.find(compute_key("old"), Compression.ZSTD) is None


def test_prune_layers__age__only_old_ones_go(cache: LayerCache) -> None:
    old, new = _add(cache, "old", _KEY), _add(cache, "new", compute_key("new"))
    os.utime(f"{old.path}.json", (1000, 1000))

    prune_layers(cache, older_than=3600)

    assert [kept.stored for kept in list_layers(cache)] == [new.stored]


def test_prune_layers__no_limit__nothing_is_left(cache: LayerCache) -> None:
    _add(cache, "a", _KEY)
    cache.add_note("n")
    (cache.root / "tmp" / "half.layer").write_text("half")

    assert prune_layers(cache).layers == 1

    assert _list_files(cache) == {"locks/use"}

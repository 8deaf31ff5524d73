from __future__ import annotations

import os
from pathlib import Path

import pytest

from wq_package.archive.unfinished import name_unfinished
from wq_package.build.cache_upkeep import prune_layers
from wq_package.build.kept_archives import KeptArchives
from wq_package.build.layer_cache import LayerCache
from wq_package.errors import BuildError


@pytest.fixture
def kept(tmp_path: Path) -> KeptArchives:
    archives = KeptArchives(tmp_path)
    archives.make_folder()
    return archives


def test_make_folder__cannot_be_made__says_what_to_do() -> None:
    with pytest.raises(BuildError, match="`/proc/none/environments` cannot be made") as caught:
        KeptArchives(Path("/proc/none")).make_folder()
    assert "cache_dir" in str(caught.value.hint)


def add(kept: KeptArchives, name: str, used: float) -> Path:
    path = kept.folder / name
    path.write_bytes(bytes(10))
    os.utime(path, (used, used))
    return path


def list_names(kept: KeptArchives) -> list[str]:
    return [archive.path.name for archive in kept.list_archives()]


def test_prune__too_many__the_least_recently_used_go(kept: KeptArchives) -> None:
    for used, name in enumerate(("oldest.tar.zst", "old.tar.zst", "new.tar.zst")):
        add(kept, name, used)
    kept.prune(limit=20)
    assert list_names(kept) == ["new.tar.zst", "old.tar.zst"]


def test_prune__held_by_another_program__stays_and_others_go_in_its_place(
    kept: KeptArchives, tmp_path: Path
) -> None:
    held = add(kept, "held.tar.zst", 0)
    other = KeptArchives(tmp_path)
    assert other.hold(held)
    os.utime(held, (0, 0))
    add(kept, "new.tar.zst", 1)
    kept.prune(limit=0)
    assert list_names(kept) == ["held.tar.zst"]
    other.close()
    kept.prune(limit=0)
    assert list_names(kept) == []


def test_hold__is_the_last_use(kept: KeptArchives) -> None:
    wanted, other = add(kept, "wanted.tar.zst", 1), add(kept, "other.tar.zst", 2)
    assert kept.hold(wanted)
    kept.close()
    kept.prune(limit=10)
    assert wanted.exists()
    assert not other.exists()


def test_hold__replaced_by_another_program__is_held_as_it_is_now(kept: KeptArchives, tmp_path: Path) -> None:
    path = add(kept, "env.tar.zst", 1)
    assert kept.hold(path)
    add(kept, "newer", 2).replace(path)
    assert kept.hold(path)
    KeptArchives(tmp_path).prune(limit=0)
    assert path.exists()
    kept.close()


def test_hold__is_not_there__says_so(kept: KeptArchives) -> None:
    assert not kept.hold(kept.folder / "none.tar.zst")


def test_prune__left_by_a_killed_program__goes(kept: KeptArchives) -> None:
    left = (name_unfinished(kept.folder / "env.tar.zst"), kept.folder / ".0123456789abcdef.tar.zst")
    for path in left:
        add(kept, path.name, 0)
    begun = name_unfinished(kept.folder / "env.tar.zst")
    begun.write_bytes(b"")
    kept.prune()
    assert [path.name for path in kept.folder.iterdir()] == [begun.name]


def test_prune_layers__archives_too__but_not_those_that_are_held(kept: KeptArchives, tmp_path: Path) -> None:
    add(kept, "free.tar.zst", 1)
    held = add(kept, "held.tar.zst", 1)
    assert kept.hold(held)
    pruned = prune_layers(LayerCache(tmp_path))
    assert (pruned.layers, pruned.archives, pruned.size) == (0, 1, 10)
    assert list_names(kept) == ["held.tar.zst"]
    kept.close()


def test_prune_layers__killed_build__leaves_no_folder(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path)
    (cache.root / "tmp" / "left").mkdir()
    (cache.root / "locks" / "staging-left").touch()
    prune_layers(cache)
    assert not (cache.root / "tmp" / "left").exists()

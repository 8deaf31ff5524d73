"""Look after the layer cache: list it, check it, make it smaller (shell module).

Knows the folders of `wq_package.build.layer_cache` and of `wq_package.build.kept_archives`. Removes nothing while a build runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wq_package.archive.index_text import TextError, parse_stored_layer
from wq_package.archive.layer import StoredLayer
from wq_package.build.conda.upkeep import prune_kept
from wq_package.build.kept_archives import KeptArchive, KeptArchives, remove_archive
from wq_package.build.layer_cache import LayerCache, compute_file_digest

__all__ = ["KeptLayer", "Pruned", "list_layers", "prune_layers", "verify_layers"]


@dataclass(frozen=True, slots=True)
class KeptLayer:
    """A layer in the cache.

    Attributes:
        used: when a build last used it, in seconds since 1970.
    """

    stored: StoredLayer
    path: Path
    used: float

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.stored.stored_size


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed from the cache.

    Attributes:
        size: bytes of both.
    """

    layers: int
    archives: int
    size: int


def list_layers(cache: LayerCache) -> list[KeptLayer]:
    """List the layers, the most recently used first; what cannot be read is left out."""
    return sorted(_iter_layers(cache), key=lambda layer: (-layer.used, layer.stored.digest))


def _iter_layers(cache: LayerCache) -> Iterator[KeptLayer]:
    for note in (cache.root / "layers").glob("*.json"):
        path = note.with_suffix("")
        with suppress(OSError, TextError):
            path.stat()
            yield KeptLayer(parse_stored_layer(note.read_bytes()), path, note.stat().st_mtime)


def verify_layers(cache: LayerCache) -> tuple[list[KeptLayer], list[Path]]:
    """Check every byte of every layer; damaged ones are removed, and made again when they are needed.

    Returns:
        The sound layers, and the files that were removed.
    """
    sound: list[KeptLayer] = []
    removed: list[Path] = []
    with cache.use():
        known = {layer.path: layer for layer in _iter_layers(cache)}
        for path in sorted((cache.root / "layers").iterdir()):
            if path.suffix in {".json", ".stamp"}:
                continue
            layer = known.get(path)
            if layer is not None and compute_file_digest(layer.path) == layer.stored.stored_digest:
                sound.append(layer)
            else:
                _remove(path)
                removed.append(path)
    return sound, removed


def prune_layers(cache: LayerCache, *, limit: int | None = None, older_than: float | None = None) -> Pruned:
    """Remove layers and archives that were not used for long, and all that killed builders left behind.

    Waits for builds that are running. Without `limit` and `older_than`, everything goes, but for archives that a program holds.

    Args:
        cache: what to make smaller.
        limit: bytes that may stay; what was not used for longest goes first.
        older_than: seconds; what was used since then stays.
    """
    with cache.own():
        kept: list[KeptLayer | KeptArchive] = [*list_layers(cache), *KeptArchives(cache.root).list_archives()]
        gone = _choose(sorted(kept, key=lambda each: -each.used), limit, older_than)
        layers = [each for each in gone if isinstance(each, KeptLayer)]
        for layer in layers:
            _remove(layer.path)
        archives = [each for each in gone if isinstance(each, KeptArchive) and remove_archive(each)]
        _remove_leftovers(cache)
        if limit is None or older_than is not None:
            prune_kept(cache.root / "conda", older_than=older_than)
    size = sum(each.size for each in layers) + sum(each.size for each in archives)
    return Pruned(len(layers), len(archives), size)


def _choose(
    kept: list[KeptLayer | KeptArchive], limit: int | None, older_than: float | None
) -> list[KeptLayer | KeptArchive]:
    if limit is None and older_than is None:
        return kept
    now = time.time()
    gone: list[KeptLayer | KeptArchive] = []
    total = 0
    for each in kept:
        is_old = older_than is not None and now - each.used > older_than
        if is_old or (limit is not None and total + each.size > limit):
            gone.append(each)
        else:
            total += each.size
    return gone


def _remove(path: Path) -> None:
    for name in (path, path.with_name(path.name + ".json"), path.with_name(path.name + ".stamp")):
        with suppress(OSError):
            name.unlink()


def _remove_leftovers(cache: LayerCache) -> None:
    """Remove keys that lead to no layer, locks, and what was being written; nobody else is here now."""
    cache.remove_abandoned()
    KeptArchives(cache.root).remove_unfinished()
    kept = {path.name.split(".")[0] for path in (cache.root / "layers").iterdir()}
    for key in (cache.root / "keys").iterdir():
        if key.suffix == ".note" or _read_digest(key) not in kept:
            with suppress(OSError):
                key.unlink()
    for file in [*(cache.root / "tmp").iterdir(), *(cache.root / "locks").iterdir()]:
        if file.is_file() and file.name != "use" and not file.name.startswith("staging-"):
            with suppress(OSError):
                file.unlink()


def _read_digest(key: Path) -> str:
    try:
        return str(json.loads(key.read_bytes())["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""

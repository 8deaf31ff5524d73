"""What is known of the trees in a store: a record beside each (shell module).

A record is there before its tree, and goes before it: a tree without one is what somebody left who was killed while he removed it.
Knows nothing of what is in a tree.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from wq_package.archive.index_text import is_digest
from wq_package.worker.store.eviction import Kept
from wq_package.worker.store.locks import try_lock

__all__ = ["find_lease", "find_record", "is_unknown", "iter_kept_trees", "iter_unknown_trees", "write_record"]

_LEASES = {"envs": "env", "layers": "layer"}
"""The kinds of trees, and of what is leased."""


def find_record(place: Path) -> Path:
    """Tell where the record of a tree is."""
    return place.with_suffix(".json")


def find_lease(place: Path) -> Path:
    """Tell which file whoever uses a tree has locked."""
    root, kind = place.parents[1], place.parent.name
    return root / "locks" / f"{place.name}.{_LEASES[kind]}"


def write_record(place: Path, record: Mapping[str, object], scratch: Path) -> None:
    """Write what is known of a tree; it is there as a whole, or not at all."""
    note = scratch / f"record-{secrets.token_hex(4)}"
    note.write_text(json.dumps(record, sort_keys=True))
    note.replace(find_record(place))


def is_unknown(place: Path) -> bool:
    """Tell whether a tree is there, and no record of it."""
    return not find_record(place).exists() and place.is_dir()


def iter_unknown_trees(root: Path) -> Iterator[Path]:
    """Find the trees of a store that have no record."""
    for kind in _LEASES:
        for place in list((root / kind).iterdir()):
            if is_digest(place.name) and is_unknown(place):
                yield place


def iter_kept_trees(root: Path) -> Iterator[Kept]:
    """List the trees of a store."""
    for kind in _LEASES:
        for path in sorted((root / kind).glob("*.json")):
            kept = _load_kept(path.with_suffix(""))
            if kept is not None:
                yield kept


def _load_kept(place: Path) -> Kept | None:
    path = find_record(place)
    try:
        if not place.is_dir() or not is_digest(place.name):
            return None
        record = json.loads(path.read_bytes())
        used = path.stat().st_mtime
        with try_lock(find_lease(place)) as is_free:
            layers = tuple(record.get("layers", ()))
            is_environment = place.parent.name == "envs"
            return Kept(place.name, int(record["size"]), used, layers, is_environment, not is_free)
    except (OSError, ValueError, KeyError, TypeError):
        return None

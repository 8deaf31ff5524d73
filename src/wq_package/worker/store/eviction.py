"""Which environments, layers and files go when the store is too large (logic module).

Sizes, times and leases in, names out. What an environment costs is what it does not share with its layers; a layer that an
environment is made of frees nothing while that environment is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Kept:
    """An environment, a layer or a file in the store.

    Attributes:
        digest: its name, which for a file has more than the digest.
        size: bytes that its removal frees, for a layer if no environment has it.
        used: when it was last used, in seconds since the epoch.
        layers: digests of what an environment is made of; empty for a layer.
        is_leased: whether a process relies on it.
    """

    digest: str
    size: int
    used: float
    layers: tuple[str, ...] = ()
    is_environment: bool = False
    is_leased: bool = False
    is_file: bool = False


@dataclass(frozen=True, slots=True)
class Evicted:
    """What became of an eviction, in bytes.

    Attributes:
        freed: what was removed.
        lacking: what should have been, and is in use.
    """

    freed: int = 0
    lacking: int = 0


def choose_evictions(kept: Iterable[Kept], excess: int) -> tuple[Kept, ...]:
    """Choose what to remove, in order, so that at least `excess` bytes are freed if that can be.

    The least recently used goes first. A layer is as recently used as the environments that it is in.
    """
    left = _age_layers(list(kept))
    chosen: list[Kept] = []
    while excess > 0 and (candidate := _find_oldest(left)) is not None:
        left.remove(candidate)
        chosen.append(candidate)
        excess -= candidate.size
    return tuple(chosen)


def _age_layers(kept: list[Kept]) -> list[Kept]:
    used: dict[str, float] = {}
    for item in kept:
        for digest in item.layers:
            used[digest] = max(used.get(digest, 0.0), item.used)
    return [
        item if item.layers else replace(item, used=max(item.used, used.get(item.digest, 0.0)))
        for item in kept
    ]


def _find_oldest(kept: list[Kept]) -> Kept | None:
    needed = {digest for item in kept for digest in item.layers}
    free = [item for item in kept if not item.is_leased and item.digest not in needed]
    return min(free, key=lambda item: (item.used, item.is_environment, item.digest), default=None)

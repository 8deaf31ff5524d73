from __future__ import annotations

from wq_package.worker.store.eviction import Kept, choose_evictions


def _env(name: str, used: float, *layers: str, leased: bool = False) -> Kept:
    return Kept(name, 1, used, layers, is_environment=True, is_leased=leased)


def _names(kept: list[Kept], excess: int) -> list[str]:
    return [item.digest for item in choose_evictions(kept, excess)]


def test_choose_evictions__nothing_in_excess__chooses_nothing() -> None:
    assert _names([Kept("a", 10, 1)], 0) == []


def test_choose_evictions__least_recently_used_first_until_enough() -> None:
    kept = [Kept("new", 10, 3), Kept("old", 10, 1), Kept("middle", 10, 2)]
    assert _names(kept, 11) == ["old", "middle"]
    assert _names(kept, 1000) == ["old", "middle", "new"]


def test_choose_evictions__layer_of_an_environment__stays_while_that_is_there() -> None:
    kept = [_env("env", 5, "a"), Kept("a", 10, 1), Kept("b", 10, 6)]
    assert _names(kept, 5) == ["env", "a"]


def test_choose_evictions__layer__is_as_recent_as_its_environments() -> None:
    kept = [_env("env", 5, "a", leased=True), Kept("a", 10, 1), Kept("b", 10, 4)]
    assert _names(kept, 100) == ["b"]


def test_choose_evictions__shared_layer__goes_after_the_last_environment() -> None:
    kept = [_env("one", 1, "a", "b"), _env("two", 2, "b"), Kept("a", 10, 0), Kept("b", 10, 0)]
    assert _names(kept, 1000) == ["one", "a", "two", "b"]
    assert _names(kept, 5) == ["one", "a"]


def test_choose_evictions__leased__never_goes() -> None:
    kept = [_env("env", 1, "a", leased=True), Kept("a", 10, 1), Kept("b", 10, 1, is_leased=True)]
    assert _names(kept, 1000) == []

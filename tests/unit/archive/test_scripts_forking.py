from __future__ import annotations

import os
import types
from collections.abc import Callable

import pytest

from wq_package.archive.scripts.warm import forking
from wq_package.archive.scripts.warm.forking import ForkHooks

BARE, PYTHONS = 1001, 1002


@pytest.fixture(autouse=True)
def _fork_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "register_at_fork", lambda **_hooks: None)
    monkeypatch.setattr(os, "fork", lambda: PYTHONS)
    monkeypatch.setattr(forking, "find_bare_fork", lambda: lambda: BARE)
    monkeypatch.setattr(forking, "_thread", types.SimpleNamespace(_count=lambda: 0))
    monkeypatch.setattr(forking, "sys", types.SimpleNamespace(modules={}))


def _make_hook(done: list[str], word: str, module: str = "somebody") -> Callable[[], None]:
    def hook() -> None:
        done.append(word)

    hook.__module__ = module
    return hook


def test_fork__one_thread__is_a_bare_one_with_the_hooks_of_others_round_it() -> None:
    done: list[str] = []
    hooks = ForkHooks()
    hooks.collect()
    os.register_at_fork(before=_make_hook(done, "before"), after_in_child=_make_hook(done, "child"))
    os.register_at_fork(after_in_parent=_make_hook(done, "parent"))
    os.register_at_fork(before=_make_hook(done, "spared", "threading"))
    assert hooks.fork() == BARE
    assert done == ["before", "parent"]


def test_fork__several_threads__is_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "_thread", types.SimpleNamespace(_count=lambda: 1))
    assert ForkHooks().fork() == PYTHONS


def test_fork__that_fails__is_tried_by_python_which_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "find_bare_fork", lambda: lambda: -1)
    assert ForkHooks().fork() == PYTHONS


@pytest.mark.parametrize(
    ("name", "place"), [("random", None), ("early", "/env/lib/python3/site-packages/early.py")]
)
def test_fork__something_came_before_that_may_have_hooks__is_pythons(
    monkeypatch: pytest.MonkeyPatch, name: str, place: str | None
) -> None:
    module = types.ModuleType(name)
    module.__file__ = place
    monkeypatch.setattr(forking, "sys", types.SimpleNamespace(modules={name: module}))
    hooks = ForkHooks()
    hooks.collect()
    assert hooks.fork() == PYTHONS


def test_collect__python_hears_of_all_hooks_for_forks_of_the_calls_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[object] = []
    monkeypatch.setattr(os, "register_at_fork", lambda **hooks: heard.append(hooks))
    ForkHooks().collect()
    hook = _make_hook([], "", "threading")
    os.register_at_fork(before=hook)
    assert heard == [{"before": hook}]

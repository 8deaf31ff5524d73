"""Layers among workers that fail, lie, leave and come: sources are not overloaded, liars not asked again, and all get theirs."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from wq_package.manager.state.transfers import (
    DOWNLOADS,
    LONGEST_FETCH,
    MANAGER,
    MANAGER_UPLOADS,
    PEER_UPLOADS,
    PeerPlace,
    Transfer,
    TransferBook,
)
from wq_package.task import Environment

ENVIRONMENT = Environment("e" * 64, "env.tar.zst")
LAYERS = tuple("abcdef")


class Crowd:
    """Workers, what they have, and what is on its way."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.book = TransferBook()
        self.have: dict[int, set[str]] = {}
        self.want: dict[int, set[str]] = {}
        self.liars: set[int] = set()
        self.caught: set[int] = set()
        self.is_from_manager = 0
        self.moving: dict[tuple[int, str], Transfer] = {}
        self.last = 0
        self.now = 0.0

    def assign(self) -> None:
        for transfer in self.book.assign(self.now):
            key = (transfer.target, transfer.digest)
            assert key not in self.moving, "on its way already"
            assert transfer.digest in self.want[transfer.target]
            if transfer.source == MANAGER:
                self.is_from_manager += 1
            else:
                assert transfer.place is not None
                assert transfer.place.port == transfer.source
                assert transfer.digest in self.have[transfer.source], "it has no such layer"
                assert transfer.source not in self.caught, "a liar is asked again"
            self.moving[key] = transfer
        self.check()

    def check(self) -> None:
        sources = [transfer.source for transfer in self.moving.values()]
        targets = [transfer.target for transfer in self.moving.values()]
        assert sources.count(MANAGER) <= MANAGER_UPLOADS
        assert all(sources.count(number) <= PEER_UPLOADS for number in self.have)
        assert all(targets.count(number) <= DOWNLOADS for number in self.have)

    def join(self) -> None:
        self.last += 1
        self.have[self.last], self.want[self.last] = set(), set(LAYERS)
        if self.chance.random() < 0.2:
            self.liars.add(self.last)
        self.book.add_peer(self.last, PeerPlace("10.0.0.1", self.last, "secret"))
        for layer in LAYERS:
            self.book.want(self.last, layer, ENVIRONMENT)
        self.assign()

    def leave(self) -> None:
        if self.have:
            number = self.chance.choice(sorted(self.have))
            del self.have[number], self.want[number]
            self.moving = {key: each for key, each in self.moving.items() if key[0] != number}
            self.book.remove_peer(number)
            self.assign()

    def arrive(self, trouble: float = 0.3) -> None:
        """Let one transfer end, well or not."""
        if not self.moving:
            return
        key = self.chance.choice(sorted(self.moving))
        transfer = self.moving.pop(key)
        target, layer = key
        if transfer.source == MANAGER:
            self.store(target, layer)
        elif transfer.source not in self.have or self.chance.random() < trouble:
            assert self.book.note_failed(target, layer, is_damaged=False) is None
        elif transfer.source in self.liars:
            banned = self.book.note_failed(target, layer, is_damaged=True)
            assert banned in (transfer.source, None)
            self.caught |= {banned} - {None}  # type: ignore[arg-type]  # what is left is a number
        else:
            self.store(target, layer)
        self.assign()

    def store(self, target: int, layer: str) -> None:
        self.want[target].remove(layer)
        self.have[target].add(layer)
        self.book.note_stored(target, layer, is_served=True)

    def be_silent(self) -> None:
        """Let one target say nothing of what it was to fetch."""
        fetches = sorted(key for key, transfer in self.moving.items() if transfer.source != MANAGER)
        if fetches:
            self.now += LONGEST_FETCH + 1
            late = {key: each for key, each in self.moving.items() if each.source == MANAGER}
            self.moving = {}
            self.book.expire(self.now)
            for target, layer in late:
                self.store(target, layer)
            self.assign()


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(0, 150))
def test_transfers__workers_of_all_kinds__everybody_gets_everything(seed: int, steps: int) -> None:
    chance = random.Random(seed)
    crowd = Crowd(chance)
    for _ in range(steps):
        chance.choices([crowd.join, crowd.leave, crowd.arrive, crowd.be_silent], [3, 1, 12, 1])[0]()
    for _ in range(20 * len(LAYERS) * (len(crowd.have) + 1)):
        crowd.arrive(trouble=0.0)
    assert not any(crowd.want.values()), "somebody waits for ever"
    assert not crowd.moving
    assert all(crowd.book.count_uploads(number) == 0 for number in (MANAGER, *crowd.have))


@given(count=st.integers(2, 40))
@settings(max_examples=20, deadline=None)
def test_transfers__honest_workers__the_manager_sends_little_of_it(count: int) -> None:
    crowd = Crowd(random.Random(count))
    crowd.chance.random = lambda: 1.0  # type: ignore[method-assign]  # nobody lies, nothing fails
    for _ in range(count):
        crowd.join()
    while crowd.moving:
        crowd.arrive(trouble=0.0)
    assert not any(crowd.want.values())
    assert crowd.is_from_manager <= len(LAYERS) * MANAGER_UPLOADS + count * len(LAYERS) / 2

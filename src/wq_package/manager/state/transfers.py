"""Which worker gets which layer from where: from the manager, or from a worker that has it (logic module).

    waiting ──assigned──▶ on its way ──▶ stored
       ▲                      │
       └──failed, or too long─┘

Knows workers by number, layers by digest, and how many transfers each source has. The manager, which has every layer, sends
few at once, each until it is stored: what has only left may still wait in a buffer; who has got one can pass it on, so the number of sources doubles while they last. The layer that the fewest have
goes first, so that workers soon have different ones to exchange. Whoever served something else is not asked again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from wq_package.task import Environment

MANAGER = 0
"""As a source; workers' numbers begin at 1."""
MANAGER_UPLOADS = 4
"""Layers that the manager sends at once to workers that can pass them on."""
PEER_UPLOADS = 3
"""Layers that one worker is asked for at once."""
DOWNLOADS = 3
"""Layers that are on their way to one worker at once."""
LONGEST_FETCH = 600.0
"""Seconds after which a worker that says nothing of a layer it was to fetch gets it from elsewhere."""
MOST_WANTED = 10_000
"""Layers that one worker may want at once: far more than any environment has."""
MOST_FAILURES = 3
"""So many workers that cannot fetch from a source, or sources that a worker cannot reach, and none that could: no more."""


@dataclass(frozen=True, slots=True)
class PeerPlace:
    """Where a worker serves layers, and how one proves that it was sent."""

    host: str
    port: int
    secret: str = field(repr=False)
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Transfer:
    """What is to be done: `target` gets a layer from `source`, which lies at `place` unless it is the manager."""

    target: int
    digest: str
    environment: Environment
    source: int
    place: PeerPlace | None


@dataclass(slots=True)
class _Want:
    environment: Environment
    source: int | None = None
    since: float = 0.0
    is_needed: bool = True
    tried: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Peer:
    place: PeerPlace
    wanted: int = 0
    is_liar: bool = False
    has_served: bool = False
    has_fetched: bool = False
    failed_targets: set[int] = field(default_factory=set)
    failed_sources: set[int] = field(default_factory=set)
    accused: int | None = None

    @property
    def is_unreachable(self) -> bool:
        return not self.has_served and len(self.failed_targets) >= MOST_FAILURES

    @property
    def is_isolated(self) -> bool:
        return not self.has_fetched and len(self.failed_sources) >= MOST_FAILURES


class TransferBook:
    """Every layer that a worker able to pass it on wants or has."""

    def __init__(self) -> None:
        self._peers: dict[int, _Peer] = {}
        self._wants: dict[tuple[int, str], _Want] = {}
        self._waiting: dict[str, dict[int, None]] = {}
        self._holders: dict[str, set[int]] = {}
        self._copies: dict[str, int] = {}  # on their way
        self._uploads: dict[int, int] = {MANAGER: 0}
        self._downloads: dict[int, int] = {}

    # -- what changes -------------------------------------------------------------------------------------------------

    def add_peer(self, number: int, place: PeerPlace) -> None:
        """Let a worker take part."""
        self._peers[number] = _Peer(place)
        self._uploads[number] = self._downloads[number] = 0

    def has_peer(self, number: int) -> bool:
        """Tell whether a worker takes part."""
        return number in self._peers

    def remove_peer(self, number: int) -> None:
        """Forget a worker; those that fetch from it will say that they could not."""
        if self._peers.pop(number, None) is None:
            return
        for target, digest in [key for key in self._wants if key[0] == number]:
            self._drop(target, digest)
        for digest in [digest for digest, holders in self._holders.items() if number in holders]:
            self._holders[digest].discard(number)
            if not self._holders[digest]:
                del self._holders[digest]
        del self._uploads[number], self._downloads[number]

    def want(self, target: int, digest: str, environment: Environment) -> bool:
        """Note that a worker wants a layer; what is on its way to it already comes once.

        Returns:
            Whether that can be: not if it wants absurdly many.
        """
        want = self._wants.get((target, digest))
        if want is None:
            if self._peers[target].wanted >= MOST_WANTED:
                return False
            self._peers[target].wanted += 1
            self._wants[target, digest] = _Want(environment)
            self._waiting.setdefault(digest, {})[target] = None
        else:
            want.is_needed = True
        return True

    def forget_wants(self, target: int, environment: str) -> None:
        """Note that a worker wants no more layers of an environment."""
        for (number, digest), want in list(self._wants.items()):
            if number != target or want.environment.digest != environment:
                continue
            want.is_needed = False
            if not want.source:  # of what the manager has sent, it hears no more
                self._drop(number, digest)

    def note_stored(self, target: int, digest: str, *, is_served: bool) -> None:
        """Note that a worker has a layer, and perhaps passes it on; believed only of one that was on its way to it."""
        want = self._wants.get((target, digest))
        if want is None:
            return
        source = want.source
        self._drop(target, digest)
        if source is None:
            return
        self._note_success(target, source)
        if is_served:
            self._holders.setdefault(digest, set()).add(target)

    def _note_success(self, target: int, source: int) -> None:
        if source in self._peers:
            self._peers[source].has_served = True
            self._peers[target].has_fetched = True

    def note_failed(self, target: int, digest: str, *, is_damaged: bool) -> int | None:
        """Note that a worker could not fetch a layer; give the source if it is never asked again because of that."""
        want = self._wants.get((target, digest))
        if want is None or want.source is None or want.source == MANAGER:
            return None
        source = want.source
        self._blame(target, source)
        is_banned = is_damaged and self._accuse(target, source)
        self._retry(target, digest, want)
        return source if is_banned else None

    def _blame(self, target: int, source: int) -> None:
        if source in self._peers:
            self._peers[source].failed_targets.add(target)
        if target in self._peers:
            self._peers[target].failed_sources.add(source)

    def _accuse(self, target: int, source: int) -> bool:
        """Ban a source; but a worker with bad memory cannot have all of them banned: only its first word counts."""
        accuser, accused = self._peers.get(target), self._peers.get(source)
        if accuser is None or accused is None or accuser.accused not in (None, source):
            return False
        accuser.accused = source
        accused.is_liar = True
        return True

    def _retry(self, target: int, digest: str, want: _Want) -> None:
        assert want.source is not None
        if not want.is_needed:
            self._drop(target, digest)
            return
        want.tried.add(want.source)
        self._end(target, digest, want.source)
        want.source = None
        self._waiting.setdefault(digest, {})[target] = None

    def _end(self, target: int, digest: str, source: int) -> None:
        self._copies[digest] -= 1
        for counts, number in ((self._uploads, source), (self._downloads, target)):
            if number in counts:
                counts[number] -= 1

    def _drop(self, target: int, digest: str) -> None:
        want = self._wants.pop((target, digest))
        if target in self._peers:
            self._peers[target].wanted -= 1
        if want.source is not None:
            self._end(target, digest, want.source)
            return
        waiting = self._waiting[digest]
        del waiting[target]
        if not waiting:
            del self._waiting[digest]

    # -- what follows -------------------------------------------------------------------------------------------------

    def assign(self, now: float) -> list[Transfer]:
        """Decide what can begin now."""
        assigned = []
        while (transfer := self._assign_one(now)) is not None:
            assigned.append(transfer)
        return assigned

    def _assign_one(self, now: float) -> Transfer | None:
        for digest in sorted(filter(self._is_to_be_had, self._waiting), key=self._count_copies):
            for target in self._waiting[digest]:
                if self._downloads[target] >= DOWNLOADS:
                    continue
                source = self._find_source(target, digest)
                if source is not None:
                    return self._begin(target, digest, source, now)
        return None

    def _is_to_be_had(self, digest: str) -> bool:
        if self._uploads[MANAGER] < MANAGER_UPLOADS:
            return True
        return any(self._uploads[number] < PEER_UPLOADS for number in self._holders.get(digest, ()))

    def _count_copies(self, digest: str) -> int:
        return len(self._holders.get(digest, ())) + self._copies.get(digest, 0)

    def _find_source(self, target: int, digest: str) -> int | None:
        """Choose the worker that is asked least, else the manager; `None` while all of them have enough to do."""
        least = min(self._iter_peers(target, digest), default=None)
        if least is not None:
            return least[1]
        return MANAGER if self._uploads[MANAGER] < MANAGER_UPLOADS else None

    def _iter_peers(self, target: int, digest: str) -> Iterator[tuple[int, int]]:
        if self._peers[target].is_isolated:
            return
        avoided = self._wants[target, digest].tried | self._peers[target].failed_sources
        for number in self._holders.get(digest, ()):
            peer = self._peers[number]
            if number == target or number in avoided or peer.is_liar or peer.is_unreachable:
                continue
            if self._uploads[number] < PEER_UPLOADS:
                yield self._uploads[number], number

    def _begin(self, target: int, digest: str, source: int, now: float) -> Transfer:
        want = self._wants[target, digest]
        want.source, want.since = source, now
        waiting = self._waiting[digest]
        del waiting[target]
        if not waiting:
            del self._waiting[digest]
        self._uploads[source] += 1
        self._downloads[target] += 1
        self._copies[digest] = self._copies.get(digest, 0) + 1
        place = self._peers[source].place if source != MANAGER else None
        return Transfer(target, digest, want.environment, source, place)

    def expire(self, now: float) -> None:
        """Look elsewhere for layers of which nothing was heard for too long."""
        for (target, digest), want in list(self._wants.items()):
            if want.source is None or now - want.since <= LONGEST_FETCH:
                continue
            if want.source == MANAGER:  # a slow link: what was sent once will arrive, or the worker be lost
                self._drop(target, digest)
            else:
                self._blame(target, want.source)
                self._retry(target, digest, want)

    def count_uploads(self, source: int) -> int:
        """Count the layers that a source is sending."""
        return self._uploads.get(source, 0)

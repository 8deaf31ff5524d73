"""How far each offered environment is (logic module).

    offered → examining → receiving → composing → ready → (unused for long) resting → (a call) examining
                  └───────────┴────────────┴────→ failed → (offered again) examining

Knows digests. One that rests may be removed from the store, so it is examined again before it is used. A layer that two environments need is asked for once; one that another worker of the same store fetches is
not asked for at all, unless that worker gives it up. Knows nothing of the store or of tasks.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from wq_package.protocol import messages as wire
from wq_package.worker.actions import (
    Action,
    ComposeEnvironment,
    ExamineEnvironment,
    ReleaseLayer,
    RestEnvironment,
    Send,
)

__all__ = ["EnvironmentTable"]


class _Progress(enum.Enum):
    EXAMINING = enum.auto()
    RECEIVING = enum.auto()
    COMPOSING = enum.auto()
    READY = enum.auto()
    RESTING = enum.auto()
    FAILED = enum.auto()


@dataclass(slots=True)
class _Environment:
    offer: wire.EnvironmentOffer
    progress: _Progress = _Progress.EXAMINING
    missing: set[str] = field(default_factory=set)
    message: str = ""


class EnvironmentTable:
    """The environments of one session."""

    def __init__(self) -> None:
        self._environments: dict[str, _Environment] = {}
        self._asked: set[str] = set()  # layers on their way

    def __contains__(self, digest: str) -> bool:
        return digest in self._environments

    def is_ready(self, digest: str) -> bool:
        """Whether calls can run in an environment that was offered."""
        return self._environments[digest].progress is _Progress.READY

    def find_failure(self, digest: str) -> str | None:
        """Tell why an environment that was offered cannot be used, if that is so."""
        environment = self._environments[digest]
        return environment.message if environment.progress is _Progress.FAILED else None

    def offer(self, offer: wire.EnvironmentOffer) -> list[Action]:
        """Take an offer; one that failed before is tried again."""
        known = self._environments.get(offer.digest)
        if known is not None and known.progress is _Progress.READY:
            return [Send(wire.LayersWanted(offer.digest, ())), Send(wire.EnvironmentReady(offer.digest))]
        if known is not None and known.progress not in {_Progress.FAILED, _Progress.RESTING}:
            return []  # the answers are on their way
        self._environments[offer.digest] = _Environment(offer)
        return [ExamineEnvironment(offer)]

    def rest(self, digest: str) -> list[Action]:
        """Let the store have an environment that is not in use."""
        environment = self._environments.get(digest)
        if environment is None or environment.progress is not _Progress.READY:
            return []
        environment.progress = _Progress.RESTING
        return [RestEnvironment(digest)]

    def wake(self, digest: str) -> list[Action]:
        """Look after an environment that rests, because it is needed again."""
        environment = self._environments[digest]
        if environment.progress is not _Progress.RESTING:
            return []
        environment.progress = _Progress.EXAMINING
        return [ExamineEnvironment(environment.offer)]

    def want(self, digest: str, missing: Iterable[str], awaited: Iterable[str] = ()) -> list[Action]:
        """Ask for the layers that the store lacks, but not for those that another worker fetches."""
        environment = self._environments[digest]
        if environment.progress is not _Progress.EXAMINING:
            return []
        environment.missing = {*missing, *awaited}
        environment.progress = _Progress.RECEIVING
        wanted = tuple(layer for layer in missing if layer not in self._asked)
        self._asked.update(wanted)
        return [Send(wire.LayersWanted(digest, wanted)), *_compose_complete(environment)]

    def claim(self, layer: str) -> list[Action]:
        """Ask for a layer that another worker was to fetch, if it is still needed."""
        for digest, environment in self._environments.items():
            if layer in environment.missing and environment.progress is _Progress.RECEIVING:
                self._asked.add(layer)
                return [Send(wire.LayersWanted(digest, (layer,)))]
        return [ReleaseLayer(layer)]

    def add_layer(self, layer: str) -> list[Action]:
        """Count a layer as here."""
        self._asked.discard(layer)
        actions: list[Action] = []
        for environment in self._environments.values():
            if layer in environment.missing:
                environment.missing.remove(layer)
                actions.extend(_compose_complete(environment))
        return actions

    def lose_layer(self, layer: str, message: str) -> None:
        """Count a layer as not to be had, for the reason `message`."""
        self._asked.discard(layer)
        for environment in self._environments.values():
            if environment.progress is _Progress.RECEIVING and layer in environment.missing:
                environment.message = environment.message or message

    def find_lost(self) -> list[tuple[str, str]]:
        """Find the environments that will not get complete, and why.

        Not before everything that was asked for them has ended: what is still on its way would be taken for the answer to
        the next offer.
        """
        return [
            (digest, environment.message)
            for digest, environment in self._environments.items()
            if environment.progress is _Progress.RECEIVING
            and environment.message
            and environment.missing.isdisjoint(self._asked)
        ]

    def make_ready(self, digest: str) -> list[Action]:
        """Count an environment as usable."""
        self._environments[digest].progress = _Progress.READY
        return [Send(wire.EnvironmentReady(digest))]

    def fail(self, digest: str, message: str) -> list[Action]:
        """Count an environment as not to be used."""
        environment = self._environments[digest]
        actions: list[Action] = []
        if environment.progress is _Progress.EXAMINING:
            actions.append(Send(wire.LayersWanted(digest, ())))  # every offer gets this answer first
        environment.progress = _Progress.FAILED
        environment.message = message
        return [*actions, Send(wire.EnvironmentFailed(digest, message))]


def _compose_complete(environment: _Environment) -> list[Action]:
    if environment.missing or environment.progress is not _Progress.RECEIVING:
        return []
    environment.progress = _Progress.COMPOSING
    return [ComposeEnvironment(environment.offer)]

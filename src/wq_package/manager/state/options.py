"""What can be set about the manager's decisions (value module)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wq_package.resources import CategoryOptions, SharingRule


@dataclass(frozen=True, slots=True)
class StateOptions:
    """How the manager decides.

    Attributes:
        session: names this manager to workers of ours, so that one that comes back knows it.
        name: the project name, told to workers that ask for it.
        rule: what an incomplete declaration of resources is worth.
        categories: what holds for the tasks of single categories.
        default_category: what holds for all others.
        look_ahead: how many times a worker's resources may be promised to short tasks that wait at the worker, so that
            no round trip idles it; 0 sends only what can run at once.
        keepalive_interval: seconds of silence after which a worker is asked whether it is there.
        keepalive_timeout: seconds that it may take to answer.
        fast_abort_multiplier: how many times the average time of its category a task may take before it is tried on
            another worker; `None` for ever.
        fast_abort_categories: the same for single categories, `None` included.
        greeting_timeout: seconds that a new connection has to say what it is.
        peers: whether workers are told to fetch layers from each other.
        launcher: the script that runs a command inside an environment archive on a real Work Queue worker.
        run_call: the script that runs one call from files there.
    """

    session: str = ""
    name: str = ""
    rule: SharingRule = SharingRule.WHOLE_WORKER
    categories: Mapping[str, CategoryOptions] = field(default_factory=dict)
    default_category: CategoryOptions = field(default_factory=CategoryOptions)
    look_ahead: int = 16
    keepalive_interval: float = 120.0
    keepalive_timeout: float = 30.0
    greeting_timeout: float = 30.0
    fast_abort_multiplier: float | None = None
    fast_abort_categories: Mapping[str, float | None] = field(default_factory=dict)
    peers: bool = False
    launcher: bytes = field(default=b"", repr=False)
    run_call: bytes = field(default=b"", repr=False)

"""Makes the environment of each app in the background, while other apps go on (shell module).

Knows apps, specs and builds; knows nothing of Parsl's futures or of the wire. An app whose environment is not there yet
has people waiting: callables that are told once, with the environment or with the reason why there is none.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import astuple, dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Protocol

from wq_package.executor.requirements import Analyzer, Needs
from wq_package.executor.shipments import AppKey
from wq_package.spec.environment import EnvironmentSpec
from wq_package.task import Environment

__all__ = [
    "Builder",
    "Built",
    "PackedApp",
    "PackedLayer",
    "Packer",
    "PackingEntry",
    "Waiter",
    "digest_spec",
    "serves",
]

logger = logging.getLogger(__name__)

Waiter = Callable[[Environment | None, BaseException | None], None]
"""Told once: an environment, or why there is none."""


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """One layer of an environment, for people."""

    kind: str
    name: str
    version: str
    size: int


@dataclass(frozen=True, slots=True)
class Built:
    """An environment archive that is ready.

    Attributes:
        layers_built: how many of its layers had to be made now.
    """

    path: Path
    digest: str
    layers: tuple[PackedLayer, ...] = ()
    layers_built: int = 0
    layers_reused: int = 0
    size: int = 0


class Builder(Protocol):
    """Turns specs into archives."""

    def build(self, spec: EnvironmentSpec) -> Built:
        """Build, or find what an earlier run built."""

    def find_given(self, given: str) -> Built:
        """Make an archive of what the user named."""

    def identify_given(self, given: str) -> str:
        """Name what the user named by what is in it, without building it."""


@dataclass(frozen=True, slots=True)
class PackedApp:
    """What became of one app.

    Attributes:
        problems: imports of it that could not be resolved.
        seconds_waited: from the first task until the environment was ready.
    """

    name: str
    spec: EnvironmentSpec
    environment: Environment
    built: Built
    problems: tuple[str, ...]
    seconds_analyze: float
    seconds_build: float
    seconds_waited: float


@dataclass(slots=True)
class PackingEntry:
    """One app's environment, now or later. `environment` is set at the very last and never changes then.

    Attributes:
        identity: names what is to be in it; known before it is built.
    """

    name: str
    identity: Future[str] = field(default_factory=Future)
    environment: Environment | None = None
    error: BaseException | None = None
    problems: tuple[str, ...] = ()
    waiters: list[Waiter] = field(default_factory=list)


class Packer:
    """Analyses and builds with a few threads, once for each distinct app and once for each distinct spec.

    Args:
        merge: let an app have an environment that is made for another if everything that it needs is in there.
    """

    def __init__(
        self, analyzer: Analyzer, builder: Builder, *, threads: int = 2, merge: bool = False
    ) -> None:
        self._analyzer = analyzer
        self._builder = builder
        self._merge = merge
        self._specs: list[EnvironmentSpec] = []
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="wq-package-build")
        self._lock = threading.Lock()
        self._entries: dict[AppKey, PackingEntry] = {}
        self._builds: dict[str, Future[Built]] = {}
        self._packed: list[PackedApp] = []
        self._is_closed = False

    def find(self, key: AppKey) -> PackingEntry | None:
        """Find the entry of an app that was asked for before."""
        return self._entries.get(key)

    def request(self, name: str, key: AppKey, roots: Sequence[FunctionType]) -> PackingEntry:
        """Find an app's entry, or start to make its environment; returns at once."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                return entry
            entry = self._entries[key] = PackingEntry(name)
            if self._is_closed:
                entry.identity.cancel()
            else:
                self._pool.submit(self._pack, entry, roots, key)
        return entry

    def identify(self, name: str, key: AppKey, roots: Sequence[FunctionType]) -> str:
        """Name what is in an app's environment; waits until the app has been analysed, but for no build.

        Raises:
            WQPackageError: that cannot be found out.
        """
        return self.request(name, key, roots).identity.result()

    def wait(self, entry: PackingEntry, waiter: Waiter) -> None:
        """Tell `waiter` when the environment is there or has failed; at once if it is so already."""
        with self._lock:
            if entry.environment is None and entry.error is None:
                entry.waiters.append(waiter)
                return
        waiter(entry.environment, entry.error)

    def list_packed(self) -> tuple[PackedApp, ...]:
        """List the apps whose environments are ready, in the order in which they became so.

        An app whose arguments brought further modules is there once for each environment that came of it.
        """
        found: dict[tuple[str, str], PackedApp] = {}
        with self._lock:
            for packed in self._packed:
                found.setdefault((packed.name, packed.environment.digest), packed)
        return tuple(found.values())

    def close(self) -> None:
        """Stop: what has not begun is dropped, what has begun ends first."""
        with self._lock:
            self._is_closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        for entry in list(self._entries.values()):
            entry.identity.cancel()  # of what has not begun; others have ended

    def _pack(self, entry: PackingEntry, roots: Sequence[FunctionType], key: AppKey) -> None:
        try:
            packed = self._make(entry, roots, key)
        except BaseException as error:  # noqa: BLE001 - the top of this thread: whatever it is, the tasks have to hear it
            if not entry.identity.done():
                entry.identity.set_exception(error)
            logger.info("app %s: no environment: %s", entry.name, error)
            self._tell(entry, None, error)
        else:
            with self._lock:
                self._packed.append(packed)
                entry.problems = packed.problems
            self._tell(entry, packed.environment, None)

    def _make(self, entry: PackingEntry, roots: Sequence[FunctionType], key: AppKey) -> PackedApp:
        start = time.perf_counter()
        needs = Needs(EnvironmentSpec()) if key.given else self._analyzer.find_needs(roots, key)
        entry.identity.set_result(
            self._builder.identify_given(key.given) if key.given else digest_spec(needs.spec)
        )
        analyzed = time.perf_counter()
        if key.given:
            spec = needs.spec
            built = self._build_once(key.given, lambda: self._builder.find_given(key.given))
        else:
            spec = self._choose_spec(needs.spec)
            built = self._build_once(digest_spec(spec), lambda: self._builder.build(spec))
        ended = time.perf_counter()
        environment = Environment(built.digest, str(built.path), needs.imports)
        packed = PackedApp(
            name=entry.name,
            spec=spec,
            environment=environment,
            built=built,
            problems=needs.problems,
            seconds_analyze=analyzed - start,
            seconds_build=ended - analyzed,
            seconds_waited=ended - start,
        )
        _log(packed)
        return packed

    def _choose_spec(self, spec: EnvironmentSpec) -> EnvironmentSpec:
        """Choose what to build for an app: what it needs, or the least of what others need that has all of that."""
        if not self._merge:
            return spec
        with self._lock:
            serving = [other for other in self._specs if serves(other, spec)]
            chosen = min(serving, key=lambda other: len(other.wheels) + len(other.conda), default=spec)
            if not serving:
                self._specs.append(spec)
        return chosen

    def _build_once(self, name: str, build: Callable[[], Built]) -> Built:
        """Build, or wait for the thread that builds what has the same name."""
        with self._lock:
            future = self._builds.get(name)
            is_mine = future is None
            if future is None:
                future = self._builds[name] = Future()
        if is_mine:
            try:
                future.set_result(build())
            except BaseException as error:  # noqa: BLE001 - handed on to all who wait for it
                future.set_exception(error)
        return future.result()

    def _tell(
        self, entry: PackingEntry, environment: Environment | None, error: BaseException | None
    ) -> None:
        with self._lock:
            entry.error = error
            entry.environment = environment
            waiters, entry.waiters = entry.waiters, []
        for waiter in waiters:
            waiter(environment, error)


def _log(packed: PackedApp) -> None:
    logger.info(
        "app %s: environment %s, %d layers (%d built, %d reused), analysed in %.2f s, built in %.2f s",
        packed.name,
        packed.environment.digest[:12],
        len(packed.built.layers),
        packed.built.layers_built,
        packed.built.layers_reused,
        packed.seconds_analyze,
        packed.seconds_build,
    )
    for problem in packed.problems:
        logger.warning("app %s: %s", packed.name, problem)


def serves(larger: EnvironmentSpec, spec: EnvironmentSpec) -> bool:
    """Tell whether an environment of one spec has everything that another wants, in the same versions."""
    return (
        larger.python == spec.python
        and larger.channels == spec.channels
        and set(larger.conda) >= set(spec.conda)
        and set(larger.wheels) >= set(spec.wheels)
        and {(source.import_name, source.digest) for source in larger.local}
        >= {(source.import_name, source.digest) for source in spec.local}
        and set(larger.data) >= set(spec.data)
        and set(larger.variables) >= set(spec.variables)
    )


def digest_spec(spec: EnvironmentSpec) -> str:
    """Name a spec by what is in it; where local source stands does not count, what it says does."""
    lines = [f"python {spec.python}", *(f"channel {name}" for name in spec.channels)]
    lines += [f"conda {requirement.text}" for requirement in sorted(spec.conda)]
    lines += [f"wheel {requirement.text}" for requirement in sorted(spec.wheels)]
    lines += [f"local {source.import_name} {source.digest}" for source in sorted(spec.local)]
    lines += [f"data {astuple(source)}" for source in sorted(spec.data)]
    lines += [f"variable {name} {value!r}" for name, value in sorted(spec.variables)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()

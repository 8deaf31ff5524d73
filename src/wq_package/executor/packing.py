"""Makes the environment of each app in the background, while other apps go on (shell module).

Knows apps, specs and builds; knows nothing of Parsl's futures or of the wire. An app whose environment is not there yet
has people waiting: callables that are told once, with the environment or with the reason why there is none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import FunctionType
from typing import Protocol

from wq_package.errors import WQPackageError
from wq_package.executor.packed import Built, PackedApp, describe_spec, digest_sources, digest_spec, serves
from wq_package.executor.requirements import Analyzer, Needs
from wq_package.executor.shipments import AppKey
from wq_package.spec.environment import EnvironmentSpec, LocalSource
from wq_package.task import Environment

__all__ = ["Builder", "Packer", "PackingEntry", "Waiter"]

logger = logging.getLogger(__name__)

Waiter = Callable[[Environment | None, BaseException | None], None]
"""Told once: an environment, or why there is none."""


class Builder(Protocol):
    """Turns specs into archives."""

    def build(self, spec: EnvironmentSpec) -> Built:
        """Build, or find what an earlier run built."""

    def find_given(self, given: str) -> Built:
        """Make an archive of what the user named."""

    def identify_given(self, given: str) -> str:
        """Name what the user named by what is in it, without building it."""

    def extend(self, built: Built, sources: Sequence[LocalSource]) -> Built:
        """Make an archive that has local source on top of another one."""


@dataclass(slots=True)
class PackingEntry:
    """One app's environment, now or later. `environment` is set at the very last and never changes then.

    Attributes:
        given: the environment that the user named; empty for one that is made for the app.
        spec: what the app needs, beside what the user named; known before anything is built.
        identity: names what is to be in it; empty until somebody has asked.
    """

    name: str
    given: str = ""
    spec: Future[EnvironmentSpec] = field(default_factory=Future)
    identity: str = ""
    environment: Environment | None = None
    error: BaseException | None = None
    problems: tuple[str, ...] = ()
    waiters: list[Waiter] = field(default_factory=list)


class Packer:
    """Analyses and builds with a few threads, once for each distinct app and once for each distinct spec.

    What failed is tried again when it is asked for again: a network comes back, a missing package is installed.

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
        self._told: set[tuple[str, str]] = set()
        self._is_closed = False

    def find(self, key: AppKey) -> PackingEntry | None:
        """Find the entry of an app that was asked for before, unless it failed."""
        entry = self._entries.get(key)
        return entry if entry is not None and entry.error is None else None

    def request(self, name: str, key: AppKey, roots: Sequence[FunctionType]) -> PackingEntry:
        """Find an app's entry, or start to make its environment; returns at once."""
        with self._lock:
            entry = self.find(key)
            if entry is not None:
                return entry
            entry = self._entries[key] = PackingEntry(name, key.given)
            if self._is_closed:
                entry.spec.cancel()
            else:
                self._pool.submit(self._pack, entry, roots, key)
        return entry

    def identify(self, name: str, key: AppKey, roots: Sequence[FunctionType]) -> str:
        """Name what is in an app's environment; waits until the app has been analysed, but for no build.

        Raises:
            WQPackageError: that cannot be found out.
        """
        entry = self.request(name, key, roots)
        spec = entry.spec.result()
        if not entry.identity:
            entry.identity = self._identify(key.given, spec)
        return entry.identity

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
            entry.spec.cancel()  # of what has not begun; others have ended

    def _pack(self, entry: PackingEntry, roots: Sequence[FunctionType], key: AppKey) -> None:
        try:
            packed = self._make(entry, roots, key)
        except BaseException as error:  # noqa: BLE001 - the top of this thread: whatever it is, the tasks have to hear it
            if not entry.spec.done():
                entry.spec.set_exception(error)
            logger.info("app %s: no environment: %s", entry.name, error)
            self._tell(entry, None, error)
        else:
            with self._lock:
                self._packed.append(packed)
                entry.problems = packed.problems
            self._tell(entry, packed.environment, None)

    def _make(self, entry: PackingEntry, roots: Sequence[FunctionType], key: AppKey) -> PackedApp:
        start = time.perf_counter()
        find_needs = self._find_own_code if key.given else self._analyzer.find_needs
        needs = find_needs(roots, key)
        entry.spec.set_result(needs.spec)
        analyzed = time.perf_counter()
        if key.given:
            built = self._extend_given(key.given, needs.spec.local)
            spec = describe_spec(built)
        else:
            spec = self._choose_spec(needs.spec)
            built = self._build_once(digest_spec(spec), lambda: self._builder.build(spec))
        ended = time.perf_counter()
        packed = PackedApp(
            name=entry.name,
            spec=spec,
            environment=Environment(built.digest, str(built.path), needs.imports),
            built=built,
            problems=needs.problems,
            seconds_analyze=analyzed - start,
            seconds_build=ended - analyzed,
            seconds_waited=ended - start,
            suggestions=needs.suggestions,
            given=key.given,
        )
        self._log(packed)
        return packed

    def _find_own_code(self, roots: Sequence[FunctionType], key: AppKey) -> Needs:
        """Find what an app needs beside the environment that the user named for it: modules of the user's own."""
        try:
            spec = self._analyzer.find_needs(roots, key).spec
        except WQPackageError as error:
            logger.warning("what runs in `%s` goes there without modules of your own: %s", key.given, error)
            return Needs(EnvironmentSpec())
        return Needs(EnvironmentSpec(local=spec.local))

    def _identify(self, given: str, spec: EnvironmentSpec) -> str:
        if not given:
            return digest_spec(spec)
        return digest_sources(self._builder.identify_given(given), spec.local)

    def _extend_given(self, given: str, sources: Sequence[LocalSource]) -> Built:
        built = self._build_once(given, lambda: self._builder.find_given(given))
        if not sources:
            return built
        name = digest_sources(built.digest, sources)
        return self._build_once(name, lambda: self._builder.extend(built, sources))

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
                del self._builds[name]
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

    def _log(self, packed: PackedApp) -> None:
        built = packed.built
        logger.info(
            "app %s: environment %s, %d layers (%d built, %d reused), analysed in %.2f s, built in %.2f s",
            packed.name,
            packed.environment.digest[:12],
            len(built.layers),
            built.layers_built,
            built.layers_reused,
            packed.seconds_analyze,
            packed.seconds_build,
        )
        for sentence in (*packed.problems, *packed.suggestions):
            with self._lock:
                is_new = (packed.name, sentence) not in self._told
                self._told.add((packed.name, sentence))
            if is_new:
                logger.warning("app %s: %s", packed.name, sentence)

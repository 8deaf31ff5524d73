"""Provide the layers of all distributions of a spec: from the cache, from what is installed, from an index (shell module).

Knows the order of these sources and when a resolver is needed. How a layer is made is in `wq_package.build.wheel_layer`, how
uv is asked in `wq_package.build.uv`.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wq_package.build.base import EnvironmentBase
from wq_package.build.conda.provided import explain_unsatisfied, leave_out_provided, render_pins
from wq_package.build.installed import InstalledDistribution, find_distributions, find_running_distributions
from wq_package.build.interpreter import Interpreter
from wq_package.build.layer_cache import CachedLayer, LayerCache, compute_key
from wq_package.build.layer_maker import LayerMaker
from wq_package.build.layer_plan import LayerPlan
from wq_package.build.lock_text import Lock, parse_lock
from wq_package.build.options import BuildOptions
from wq_package.build.recipes import Recipe, make_installed_recipe, make_pin_key
from wq_package.errors import AlteredDistributionError, BuildError
from wq_package.spec.environment import WheelRequirement

if TYPE_CHECKING:
    from wq_package.build.uv import Access

__all__ = ["WheelSource", "make_access"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Pin:
    """An exact requirement, and what is installed of it."""

    text: str
    name: str
    version: str | None
    installed: InstalledDistribution | None

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.name} {self.version}" if self.version else self.text


class WheelSource:
    """Provides the distributions of one build.

    Args:
        staging: folder for what uv installs; it must stay until the layers are made.
        maker: makes the layers.

    Attributes:
        fetched: digests of the layers that an index has to answer for: no distribution that is installed here does.
    """

    def __init__(
        self,
        cache: LayerCache,
        base: EnvironmentBase,
        options: BuildOptions,
        staging: Path,
        maker: LayerMaker,
    ) -> None:
        self._cache = cache
        self._interpreter = base.interpreter
        self._provided = base.distributions
        self._options = options
        self._staging = staging
        self._maker = maker
        self._lock = parse_lock(options.lock, "the lock") if options.lock else Lock(())
        self.fetched: frozenset[str] = frozenset()
        self._installed = _find_usable_distributions(base.interpreter, options)

    def provide(
        self, requirements: Sequence[str], others: Sequence[Recipe]
    ) -> tuple[list[CachedLayer], Mapping[str, CachedLayer]]:
        """Make the layers of some requirements and all that they require, and others with them.

        Returns:
            The layers of the distributions, sorted by name; and the other layers, by the key of their recipe.
        """
        wanted = leave_out_provided(self._select(requirements), self._provided)
        is_exact = all(WheelRequirement(text).version for text in wanted)
        if self._options.platform and wanted and not self._options.lock:
            is_exact = False  # what markers and wheels are for another machine, the resolver knows
        pins = wanted if is_exact else self._resolve(wanted)
        layers, made = self._make(pins, others)
        is_given = self._options.site_folders or self._options.lock
        if is_exact and not is_given and self._is_incomplete(pins, layers):
            is_exact, pins = False, self._resolve(wanted)
            layers, made = self._make(pins, others)
        if not is_exact and self._provided:
            self._check_provided(pins, layers)
        return [layers[name] for name in sorted(layers)], made

    def _select(self, requirements: Sequence[str]) -> list[str]:
        """Leave out what a marker excludes on this Python."""
        if self._options.platform or not any(";" in text for text in requirements):
            return list(requirements)
        from wq_package.build.closure import is_wanted  # costs 20 ms, and markers are rare

        version = self._interpreter.version
        return [text.partition(";")[0].strip() for text in requirements if is_wanted(text, version)]

    def _resolve(self, requirements: Sequence[str]) -> list[str]:
        from wq_package.build.uv import resolve_requirements

        preferred = [f"{name}=={each.version}" for name, each in sorted(self._installed.items())]
        return list(
            resolve_requirements(
                requirements,
                self._interpreter.program,
                self._staging,
                preferred=() if self._options.fresh else preferred,
                provided=sorted(self._provided),
                access=replace(make_access(self._options), fresh=False),
            )
        )

    def _is_incomplete(self, pins: Sequence[str], layers: Mapping[str, CachedLayer]) -> bool:
        digests = sorted(layer.stored.digest for layer in layers.values())
        there = [*pins, *render_pins(self._provided)]
        note = compute_key("complete", sorted(there), digests, self._interpreter.version)
        if self._cache.has_note(note):
            return False
        from wq_package.build.closure import find_missing  # costs 20 ms; the note saves it

        requires = {name: layer.requires for name, layer in layers.items()}
        missing = find_missing(there, requires, self._interpreter.version)
        if missing:
            _LOG.info("resolving, because the pins lack %s", ", ".join(missing))
            return True
        self._cache.add_note(note)
        return False

    def _check_provided(self, pins: Sequence[str], layers: Mapping[str, CachedLayer]) -> None:
        """The resolver was not told the versions that conda brings, which the index may not even have."""
        from wq_package.build.closure import find_missing

        requires = {name: layer.requires for name, layer in layers.items()}
        missing = find_missing([*pins, *render_pins(self._provided)], requires, self._interpreter.version)
        error = explain_unsatisfied(missing, self._provided)
        if error is not None:
            raise error

    def _make(
        self, texts: Sequence[str], others: Sequence[Recipe]
    ) -> tuple[dict[str, CachedLayer], Mapping[str, CachedLayer]]:
        pins = [self._read_pin(text) for text in texts]
        _check_pins(pins)
        recipes = self._make_recipes(pins)
        made = self._maker.make_all([*others, *recipes.values()])
        layers = {name: made[recipe.key] for name, recipe in recipes.items()}
        self.fetched = frozenset(layers[pin.name].stored.digest for pin in pins if self._is_absent(pin))
        for pin in pins:
            key = self._make_pin_key(pin)
            layer = layers[pin.name]
            is_edited = self._options.keep_edits and layer.stored.header.build
            is_released = not is_edited and not layer.artefact.requirement
            if is_released and recipes[pin.name].key != key and not self._cache.has_key(key):
                self._cache.link(key, layer)
        return layers, made

    def _read_pin(self, text: str) -> _Pin:
        requirement = WheelRequirement(text)
        installed = self._installed.get(requirement.canonical_name)
        if installed is not None and (installed.version != requirement.version or installed.is_editable):
            installed = None
        return _Pin(text, requirement.canonical_name, requirement.version, installed)

    def _make_pin_key(self, pin: _Pin) -> str:
        # What a URL leads to may change: such a layer is made again by every build.
        identity = f"{pin.name}=={pin.version}" if pin.version else f"{pin.text} {self._staging.name}"
        identity = self._lock.addresses.get(pin.name, identity)
        settings = self._options
        return make_pin_key(
            identity, self._interpreter, bytecode=settings.bytecode, platform=settings.platform
        )

    def _make_recipes(self, pins: Sequence[_Pin]) -> dict[str, Recipe]:
        absent = [pin for pin in pins if self._is_absent(pin)]
        fetched = _Fetched(
            lambda: [pin.text for pin in absent if self._cache.find_any(recipes[pin.name].key) is None],
            self._interpreter,
            self._options,
            self._staging / "index",
            self._lock,
        )
        recipes = {pin.name: self._make_fetched_recipe(pin, fetched) for pin in absent}
        for pin in pins:
            if pin.name not in recipes and pin.installed is not None:
                recipes[pin.name] = self._make_installed_recipe(pin, pin.installed)
        return recipes

    def _is_absent(self, pin: _Pin) -> bool:
        return pin.installed is None or self._options.fresh

    def _make_fetched_recipe(self, pin: _Pin, fetched: _Fetched) -> Recipe:
        key = self._make_pin_key(pin)
        if self._options.fresh:
            key = compute_key(key, self._staging.name)  # never found, so always made

        return Recipe(pin.title, key, -1, lambda _: fetched.plan(pin.name))

    def _make_installed_recipe(self, pin: _Pin, installed: InstalledDistribution) -> Recipe:
        settings = self._options
        recipe = make_installed_recipe(
            installed, self._interpreter, bytecode=settings.bytecode, keep_edits=settings.keep_edits
        )

        def plan(staging: Path) -> LayerPlan:
            try:
                return recipe.plan(staging)
            except AlteredDistributionError as altered:
                return self._plan_from_index(pin, altered, staging)

        return replace(recipe, plan=plan)

    def _plan_from_index(self, pin: _Pin, altered: AlteredDistributionError, staging: Path) -> LayerPlan:
        """Take the released files where the installed ones were edited; say so."""
        _LOG.warning("%s: taking it from the index", altered)
        fetched = _Fetched(lambda: [pin.text], self._interpreter, self._options, staging, self._lock)
        try:
            return fetched.plan(pin.name)
        except BuildError as error:
            raise altered from error


def _check_pins(pins: Sequence[_Pin]) -> None:
    """Refuse two versions of one distribution: pins are not resolved, so nobody else would notice."""
    versions: dict[str, str] = {}
    for pin in pins:
        other = versions.setdefault(pin.name, pin.version or pin.text)
        if other != (pin.version or pin.text):
            hint = "keep one of them in the spec"
            raise BuildError(f"`{pin.name}` is pinned to {other} and to {pin.version or pin.text}", hint=hint)


def make_access(options: BuildOptions) -> Access:
    """Tell how uv gets at the distributions of a build."""
    from wq_package.build.platforms import parse_platform
    from wq_package.build.uv import Access  # costs 5 ms, and most builds fetch nothing

    platform = parse_platform(options.platform).for_uv if options.platform else ""
    return Access(options.indexes, options.offline, options.fresh, platform)


class _Fetched:
    """Distributions that uv installs into a folder, all at once when the first is asked for.

    Args:
        list_pins: tells which; called then.
    """

    def __init__(
        self,
        list_pins: Callable[[], Sequence[str]],
        interpreter: Interpreter,
        options: BuildOptions,
        folder: Path,
        lock: Lock,
    ) -> None:
        self._list_pins = list_pins
        self._pinned = lock
        self._interpreter = interpreter
        self._options = options
        self._folder = folder
        self._lock = threading.Lock()
        self._found: dict[str, InstalledDistribution] | None = None

    def plan(self, name: str) -> LayerPlan:
        """Plan the layer of one of the distributions."""
        from wq_package.build.wheel_layer import plan_wheel_layer

        with self._lock:
            if self._found is None:
                self._found = self._fetch()
        if name not in self._found:
            hint = "check its name in the spec"
            raise BuildError(f"the index gave no distribution named `{name}`", hint=hint)
        return plan_wheel_layer(self._found[name], self._interpreter)

    def _fetch(self) -> dict[str, InstalledDistribution]:
        from wq_package.build.uv import install_wheels

        addresses = self._pinned.addresses
        install_wheels(
            [addresses.get(WheelRequirement(pin).canonical_name, pin) for pin in self._list_pins()],
            self._interpreter.program,
            self._folder,
            make_access(self._options),
            self._pinned.hashes,
        )
        return find_distributions(sorted({str(info.parent) for info in self._folder.rglob("*.dist-info")}))


def _find_usable_distributions(
    interpreter: Interpreter, options: BuildOptions
) -> dict[str, InstalledDistribution]:
    """Find what is installed for the interpreter; nothing if the running Python is of another kind."""
    if options.platform:
        return {}
    if options.site_folders:
        return find_distributions(options.site_folders)
    if sys.implementation.cache_tag != interpreter.cache_tag:
        return {}
    return find_running_distributions()

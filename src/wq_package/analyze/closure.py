"""Distributions → exact pins of them and of all that they require here (shell module: reads installed metadata).

Knows Requires-Dist with markers and extras, and conda's `depends`. Does not know why a distribution is wanted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from wq_package.analyze.analysis import Problem, Resolver, Severity
from wq_package.analyze.installed import CondaPackage, Installed, InstalledDistribution
from wq_package.analyze.metadata import Need, iter_needs
from wq_package.analyze.target import Target
from wq_package.spec.environment import CondaRequirement, canonicalize_name

__all__ = ["Closure", "Pin"]

_NOT_CONDA = frozenset({"python", "pip"})


@dataclass(slots=True)
class Pin:
    """One distribution with its exact version, or a requirement if it is not installed."""

    name: str
    version: str | None
    requirement: str
    conda: CondaRequirement | None = None
    editable: str | None = None
    distribution: InstalledDistribution | None = None
    extras: frozenset[str] = frozenset()
    required_by: set[str] = field(default_factory=set)
    resolver: Resolver | None = None


@dataclass(slots=True)
class Closure:
    """Collects pins; call `add` for each distribution that is wanted, then `close`."""

    installed: Installed
    target: Target
    pins: dict[str, Pin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _work: deque[tuple[Need, str | None]] = field(default_factory=deque)
    _conda_work: deque[tuple[CondaPackage, str]] = field(default_factory=deque)

    def add(self, need: Need) -> None:
        """Want a distribution."""
        self._work.append((need, None))

    def close(self) -> None:
        """Follow all requirements; a missing one is a problem, not an end."""
        while self._work or self._conda_work:
            if self._work:
                self._follow(*self._work.popleft())
            else:
                self._follow_conda(*self._conda_work.popleft())

    def _follow(self, need: Need, wanted_by: str | None) -> None:
        pin = self.pins.get(need.key)
        is_new = pin is None
        if pin is None:
            pin = self._make_pin(need, wanted_by)
            if pin is None:
                return
            self.pins[need.key] = pin
        if wanted_by:
            pin.required_by.add(wanted_by)
        if pin.distribution is not None and (is_new or not need.extras <= pin.extras):
            pin.extras |= need.extras
            requires = self.installed.read_metadata(pin.distribution).requires
            self._work.extend((inner, pin.name) for inner in iter_needs(requires, pin.extras, self.target))
        if wanted_by is None and need.constraint and pin.version:
            self._check(need, pin)

    def _make_pin(self, need: Need, wanted_by: str | None) -> Pin | None:
        distribution = self.installed.find_distribution(need.name)
        if distribution is not None:
            return self._pin_installed(distribution)
        package = self.installed.find_conda_package(need.name)
        if package is not None:
            return self._pin_conda(package, None)
        if wanted_by is not None:
            text = f"`{wanted_by}` requires `{need.name}{need.constraint}`, which is not installed here"
            hint = f"add it with `--extra {need.name}` if it is needed"
            self.problems.append(Problem(Severity.WARNING, text, hint=hint))
            return None
        extras = f"[{','.join(sorted(need.extras))}]" if need.extras else ""
        return Pin(need.name, None, f"{need.name}{extras}{need.constraint}")

    def _pin_installed(self, distribution: InstalledDistribution) -> Pin:
        metadata = self.installed.read_metadata(distribution)
        if distribution.is_broken:
            text = f"the metadata of `{distribution.name}` in `{distribution.folder}` is missing or damaged"
            hint = f"install `{distribution.name}` again; what it requires is not known"
            self.problems.append(Problem(Severity.WARNING, text, hint=hint))
        package = self.installed.find_conda_owner(f"{distribution.folder}/METADATA")
        if package is not None:
            return self._pin_conda(package, distribution)
        editable = self.installed.find_editable_folder(distribution)
        requirement = f"{metadata.name}=={metadata.version}" if metadata.version else metadata.name
        return Pin(
            metadata.name, metadata.version or None, requirement, editable=editable, distribution=distribution
        )

    def _pin_conda(self, package: CondaPackage, distribution: InstalledDistribution | None) -> Pin:
        requirement = package.requirement
        self._conda_work.append((package, requirement.name))
        name = distribution.name if distribution else requirement.name
        return Pin(
            name,
            requirement.version,
            requirement.text,
            requirement,
            distribution=distribution,
            resolver=Resolver.CONDA,
        )

    def _follow_conda(self, package: CondaPackage, name: str) -> None:
        """Pin what a conda package depends on, libraries and programs included."""
        for dependency in package.depends:
            if dependency in _NOT_CONDA or dependency.startswith("__"):
                continue
            pin = self._find_conda_pin(dependency)
            if pin is None:
                inner = self.installed.find_conda_package(dependency)
                if inner is None:
                    continue
                pin = self.pins[f"conda:{dependency}"] = self._pin_conda(inner, None)
            if pin.name != name:
                pin.required_by.add(name)

    def _find_conda_pin(self, name: str) -> Pin | None:
        for key in (f"conda:{name}", canonicalize_name(name)):
            pin = self.pins.get(key)
            if pin is not None and pin.conda is not None:
                return pin
        return next(
            (pin for pin in self.pins.values() if pin.conda is not None and pin.conda.name == name), None
        )

    def _check(self, need: Need, pin: Pin) -> None:
        """Compare the installed version with a constraint that the program or the user gave."""
        from packaging.specifiers import InvalidSpecifier, SpecifierSet
        from packaging.version import InvalidVersion

        try:
            fits = SpecifierSet(need.constraint).contains(pin.version or "", prereleases=True)
        except (InvalidSpecifier, InvalidVersion):
            return
        if not fits:
            text = f"`{need.name}{need.constraint}` is asked for, but {pin.version} is installed here and is pinned"
            self.problems.append(
                Problem(Severity.WARNING, text, hint=f"install `{need.name}{need.constraint}` here")
            )

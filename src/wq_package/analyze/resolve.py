"""Import name → whose it is and which distribution provides it, by an ordered chain (shell module).

The chain: the user's mapping · the program's own folder · the standard library · the installed files · what the program
declares (script block, notebook) · the shipped table. Each answer says who gave it. Knows nothing of syntax trees.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field

from wq_package.analyze.analysis import Origin, Resolver
from wq_package.analyze.finder import FolderCache, FoundModule, find_module
from wq_package.analyze.installed import Installed, InstalledDistribution
from wq_package.analyze.known import find_candidates
from wq_package.analyze.metadata import Need
from wq_package.analyze.target import Target
from wq_package.spec.environment import canonicalize_name

__all__ = ["Answer", "Chain", "Claim"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One distribution that provides an import, and who says so."""

    need: Need
    resolver: Resolver
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an import is.

    Attributes:
        found: its file, for local code and installed files.
        claims: the distributions that provide it.
        candidates: distributions that may provide it, if nobody is sure.
        warning: why the answer is a guess, or empty.
    """

    origin: Origin
    found: FoundModule | None = None
    claims: tuple[Claim, ...] = ()
    candidates: tuple[str, ...] = ()
    warning: str = ""

    @property
    def is_present(self) -> bool:
        """Whether the import would succeed here."""
        if self.origin in (Origin.STANDARD_LIBRARY, Origin.LOCAL):
            return True
        return bool(self.claims) and all(claim.resolver is not Resolver.TABLE for claim in self.claims)


_UNKNOWN = Answer(Origin.UNKNOWN)


@dataclass(slots=True)
class Chain:
    """The resolvers, with what they need.

    Attributes:
        mapping: the user's pairs.
        declared: what the program itself declares, by canonical name.
    """

    installed: Installed
    target: Target
    mapping: dict[str, Need] = field(default_factory=dict)
    declared: dict[str, tuple[Need, Resolver]] = field(default_factory=dict)
    local_cache: FolderCache = field(default_factory=FolderCache)
    answers: dict[tuple[str, int, tuple[str, ...], tuple[str, ...]], Answer] = field(default_factory=dict)

    def resolve(self, module: str, name: str | None, first: tuple[str, ...], last: tuple[str, ...]) -> Answer:
        """Resolve an import.

        Args:
            module: absolute dotted name.
            name: for `from module import name`, the name; it may be a module too.
            first: folders searched before the standard library.
            last: folders searched after everything installed.
        """
        full = f"{module}.{name}" if name and name != "*" else module
        key = (full, module.count("."), first, last)
        if key not in self.answers:
            self.answers[key] = self._resolve(full, module, first, last)
        return self.answers[key]

    def _resolve(self, full: str, module: str, first: tuple[str, ...], last: tuple[str, ...]) -> Answer:
        mapped = self._find_mapped(full)
        if mapped:
            return mapped
        top = full.partition(".")[0]
        if top in sys.builtin_module_names and top in self.target.standard_library:
            return Answer(Origin.STANDARD_LIBRARY)
        local = find_module(full, first, self.local_cache)
        if local and not local.is_namespace and not self._is_installed(local.file):
            return Answer(Origin.LOCAL, local)
        if top in self.target.standard_library:
            return Answer(Origin.STANDARD_LIBRARY)
        found = self._find_installed(full, first) or find_module(full, last, self.local_cache)
        if found and not _is_too_shallow(found, module):
            answer = self._identify(found)
            if answer:
                return answer
        return self._find_declared(full) or self._look_up(full)

    def _is_installed(self, file: str) -> bool:
        """Tell whether a file lies where installers put things, whichever folders the program searches first."""
        return any(file.startswith(site + "/") for site in self.installed.sites)

    def _find_mapped(self, full: str) -> Answer | None:
        name = full
        while name:
            if name in self.mapping:
                need = self.mapping[name]
                claim = Claim(need, Resolver.MAPPING, f"`{name}={need.name}`")
                return Answer(Origin.THIRD_PARTY, claims=(claim,))
            name = name.rpartition(".")[0]
        return None

    def _find_installed(self, full: str, first: tuple[str, ...]) -> FoundModule | None:
        top, _, rest = full.partition(".")
        place = self.installed.finders.get(top)
        if place is None:
            return find_module(full, (*first, *self.installed.path), self.local_cache)
        if place.endswith(".py"):
            return FoundModule(top, place, os.path.dirname(place))  # noqa: PTH120 - plain strings all the way
        # The folder may have another name than the package: look inside it, then put the name back.
        root = os.path.dirname(place)  # noqa: PTH120 - plain strings all the way
        other = os.path.basename(place)  # noqa: PTH119 - plain strings all the way
        found = find_module(f"{other}.{rest}" if rest else other, (root,), self.local_cache)
        return (
            found
            if other == top or found is None
            else FoundModule(
                ".".join([top, *found.name.split(".")[1:]]),
                found.file,
                root,
                found.is_package,
                found.portions,
                found.parents,
            )
        )

    def _identify(self, found: FoundModule) -> Answer | None:
        """Tell whose an existing file is."""
        if found.is_namespace:
            return self._identify_namespace(found)
        site = next((site for site in self.installed.sites if found.file.startswith(site + "/")), None)
        if site is None:
            return Answer(Origin.LOCAL, found)
        owners = self.installed.find_owners(found.file)
        for parent in found.parents:
            above = self.installed.find_owners(parent)
            owners += () if set(map(id, above)) & set(map(id, owners)) else above
        conda = None if owners else self.installed.find_conda_owner(found.file)
        if conda:
            claim = Claim(Need(conda.requirement.name), Resolver.CONDA, _shorten(found.file, site))
            return Answer(Origin.THIRD_PARTY, found, (claim,))
        if not owners:
            warning = "belongs to no installed distribution; it is taken along as local source"
            return Answer(Origin.LOCAL, found, warning=warning)
        return self._prefer_declared(found, owners, site)

    def _prefer_declared(
        self, found: FoundModule, owners: tuple[InstalledDistribution, ...], site: str
    ) -> Answer:
        """Take the installed owners, unless the program declares another provider of the same import."""
        if not any(owner.key in self.declared for owner in owners):
            declared = self._find_declared(found.name)
            if declared:
                return declared
        chosen = tuple(owner for owner in owners if owner.key in self.declared) or owners
        claims = tuple(_claim_file(owner, _shorten(found.file, site)) for owner in chosen)
        return Answer(Origin.THIRD_PARTY, found, claims)

    def _identify_namespace(self, found: FoundModule) -> Answer | None:
        owners: dict[str, InstalledDistribution] = {}
        for portion in found.portions:
            for owner in self.installed.find_folder_owners(portion):
                owners.setdefault(owner.key, owner)
        if not owners:
            in_site = any(found.file.startswith(site + "/") for site in self.installed.sites)
            return None if in_site else Answer(Origin.LOCAL, found)
        if len(owners) > 1:
            names = tuple(sorted(owner.name for owner in owners.values()))
            return Answer(Origin.UNKNOWN, found, candidates=names)
        claims = tuple(_claim_file(owner, found.name) for owner in owners.values())
        return Answer(Origin.THIRD_PARTY, found, claims)

    def _find_declared(self, full: str) -> Answer | None:
        if not self.declared:
            return None
        top = full.partition(".")[0]
        names = [
            canonicalize_name(full),
            canonicalize_name(top),
            *map(canonicalize_name, find_candidates(full)),
        ]
        for name in names:
            if name in self.declared:
                need, resolver = self.declared[name]
                return Answer(Origin.THIRD_PARTY, claims=(Claim(need, resolver, f"`{need.name}`"),))
        return None

    def _look_up(self, full: str) -> Answer:
        candidates = find_candidates(full)
        if len(candidates) != 1:
            return Answer(Origin.UNKNOWN, candidates=candidates) if candidates else _UNKNOWN
        is_here = self.installed.find_distribution(candidates[0]) is not None
        what = "has no file here" if is_here else "is not installed here"
        warning = f"{what}; `{candidates[0]}` is known to provide it"
        claim = Claim(Need(candidates[0]), Resolver.TABLE, "not installed here")
        return Answer(Origin.THIRD_PARTY, claims=(claim,), warning=warning)


def _is_too_shallow(found: FoundModule, module: str) -> bool:
    """A namespace package that lacks the rest of the name is no answer; a real package may make the rest itself."""
    return found.is_namespace and found.name.count(".") < module.count(".")


def _claim_file(owner: InstalledDistribution, file: str) -> Claim:
    return Claim(Need(owner.name), Resolver.INSTALLED, file)


def _shorten(file: str, site: str) -> str:
    return file[len(site) + 1 :]

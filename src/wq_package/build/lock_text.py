"""The lock of an environment: exactly what is in it, in one canonical text, both ways (logic module).

The same layers give the same text: no clock, no path, no name of the machine. It stands in every archive, and in a file of
its own where a build is to be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wq_package.archive.layer import LayerKind, StoredLayer
from wq_package.build.artefacts import UNKNOWN, Artefact, parse_artefact, render_artefact
from wq_package.errors import BuildError, InvalidSpecError
from wq_package.spec.environment import CondaRequirement, canonicalize_name

__all__ = ["Lock", "LockedArtefact", "check_lock", "parse_lock", "render_lock"]

_LOCK_VERSION = 1


@dataclass(frozen=True, slots=True)
class LockedArtefact:
    """One thing that goes into an environment.

    Attributes:
        layer: digest of its layer, `sha256:<hex>`.
        build: build string of a conda package, or empty.
        artefact: the file that it came from, as far as it is known.
    """

    kind: str
    name: str
    version: str
    layer: str
    build: str = ""
    artefact: Artefact = UNKNOWN


@dataclass(frozen=True, slots=True)
class Lock:
    """Everything that goes into an environment, in order."""

    artefacts: tuple[LockedArtefact, ...]

    @property
    def python(self) -> str | None:
        """Version of the interpreter."""
        kinds = (LayerKind.INTERPRETER.value, LayerKind.CONDA.value)
        return next(
            (each.version for each in self.artefacts if each.name == "python" and each.kind in kinds), None
        )

    @property
    def conda(self) -> tuple[CondaRequirement, ...]:
        """The conda packages."""
        return tuple(self.conda_digests)

    @property
    def conda_digests(self) -> dict[CondaRequirement, str]:
        """The digest of each conda package, or nothing where it is not known."""
        return {
            CondaRequirement(each.name, each.version, each.build): each.artefact.sha256
            for each in self.artefacts
            if each.kind == LayerKind.CONDA.value
        }

    @property
    def pins(self) -> tuple[str, ...]:
        """The distributions of the Python package index."""
        wheels = (each for each in self.artefacts if each.kind == LayerKind.WHEEL.value)
        return tuple(f"{each.name}=={each.version}" for each in wheels)

    @property
    def addresses(self) -> dict[str, str]:
        """What asks for a distribution that has an address of its own, by canonical name."""
        return {
            canonicalize_name(each.name): each.artefact.requirement
            for each in self.artefacts
            if each.artefact.requirement
        }

    @property
    def hashes(self) -> dict[str, str]:
        """The digest of each distribution's wheel, as far as it is known, by canonical name."""
        return {
            canonicalize_name(each.name): each.artefact.sha256
            for each in self.artefacts
            if each.kind == LayerKind.WHEEL.value and each.artefact.sha256
        }

    @property
    def known(self) -> dict[str, Artefact]:
        """The file that each layer came from, by the layer's digest."""
        return {each.layer.removeprefix("sha256:"): each.artefact for each in self.artefacts}


def render_lock(
    layers: Sequence[StoredLayer],
    artefacts: Mapping[str, Artefact] | None = None,
    *,
    names_folders: bool = False,
) -> str:
    """Write the lock of some layers, in their order.

    Args:
        layers: all of an environment.
        artefacts: which files they came from, by digest of the layer, as far as it is known.
        names_folders: whether folders of this machine are named: in an archive, which goes elsewhere, they are not.
    """
    known = artefacts or {}
    described = [
        _describe(layer) | _describe_artefact(known.get(layer.digest, UNKNOWN), names_folders=names_folders)
        for layer in layers
        if layer.header.kind is not LayerKind.LAUNCHER
    ]
    lock = {"lock-version": _LOCK_VERSION, "artefacts": described}
    return json.dumps(lock, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _describe(layer: StoredLayer) -> dict[str, object]:
    header = layer.header
    fields: dict[str, object] = {
        "kind": header.kind.value,
        "name": header.name,
        "version": header.version,
        "layer": f"sha256:{layer.digest}",
    }
    if header.build:
        fields["build"] = header.build
    if header.machine:
        fields["machine"] = header.machine
    if header.source:
        fields["source"] = header.source
    return fields


def _describe_artefact(artefact: Artefact, *, names_folders: bool) -> dict[str, object]:
    if "file:" in artefact.requirement and not names_folders:
        artefact = replace(artefact, url="", requirement="")
    return render_artefact(artefact)


def parse_lock(text: str, path: str) -> Lock:
    """Read a lock; `path` is only for messages.

    Raises:
        InvalidSpecError: it is not a lock, or one of another version.
    """
    try:
        fields = json.loads(text)
        version = fields["lock-version"]
        if version != _LOCK_VERSION:
            issue = f"it has lock version {version}, and this program reads version {_LOCK_VERSION}"
            raise InvalidSpecError(path, (issue,), hint="write it again with `wq-package lock`")
        return Lock(tuple(_parse_artefact(each) for each in fields["artefacts"]))
    except (ValueError, KeyError, TypeError) as error:
        issue = "it is not a lock, or a damaged one"
        raise InvalidSpecError(path, (issue,), hint="write it again with `wq-package lock`") from error


def _parse_artefact(fields: dict[str, Any]) -> LockedArtefact:
    values = [*(fields[name] for name in ("kind", "name", "version", "layer")), fields.get("build", "")]
    if not all(isinstance(value, str) for value in values):
        raise TypeError("a field of an artefact is not text")
    kind, name, version, layer, build = values
    return LockedArtefact(kind, name, version, layer, build, parse_artefact(fields))


def check_lock(layers: Sequence[StoredLayer], lock: Lock) -> None:
    """Compare what is about to be packed with a lock.

    Raises:
        BuildError: something differs; both versions or digests of each difference are shown.
    """
    made = {_identify(each): each for each in parse_lock(render_lock(layers), "").artefacts}
    locked = {_identify(each): each for each in lock.artefacts}
    issues = [_explain(made.get(key), locked.get(key)) for key in sorted(made.keys() | locked.keys())]
    found = [issue for issue in issues if issue]
    if found:
        hint = "use the machine, Python and options that the lock was made with, or write a new one with `wq-package lock`"
        raise BuildError("this build would differ from its lock: " + "; ".join(found), hint=hint)


def _identify(artefact: LockedArtefact) -> tuple[str, str]:
    return artefact.kind, artefact.name


def _explain(made: LockedArtefact | None, locked: LockedArtefact | None) -> str:
    if locked is None:
        return f"`{made.name}` {made.version} is not in the lock" if made else ""
    if made is None:
        return f"`{locked.name}` {locked.version} is in the lock only"
    if made.version != locked.version and made.kind != LayerKind.LOCAL.value:
        return f"`{made.name}` has version {made.version}, and {locked.version} in the lock"
    if made.layer != locked.layer:
        return f"`{made.name}` has {made.layer}, and {locked.layer} in the lock"
    return ""

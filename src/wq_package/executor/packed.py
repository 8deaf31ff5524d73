"""Environments of apps as values: what was built, what became of each app, when one serves another (value module).

Knows specs and layers; knows nothing of how they are made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from wq_package.spec.environment import CondaRequirement, EnvironmentSpec, LocalSource, WheelRequirement
from wq_package.task import Environment

__all__ = ["Built", "PackedApp", "PackedLayer", "describe_spec", "digest_sources", "digest_spec", "serves"]


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """One layer of an environment, for people.

    Attributes:
        build: build string of a conda package, or empty.
    """

    kind: str
    name: str
    version: str
    size: int
    build: str = ""


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


@dataclass(frozen=True, slots=True)
class PackedApp:
    """What became of one app.

    Attributes:
        spec: what is in its environment; read from the archive where the user named one.
        problems: imports of it that could not be resolved.
        seconds_waited: from the first task until the environment was ready.
        suggestions: what its source shows that it may need, and no import says.
        given: the environment that the user named for it; empty for one that was made for the app.
    """

    name: str
    spec: EnvironmentSpec
    environment: Environment
    built: Built
    problems: tuple[str, ...]
    seconds_analyze: float
    seconds_build: float
    seconds_waited: float
    suggestions: tuple[str, ...] = ()
    given: str = ""


def describe_spec(built: Built) -> EnvironmentSpec:
    """Say as a spec what is in an archive."""
    kinds: dict[str, list[PackedLayer]] = {}
    for layer in built.layers:
        kinds.setdefault(layer.kind, []).append(layer)
    base = [layer.version for layer in built.layers if layer.name == "python" and layer.kind in _PYTHON_KINDS]
    return EnvironmentSpec(
        python=base[0] if base else None,
        conda=tuple(
            CondaRequirement(layer.name, layer.version, layer.build)
            for layer in kinds.get("conda", ())
            if layer.name != "python"
        ),
        wheels=tuple(WheelRequirement(f"{layer.name}=={layer.version}") for layer in kinds.get("wheel", ())),
        local=tuple(LocalSource(layer.name, "", layer.version) for layer in kinds.get("local", ())),
    )


_PYTHON_KINDS = ("interpreter", "conda")


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
    lines += _list_sources(spec.local)
    lines += [f"data {astuple(source)}" for source in sorted(spec.data)]
    lines += [f"variable {name} {value!r}" for name, value in sorted(spec.variables)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def digest_sources(base: str, sources: Iterable[LocalSource]) -> str:
    """Name an environment that has these sources on top of what is named `base`; by that name alone if there are none."""
    lines = _list_sources(sources)
    return hashlib.sha256("\n".join([base, *lines]).encode()).hexdigest() if lines else base


def _list_sources(sources: Iterable[LocalSource]) -> list[str]:
    return [f"local {source.import_name} {source.digest}" for source in sorted(sources)]

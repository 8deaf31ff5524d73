"""What an environment stands on: its Python, and what comes with it (value module)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wq_package.build.artefacts import Artefact
from wq_package.build.interpreter import Interpreter
from wq_package.build.recipes import Recipe
from wq_package.spec.environment import EnvironmentSpec

__all__ = ["EnvironmentBase", "is_conda_spec"]


@dataclass(frozen=True, slots=True)
class EnvironmentBase:
    """The layers below all wheels and local sources.

    Attributes:
        interpreter: the Python, as it can be run on this machine.
        python: recipe of the layer with Python.
        others: recipes of the layers that come with it, by name.
        distributions: version of each Python distribution in them, by canonical name.
        owners: name of the package that owns a path, where wheels must not overwrite it.
        artefacts: the file that each conda package came from, by the package's name.
    """

    interpreter: Interpreter
    python: Recipe
    others: tuple[Recipe, ...] = ()
    distributions: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    artefacts: Mapping[str, Artefact] = field(default_factory=dict)


def is_conda_spec(spec: EnvironmentSpec) -> bool:
    """Tell whether a spec needs a conda channel.

    One that only names a version of Python and a public channel does not: any Python of that version will do. One that
    names a channel by path or URL means the Python of that channel.
    """
    return bool(spec.conda) or any("/" in channel for channel in spec.channels)

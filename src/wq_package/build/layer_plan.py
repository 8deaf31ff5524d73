"""What goes into a layer before it is written (value module).

Knows the parts that every kind of layer has in common. Knows nothing of where they come from or how they are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wq_package.archive.layer import LayerEntry, LayerHeader, Relocation
from wq_package.build.artefacts import UNKNOWN, Artefact

__all__ = ["LayerPlan"]


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """A layer that is ready to be written.

    Attributes:
        sources: Python sources to compile: the file to read, and its path in the layer.
        watched: files outside any distribution that went in; the layer is made again when one changes.
        requires: what a distribution requires, as its metadata says.
        artefact: what is known of the file that it was installed from, without asking anybody.
    """

    header: LayerHeader
    entries: tuple[LayerEntry, ...]
    relocations: tuple[Relocation, ...] = ()
    sources: tuple[tuple[Path, str], ...] = ()
    watched: tuple[Path, ...] = ()
    requires: tuple[str, ...] = ()
    artefact: Artefact = UNKNOWN

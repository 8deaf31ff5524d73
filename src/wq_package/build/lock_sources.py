"""Finds out which wheels the layers of a lock came from (shell module). Asks the index, and reads what layers keep."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from wq_package.archive.contents import read_stored_files
from wq_package.archive.layer import LayerKind
from wq_package.build.artefacts import Artefact, parse_artefacts, parse_wheel_tags, select_artefact
from wq_package.build.layer_cache import CachedLayer
from wq_package.build.uv import Access, list_artefacts
from wq_package.errors import BuildError
from wq_package.spec.environment import canonicalize_name

__all__ = ["find_artefacts"]

_LOG = logging.getLogger(__name__)


def find_artefacts(
    layers: Sequence[CachedLayer], python: str, staging: Path, access: Access
) -> dict[str, Artefact]:
    """Name the wheel of each layer, by the layer's digest, as far as the index tells.

    A distribution that was built here, edited, or of which the index offers no such wheel has none.
    """
    wheels = [
        each for each in layers if each.stored.header.kind is LayerKind.WHEEL and not each.stored.header.build
    ]
    if not wheels or access.offline:
        return {}
    pins = [f"{each.stored.header.name}=={each.stored.header.version}" for each in wheels]
    try:
        offered = parse_artefacts(list_artefacts(pins, python, staging, access))
    except BuildError as error:
        _LOG.warning("the lock does not name the files of distributions: %s", error)
        return {}
    chosen = {
        each.stored.digest: select_artefact(
            offered.get(canonicalize_name(each.stored.header.name), ()), _read_tags(each)
        )
        for each in wheels
    }
    return {digest: artefact for digest, artefact in chosen.items() if artefact}


def _read_tags(layer: CachedLayer) -> tuple[str, ...]:
    with layer.path.open("rb") as stream:
        found = read_stored_files(stream, layer.stored, lambda path: path.endswith(".dist-info/WHEEL"))
    return parse_wheel_tags(next(iter(found.values()), b"").decode("utf-8", "replace"))

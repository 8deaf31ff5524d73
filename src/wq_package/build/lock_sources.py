"""Finds out which files the layers of distributions came from (shell module). Asks the index, and notes what it said."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from wq_package.build.artefacts import Artefact, parse_artefacts, select_artefact
from wq_package.build.layer_cache import CachedLayer, LayerCache
from wq_package.build.noted import note_artefact
from wq_package.build.uv import Access, list_artefacts
from wq_package.errors import BuildError
from wq_package.spec.environment import canonicalize_name

__all__ = ["ask_index"]

_LOG = logging.getLogger(__name__)


def ask_index(
    wheels: Sequence[CachedLayer], cache: LayerCache, python: str, staging: Path, access: Access
) -> dict[str, Artefact]:
    """Name the file of each layer, by the layer's digest, as far as the index tells; what it says is noted.

    A distribution that was built here, edited, or of which the index offers no such wheel has none.
    """
    asked = [each for each in wheels if not each.stored.header.build and not each.artefact.requirement]
    pins = [f"{each.stored.header.name}=={each.stored.header.version}" for each in asked]
    if not pins or access.offline:
        return {}
    try:
        offered = parse_artefacts(list_artefacts(pins, python, staging, access))
    except BuildError as error:
        _LOG.warning("the lock does not name the files of distributions: %s", error)
        return {}
    found: dict[str, Artefact] = {}
    for layer in asked:
        files = offered.get(canonicalize_name(layer.stored.header.name), ())
        chosen = select_artefact(files, layer.artefact.tags)
        if chosen is not None:
            found[layer.stored.digest] = _measure(chosen, staging)
        # That there is none is noted, too: no build after this one asks again.
        note_artefact(layer, found.get(layer.stored.digest, layer.artefact), cache)
    return found


def _measure(artefact: Artefact, folder: Path) -> Artefact:
    """Tell the size of a file that lies in a folder of this machine, and leave out which."""
    if artefact.url.startswith(("http:", "https:")):
        return artefact
    path = folder / unquote(artefact.url.removeprefix("file://"))
    with suppress(OSError):
        artefact = replace(artefact, size=path.stat().st_size)
    return replace(artefact, url="")

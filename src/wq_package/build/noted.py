"""What is known of the files that layers came from, without asking anybody (shell module)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from wq_package.build.artefacts import Artefact, parse_artefact, render_artefact
from wq_package.build.layer_cache import CachedLayer, LayerCache, compute_key

__all__ = ["is_noted", "note_artefact", "read_noted"]


def read_noted(layers: Sequence[CachedLayer], cache: LayerCache) -> dict[str, Artefact]:
    """Tell what an index said before, or what an installer left, by the layer's digest."""
    return {layer.stored.digest: _read_note(layer, cache) for layer in layers}


def _read_note(layer: CachedLayer, cache: LayerCache) -> Artefact:
    try:
        return parse_artefact(json.loads(cache.read_note(_make_key(layer)) or ""))
    except (ValueError, TypeError):
        return layer.artefact


def is_noted(layer: CachedLayer, cache: LayerCache) -> bool:
    """Tell whether an index was asked about a layer."""
    return cache.has_note(_make_key(layer))


def note_artefact(layer: CachedLayer, artefact: Artefact, cache: LayerCache) -> None:
    """Remember what an index said."""
    cache.add_note(_make_key(layer), json.dumps(render_artefact(artefact)))


def _make_key(layer: CachedLayer) -> str:
    return compute_key("artefact", layer.stored.digest)

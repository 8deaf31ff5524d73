"""Whether wheels or local sources would overwrite what conda packages own (shell module).

Reads the members of finished layers; decides nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from wq_package.archive.decoder import LayerDecoder
from wq_package.archive.tar_segment import SegmentParser
from wq_package.build.layer_cache import CachedLayer, LayerCache, compute_key
from wq_package.errors import BuildError

__all__ = ["check_conflicts", "explain_conflicts"]

_SHOWN = 3


def check_conflicts(layers: Sequence[CachedLayer], owners: Mapping[str, str], cache: LayerCache) -> None:
    """Raise `BuildError` if a layer has a path that a conda package owns; what was found right is noted in the cache."""
    if not owners or not layers:
        return
    digests = sorted(layer.stored.digest for layer in layers)
    note = compute_key("no conflicts", digests, sorted(owners.items()))
    if cache.has_note(note):
        return
    with LayerDecoder() as decoder:
        paths = {layer.stored.header.name: list(_iter_paths(layer, decoder)) for layer in layers}
    error = explain_conflicts(paths, owners)
    if error is not None:
        raise error
    cache.add_note(note)


def _iter_paths(layer: CachedLayer, decoder: LayerDecoder) -> Iterator[str]:
    parser = SegmentParser()
    with layer.path.open("rb") as stream:
        for raw in decoder.iter_raw(stream, layer.stored.digest, layer.stored.size):
            for piece in parser.feed(raw):
                if piece.offset == 0:
                    yield piece.member.path


def explain_conflicts(paths: Mapping[str, Iterable[str]], owners: Mapping[str, str]) -> BuildError | None:
    """Say which layers would overwrite which packages; `None` if none does.

    Args:
        paths: what each layer holds, by its name.
        owners: name of the conda package that owns a path.
    """
    issues = []
    for name in sorted(paths):
        taken = sorted(path for path in paths[name] if path in owners)
        packages = sorted({owners[path] for path in taken})
        if taken:
            shown = ", ".join(f"`{path}`" for path in taken[:_SHOWN]) + (" …" if len(taken) > _SHOWN else "")
            issues.append(f"`{name}` would overwrite {len(taken)} files of {', '.join(packages)}: {shown}")
    if not issues:
        return None
    hint = "take the one or the other: leave it out under `pip:`, or leave out the conda package"
    return BuildError("; ".join(issues), hint=hint)

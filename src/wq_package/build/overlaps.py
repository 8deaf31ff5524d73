"""Whether distributions of one environment get in each other's way: a path that two have (logic and shell module).

Reads manifests of finished layers. What conda packages own is the business of `wq_package.build.conda.conflicts`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence

from wq_package.build.layer_cache import CachedLayer, LayerCache, compute_key
from wq_package.errors import BuildError

__all__ = ["check_overlaps", "explain_overlaps", "find_case_twins"]

_LOG = logging.getLogger(__name__)
_SHOWN = 3


def check_overlaps(wheels: Sequence[CachedLayer], cache: LayerCache) -> None:
    """Refuse distributions that have one path with different contents; what was found right is noted in the cache.

    Raises:
        BuildError: two distributions cannot be together; both are named.
    """
    note = compute_key("no overlaps", sorted(layer.stored.digest for layer in wheels))
    if cache.has_note(note):
        return
    files = {_name(layer): _read_files(layer) for layer in wheels}
    error = explain_overlaps(files)
    if error is not None:
        raise error
    twins = find_case_twins(path for each in files.values() for path in each)
    for first, second in twins[:_SHOWN]:
        _LOG.warning(
            "names that differ only in case, which some file systems take for one: %s, %s", first, second
        )
    if not twins:
        cache.add_note(note)


def _name(layer: CachedLayer) -> str:
    return f"{layer.stored.header.name} {layer.stored.header.version}"


def _read_files(layer: CachedLayer) -> dict[str, str]:
    """Tell what is at each path of a layer."""
    from wq_package.archive.contents import read_manifest  # costs 2 ms, and the note saves it

    descriptor = os.open(layer.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        members = read_manifest(descriptor, 0, layer.stored).members
    finally:
        os.close(descriptor)
    return {member.path: member.digest or f"{member.kind.value} {member.target}" for member in members}


def explain_overlaps(files: Mapping[str, Mapping[str, str]]) -> BuildError | None:
    """Say which distributions have a path in common with other contents; `None` if none have.

    Args:
        files: what tells the content at each path from another, by distribution.
    """
    owners: dict[str, str] = {}
    shared: dict[tuple[str, str], list[str]] = {}
    for name in sorted(files):
        for path, content in files[name].items():
            owner = owners.setdefault(path, name)
            if files[owner][path] != content and not path.endswith(".pyc"):
                shared.setdefault((owner, name), []).append(path)
    if not shared:
        return None
    hint = "leave one of them out of the spec, or choose versions that do not overlap"
    return BuildError("; ".join(_explain(*pair, paths) for pair, paths in sorted(shared.items())), hint=hint)


def _explain(first: str, second: str, paths: list[str]) -> str:
    shown = ", ".join(f"`{path}`" for path in sorted(paths)[:_SHOWN]) + (" …" if len(paths) > _SHOWN else "")
    return f"`{first}` and `{second}` both have {shown}, with different contents"


def find_case_twins(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Find paths that differ only in case, in pairs."""
    seen: dict[str, str] = {}
    twins: list[tuple[str, str]] = []
    for path in sorted(set(paths)):
        if path.endswith(".pyc"):
            continue
        other = seen.setdefault(path.casefold(), path)
        if other != path:
            twins.append((other, path))
    return twins

"""The lock inside an archive: exactly what went in, in one canonical text (logic module).

The same layers give the same text: no clock, no path, no name of the machine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from wq_package.archive.layer import LayerKind, StoredLayer

__all__ = ["render_lock"]

_LOCK_VERSION = 1


def render_lock(layers: Sequence[StoredLayer]) -> str:
    """Write the lock of some layers, in their order."""
    artefacts = [_describe(layer) for layer in layers if layer.header.kind is not LayerKind.LAUNCHER]
    lock = {"lock-version": _LOCK_VERSION, "artefacts": artefacts}
    return json.dumps(lock, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _describe(layer: StoredLayer) -> dict[str, object]:
    header = layer.header
    fields: dict[str, object] = {
        "kind": header.kind.value,
        "name": header.name,
        "version": header.version,
        "layer": f"sha256:{layer.digest}",
    }
    if header.machine:
        fields["machine"] = header.machine
    if header.source:
        fields["source"] = header.source
    return fields

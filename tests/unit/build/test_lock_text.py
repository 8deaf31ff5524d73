from __future__ import annotations

import json

from wq_package.archive.layer import Compression, LayerHeader, LayerKind, StoredLayer
from wq_package.build.lock_text import render_lock


def _make(kind: LayerKind, name: str, **more: str) -> StoredLayer:
    header = LayerHeader(kind, name, "1.0", **more)  # type: ignore[arg-type]  # only text fields are given
    return StoredLayer(header, "d" * 64, 10, 5, "e" * 64, 1, (), Compression.ZSTD)


def test_render_lock__every_artefact_in_order__without_the_launcher() -> None:
    layers = [
        _make(LayerKind.INTERPRETER, "python", machine="x86_64"),
        _make(LayerKind.LAUNCHER, "launcher"),
        _make(LayerKind.WHEEL, "numpy", source="sha256:ab"),
    ]

    lock = json.loads(render_lock(layers))

    assert [(each["kind"], each["name"], each["version"]) for each in lock["artefacts"]] == [
        ("interpreter", "python", "1.0"),
        ("wheel", "numpy", "1.0"),
    ]
    assert lock["artefacts"][1]["source"] == "sha256:ab"
    assert all(each["layer"] == "sha256:" + "d" * 64 for each in lock["artefacts"])


def test_render_lock__compression__does_not_matter() -> None:
    layer = _make(LayerKind.WHEEL, "numpy")
    other = StoredLayer(layer.header, layer.digest, 10, 7, "f" * 64, 1, (), Compression.GZIP)

    assert render_lock([layer]) == render_lock([other])

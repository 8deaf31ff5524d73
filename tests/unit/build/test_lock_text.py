from __future__ import annotations

import json
from dataclasses import replace

import pytest

from wq_package.archive.layer import Compression, LayerHeader, LayerKind, StoredLayer
from wq_package.build.lock_text import Lock, check_lock, parse_lock, render_lock
from wq_package.errors import BuildError, InvalidSpecError


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


def _lock(*layers: StoredLayer) -> Lock:
    return parse_lock(render_lock(layers), "env.lock")


def test_parse_lock__python_and_pins() -> None:
    lock = _lock(
        _make(LayerKind.INTERPRETER, "python"),
        _make(LayerKind.WHEEL, "numpy"),
        _make(LayerKind.LOCAL, "mine"),
    )

    assert lock.python == "1.0"
    assert lock.pins == ("numpy==1.0",)


@pytest.mark.parametrize(
    "text",
    ["", "nothing", "[]", "{}", '{"lock-version": 1}', '{"lock-version": 1, "artefacts": [{}]}',
     '{"lock-version": 1, "artefacts": [{"kind": 1, "name": "a", "version": "1", "layer": "x"}]}',
     '{"lock-version": 2, "artefacts": []}'],
)  # fmt: skip
def test_parse_lock__anything_else__is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(InvalidSpecError, match=r"env\.lock") as caught:
        parse_lock(text, "env.lock")

    assert caught.value.hint


def test_check_lock__the_same__passes() -> None:
    layers = [_make(LayerKind.INTERPRETER, "python"), _make(LayerKind.WHEEL, "numpy")]

    check_lock(layers, _lock(*layers))


def test_check_lock__differences__are_all_named_with_both_sides() -> None:
    old = [_make(LayerKind.WHEEL, "numpy"), _make(LayerKind.WHEEL, "gone"), _make(LayerKind.WHEEL, "moved")]
    moved = replace(old[2], header=replace(old[2].header, version="2.0"))
    new = [replace(old[0], digest="c" * 64), moved, _make(LayerKind.WHEEL, "extra")]

    with pytest.raises(BuildError) as caught:
        check_lock(new, _lock(*old))

    sentence = str(caught.value)
    assert "`numpy` has sha256:" + "c" * 64 + ", and sha256:" + "d" * 64 + " in the lock" in sentence
    assert "`gone` 1.0 is in the lock only" in sentence
    assert "`extra` 1.0 is not in the lock" in sentence
    assert "`moved` has version 2.0, and 1.0 in the lock" in sentence
    assert caught.value.hint

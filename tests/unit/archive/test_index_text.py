from __future__ import annotations

import json
from typing import Any

import pytest

from wq_package.archive.index_text import (
    TextError,
    compute_environment_digest,
    is_digest,
    parse_index,
    parse_manifest,
    parse_stored_layer,
    render_index,
    render_manifest,
    render_stored_layer,
)
from wq_package.archive.layer import (
    FORMAT_VERSION,
    ArchiveIndex,
    Compression,
    Frame,
    IndexedLayer,
    LayerHeader,
    LayerKind,
    LayerManifest,
    Member,
    MemberKind,
    Relocation,
    RelocationMode,
    StoredLayer,
    make_manifest_path,
)

_DIGEST = "ab" * 32
_HEADER = LayerHeader(
    LayerKind.CONDA, "numpy", "2.1", "py311_0", "sha256:" + _DIGEST, "x86_64", (2, 28), ("numpy",)
)
_STORED = StoredLayer(
    _HEADER, _DIGEST, 1024, 70, "cd" * 32, 3, (Frame(0, 30, 512), Frame(30, 40, 512)), Compression.GZIP
)
_INDEX = ArchiveIndex(
    FORMAT_VERSION,
    _DIGEST,
    Compression.GZIP,
    "3.11.7",
    "x86_64",
    None,
    (IndexedLayer(_STORED, 0),),
    lock="a\nä",
)
_MANIFEST = LayerManifest(
    _HEADER,
    (
        Member("a b", MemberKind.FILE, 0o755, 5, _DIGEST),
        Member("empty", MemberKind.FOLDER, 0o755),
        Member("raw-\udcff", MemberKind.LINK, 0o777, target="ä"),
    ),
    (Relocation("a b", RelocationMode.BINARY, "/old"), Relocation("a b", RelocationMode.TEXT, "/old")),
)


def test_index__rendered_and_parsed__is_the_same() -> None:
    text = render_index(_INDEX)
    assert parse_index(text) == _INDEX
    assert render_index(parse_index(text)) == text
    assert text.isascii()


def test_manifest__rendered_and_parsed__is_the_same() -> None:
    assert parse_manifest(render_manifest(_MANIFEST)) == _MANIFEST


@pytest.mark.parametrize(
    "placeholder",
    ["/opt/env_placehold_placehold", "/opt/anaconda1anaconda2anaconda3", '/ä "\\\udcff\U0001f600/x'],
)
def test_manifest__placeholder__is_the_same_and_is_not_found_in_its_text(placeholder: str) -> None:
    relocations = (Relocation("a b", RelocationMode.TEXT, placeholder),)
    manifest = LayerManifest(_HEADER, _MANIFEST.members, relocations)
    text = render_manifest(manifest)
    assert parse_manifest(text) == manifest
    assert text.isascii()
    words = [placeholder, json.dumps(placeholder)[1:-1], "placehold_placehold", "anaconda1anaconda2"]
    assert [word for word in words if word in text] == []


def test_manifest__placeholder_as_it_was_written_before__is_read() -> None:
    text = render_manifest(_MANIFEST).replace("\\u002fold", "/old")
    assert '"/old"' in text
    assert parse_manifest(text) == _MANIFEST


def test_stored_layer__rendered_and_parsed__is_the_same() -> None:
    assert parse_stored_layer(render_stored_layer(_STORED)) == _STORED


def _alter(text: str, path: list[Any], value: object) -> str:
    fields = json.loads(text)
    place = fields
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(fields)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["format"], ...),
        (["format"], 2),
        (["format"], "1"),
        (["environment"], "AB" * 32),
        (["environment"], _DIGEST[1:]),
        (["compression"], "lzma"),
        (["python"], None),
        (["glibc"], [2]),
        (["glibc"], [2, "28"]),
        (["glibc"], 2.28),
        (["lock"], 5),
        (["layers"], {}),
        (["layers", 0], 5),
        (["layers", 0, "offset"], -1),
        (["layers", 0, "offset"], True),
        (["layers", 0, "size"], 2**63),
        (["layers", 0, "size"], 1023),
        (["layers", 0, "stored_size"], 71),
        (["layers", 0, "frames", 0], [30, -512]),
        (["layers", 0, "frames", 0], [30]),
        (["layers", 0, "header"], None),
        (["layers", 0, "header", "kind"], "egg"),
        (["layers", 0, "header", "name"], "\x1b[2J"),
        (["layers", 0, "header", "version"], "\ud800"),
        (["python"], "3\n"),
        (["layers", 0, "header", "imports"], [1]),
    ],
)
def test_parse_index__a_field_is_wrong__is_an_error(path: list[Any], value: object) -> None:
    with pytest.raises(TextError):
        parse_index(_alter(render_index(_INDEX), path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["members", 0], ["a", "4755", 5, _DIGEST]),
        (["members", 0], ["a", "644", -5, _DIGEST]),
        (["members", 0], ["a", "644", 5, "x"]),
        (["members", 0], ["a", "socket"]),
        (["members", 0], 7),
        (["relocations", 0], ["a", "magic", "/old"]),
        (["relocations", 0], ["a", "text", ""]),
        (["relocations", 0], ["a"]),
    ],
)
def test_parse_manifest__a_field_is_wrong__is_an_error(path: list[Any], value: object) -> None:
    with pytest.raises(TextError):
        parse_manifest(_alter(render_manifest(_MANIFEST), path, value))


@pytest.mark.parametrize("text", ["", "[]", "5", "{", "[" * 100_000])
def test_parse__no_json_object__is_an_error(text: str) -> None:
    for parse in (parse_index, parse_manifest, parse_stored_layer):
        with pytest.raises(TextError):
            parse(text)


def test_compute_environment_digest__order_and_members_of_the_layers__decide() -> None:
    one, two = "1" * 64, "2" * 64
    digests = {compute_environment_digest(layers) for layers in ([one, two], [two, one], [one], [])}
    assert len(digests) == 4
    # Pinned: archives that exist keep their names.
    assert (
        compute_environment_digest([one])
        == "cd68dde15b3c71f6321816dae3bd42e1f9f22fae7f2a5f31cc1a94a6209c27fd"
    )


@pytest.mark.parametrize(
    "text", ["", "x" * 64, "A" * 64, "1" * 63, "1" * 65, "1" * 64 + "\n", "../" + "1" * 61]
)
def test_is_digest__anything_but_lower_case_sha256__is_none(text: str) -> None:
    assert not is_digest(text)


@pytest.mark.parametrize(
    ("header", "path"),
    [
        (_HEADER, ".wq-package/layers/numpy-2.1-py311_0.json"),
        (LayerHeader(LayerKind.LOCAL, "my/odd name", ""), ".wq-package/layers/my_odd_name.json"),
        (LayerHeader(LayerKind.LOCAL, "..", "/../x"), ".wq-package/layers/..-_.._x.json"),
    ],
)
def test_make_manifest_path__any_header__names_one_plain_file(header: LayerHeader, path: str) -> None:
    assert make_manifest_path(header) == path


def test_parse_manifest__one_file_relocated_without_end__is_refused() -> None:
    relocations = tuple(Relocation("a", RelocationMode.TEXT, f"/{number}") for number in range(17))
    text = render_manifest(LayerManifest(LayerHeader(LayerKind.WHEEL, "a", "1"), (), relocations))
    with pytest.raises(TextError, match="again and again"):
        parse_manifest(text)
    last = relocations[-1]
    some = (*relocations[:-1], Relocation("b", last.mode, last.placeholder))
    again = parse_manifest(render_manifest(LayerManifest(_HEADER, (), some)))
    assert len(again.relocations) == 17

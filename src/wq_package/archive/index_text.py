"""Manifests, stored layers and the index as JSON text, both ways (logic module).

Text in, values out. Reading checks every type and raises `TextError`; the shell that met the text says which file it was in.
Writing is canonical: sorted keys, no blanks, ASCII, a final newline; the same value gives the same text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

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
)

_T = TypeVar("_T")
_E = TypeVar("_E", Compression, LayerKind)

_MOST_RELOCATIONS = 16
"""Of one file: each may lengthen what the one before has left."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class TextError(ValueError):
    """The text is not what it should be; its words say where."""


def is_digest(text: str) -> bool:
    """Tell whether `text` is a sha256 in lower-case hex."""
    return _DIGEST.fullmatch(text) is not None


def compute_environment_digest(layer_digests: Sequence[str]) -> str:
    """Name the environment that consists of these layers in this order."""
    lines = ["wq-package environment 1", *layer_digests]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode("ascii")).hexdigest()


def render_manifest(manifest: LayerManifest) -> str:
    """Write a layer's manifest.

    It stays in the unpacked tree, where whoever searches for a placeholder is to find only what still needs it.
    """
    text = _render(
        {
            "format": FORMAT_VERSION,
            "header": _dump_header(manifest.header),
            "members": [_dump_member(member) for member in manifest.members],
            "relocations": [[item.path, item.mode.value, item.placeholder] for item in manifest.relocations],
        }
    )
    for placeholder in sorted({item.placeholder for item in manifest.relocations}):
        text = text.replace(json.dumps(placeholder), _escape(placeholder))
    return text


def parse_manifest(text: str | bytes) -> LayerManifest:
    """Read a layer's manifest."""
    fields = _load(text)
    _check_format(fields)
    relocations = tuple(_parse_relocation(item) for item in _get(fields, "relocations", list))
    times = Counter(relocation.path for relocation in relocations)
    if max(times.values(), default=0) > _MOST_RELOCATIONS:
        raise TextError("a file is relocated again and again")
    return LayerManifest(
        _parse_header(_get(fields, "header", dict)),
        tuple(_parse_member(item) for item in _get(fields, "members", list)),
        relocations,
    )


def render_stored_layer(layer: StoredLayer) -> str:
    """Write what is known of a stored layer, for a file beside it."""
    return _render({"format": FORMAT_VERSION, **_dump_stored(layer)})


def parse_stored_layer(text: str | bytes) -> StoredLayer:
    """Read what is known of a stored layer."""
    fields = _load(text)
    _check_format(fields)
    return _parse_stored(fields)


def render_index(index: ArchiveIndex) -> str:
    """Write an archive's index."""
    return _render(
        {
            "format": index.format_version,
            "environment": index.environment,
            "compression": index.compression.value,
            "python": index.python,
            "machine": index.machine,
            "glibc": _dump_glibc(index.glibc),
            "lock": index.lock,
            "layers": [{"offset": layer.offset, **_dump_stored(layer.stored)} for layer in index.layers],
        }
    )


def parse_index(text: str | bytes) -> ArchiveIndex:
    """Read an archive's index."""
    fields = _load(text)
    _check_format(fields)
    return ArchiveIndex(
        format_version=_get(fields, "format", int),
        environment=_get_digest(fields, "environment"),
        compression=_get_enum(fields, "compression", Compression),
        python=_get_word(fields, "python"),
        machine=_get_word(fields, "machine"),
        glibc=_parse_glibc(fields),
        lock=_get(fields, "lock", str),
        layers=tuple(_parse_indexed(item) for item in _get(fields, "layers", list)),
    )


def _render(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True) + "\n"


def _escape(text: str) -> str:
    """Write a JSON string with escapes for all but its letters: the same to who parses it, and `grep` does not find it."""
    return '"' + re.sub(r"[^A-Za-z]", _escape_character, text) + '"'


def _escape_character(found: re.Match[str]) -> str:
    character = found[0]
    return f"\\u{ord(character):04x}" if character.isascii() else json.dumps(character)[1:-1]


def _load(text: str | bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TextError(f"it is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise TextError("it is not a JSON object")
    return value


def _check_format(fields: Mapping[str, Any]) -> None:
    version = _get(fields, "format", int)
    if version != FORMAT_VERSION:
        raise TextError(f"it has format version {version}, and this program reads version {FORMAT_VERSION}")


def _get(fields: Mapping[str, Any], name: str, kind: type[_T]) -> _T:
    value = fields.get(name)
    if type(value) is not kind:
        raise TextError(f"`{name}` is missing or is not of type {kind.__name__}")
    return value


def _get_word(fields: Mapping[str, Any], name: str) -> str:
    """Get a text that can be shown: a stranger's archive must not write control sequences to a terminal."""
    value = _get(fields, name, str)
    if not value.isprintable():
        raise TextError(f"`{name}` has characters in it that cannot be shown")
    return value


def _get_size(fields: Mapping[str, Any], name: str) -> int:
    value = _get(fields, name, int)
    if not 0 <= value < 2**63:
        raise TextError(f"`{name}` is out of range")
    return value


def _get_digest(fields: Mapping[str, Any], name: str) -> str:
    value = _get(fields, name, str)
    if not is_digest(value):
        raise TextError(f"`{name}` is not a sha256")
    return value


def _get_enum(fields: Mapping[str, Any], name: str, kind: type[_E]) -> _E:
    try:
        return kind(_get(fields, name, str))
    except ValueError:
        raise TextError(f"`{name}` has an unknown value") from None


def _dump_glibc(glibc: tuple[int, int] | None) -> list[int] | None:
    return None if glibc is None else list(glibc)


def _parse_glibc(fields: Mapping[str, Any]) -> tuple[int, int] | None:
    value = fields.get("glibc")
    if value is None:
        return None
    if not isinstance(value, list) or [type(part) for part in value] != [int, int]:
        raise TextError("`glibc` is not a pair of numbers")
    return value[0], value[1]


def _dump_header(header: LayerHeader) -> dict[str, Any]:
    return {
        "kind": header.kind.value,
        "name": header.name,
        "version": header.version,
        "build": header.build,
        "source": header.source,
        "machine": header.machine,
        "glibc": _dump_glibc(header.glibc),
        "imports": list(header.imports),
    }


def _parse_header(fields: Mapping[str, Any]) -> LayerHeader:
    imports = _get(fields, "imports", list)
    if not all(isinstance(name, str) and name.isprintable() for name in imports):
        raise TextError("`imports` is not a list of names")
    return LayerHeader(
        kind=_get_enum(fields, "kind", LayerKind),
        name=_get_word(fields, "name"),
        version=_get_word(fields, "version"),
        build=_get_word(fields, "build"),
        source=_get_word(fields, "source"),
        machine=_get_word(fields, "machine"),
        glibc=_parse_glibc(fields),
        imports=tuple(imports),
    )


def _dump_member(member: Member) -> list[Any]:
    match member.kind:
        case MemberKind.FILE:
            return [member.path, f"{member.mode:o}", member.size, member.digest]
        case MemberKind.LINK:
            return [member.path, "link", member.target]
        case MemberKind.FOLDER:
            return [member.path, "folder"]


def _parse_member(item: object) -> Member:
    match item:
        case [str(path), ("644" | "755") as mode, int(size), str(digest)] if size >= 0 and is_digest(digest):
            return Member(path, MemberKind.FILE, int(mode, 8), size, digest)
        case [str(path), "folder"]:
            return Member(path, MemberKind.FOLDER, 0o755)
        case [str(path), "link", str(target)]:
            return Member(path, MemberKind.LINK, 0o777, target=target)
        case _:
            raise TextError("a member is not in the form of this format")


def _parse_relocation(item: object) -> Relocation:
    match item:
        case [str(path), ("text" | "binary") as mode, str(placeholder)] if placeholder.startswith("/"):
            return Relocation(path, RelocationMode(mode), placeholder)
        case _:
            raise TextError("a relocation is not in the form of this format")


def _dump_stored(layer: StoredLayer) -> dict[str, Any]:
    return {
        "header": _dump_header(layer.header),
        "digest": layer.digest,
        "size": layer.size,
        "stored_size": layer.stored_size,
        "stored_digest": layer.stored_digest,
        "files": layer.files,
        "frames": [[frame.stored, frame.raw] for frame in layer.frames],
        "compression": layer.compression.value,
    }


def _parse_stored(fields: Mapping[str, Any]) -> StoredLayer:
    layer = StoredLayer(
        header=_parse_header(_get(fields, "header", dict)),
        digest=_get_digest(fields, "digest"),
        size=_get_size(fields, "size"),
        stored_size=_get_size(fields, "stored_size"),
        stored_digest=_get_digest(fields, "stored_digest"),
        files=_get_size(fields, "files"),
        frames=_parse_frames(_get(fields, "frames", list)),
        compression=_get_enum(fields, "compression", Compression),
    )
    stored, raw = sum(frame.stored for frame in layer.frames), sum(frame.raw for frame in layer.frames)
    if (stored, raw) != (layer.stored_size, layer.size):
        raise TextError(f"the frames of layer {layer.digest[:12]} do not add up to its size")
    return layer


def _parse_frames(items: Sequence[object]) -> tuple[Frame, ...]:
    frames: list[Frame] = []
    offset = 0
    for item in items:
        match item:
            case [int(stored), int(raw)] if stored > 0 and raw > 0:
                frames.append(Frame(offset, stored, raw))
                offset += stored
            case _:
                raise TextError("a frame is not a pair of sizes")
    return tuple(frames)


def _parse_indexed(item: object) -> IndexedLayer:
    if not isinstance(item, dict):
        raise TextError("a layer of the index is not an object")
    return IndexedLayer(_parse_stored(item), _get_size(item, "offset"))

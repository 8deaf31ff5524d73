"""How names travel: percent encoding, and which names cannot travel at all (logic module).

Knows the rules of work-queue.md 2.1, nothing of messages. Real managers destroy what they encode when it is not ASCII
(`%FF` for every byte) or is below 16 (`% 9`); their peers decode any two hex digits, so we encode every byte properly.
Real workers decode some fields that real managers leave as they are; names for which encoding changes nothing mean the
same to both, and cache names must be such.
"""

from __future__ import annotations

import re

from wq_package.errors import LocalProtocolError, RemoteProtocolError

_TO_ENCODE = frozenset([*range(33), *b"%\\<>'\"", *range(123, 256)])
_TABLE = tuple(b"%%%02X" % byte if byte in _TO_ENCODE else bytes([byte]) for byte in range(256))
_PLAIN = re.compile(rb"[!#$&(-;=?-\[\]-z]+")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
LONGEST_DIGEST = 128
_BREAKS_LINE = re.compile(rb"[\n\r\0]")


def encode_name(name: str) -> bytes:
    """Percent-encode a name.

    Raises:
        LocalProtocolError: the name is empty or holds what no file name can.
    """
    raw = encode_text(name)
    if _PLAIN.fullmatch(raw):
        return raw
    if not raw or b"\0" in raw:
        raise LocalProtocolError(f"`{name!r}` is not a file name")
    return b"".join([_TABLE[byte] for byte in raw])


def decode_name(raw: bytes) -> str:
    """Undo `encode_name`; what is not an escape is left as it is.

    Raises:
        RemoteProtocolError: the name holds a NUL.
    """
    if b"%" in raw:
        raw = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), raw)
    if b"\0" in raw:
        raise RemoteProtocolError("the peer sent a name with a NUL in it")
    return decode_text(raw)


def encode_text(text: str) -> bytes:
    """Encode text as it stands: UTF-8, with bytes that are not UTF-8 as Python's `os` functions give them.

    Raises:
        LocalProtocolError: the text holds half a surrogate pair.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"{text!r} cannot be encoded as UTF-8") from error


def decode_text(raw: bytes) -> str:
    """Undo `encode_text`."""
    return raw.decode("utf-8", "surrogateescape")


def encode_raw(text: str) -> bytes:
    """Encode text that travels unencoded inside a line, blanks allowed.

    Raises:
        LocalProtocolError: it would break the line.
    """
    raw = encode_text(text)
    if not raw or _BREAKS_LINE.search(raw):
        raise LocalProtocolError(f"{text!r} cannot be sent: it is empty or has a line break in it")
    return raw


def encode_word(text: str) -> bytes:
    """Encode text that travels unencoded as one field.

    Raises:
        LocalProtocolError: it has a blank or a line break in it.
    """
    raw = encode_raw(text)
    if len(raw.split()) != 1 or raw != raw.strip():
        raise LocalProtocolError(
            f"`{text}` cannot be sent: Work Queue cannot carry a blank there", hint="rename it without blanks"
        )
    return raw


def encode_cache_name(name: str) -> bytes:
    """Encode the name of a cache entry, which means the same encoded and plain.

    Raises:
        LocalProtocolError: it does not, or it is not a plain name.
    """
    raw = encode_text(name)
    if not _PLAIN.fullmatch(raw) or not _is_plain_name(name):
        raise LocalProtocolError(
            f"`{name}` cannot be a cache name", hint="make cache names of letters, digits, `.`, `_` and `-`"
        )
    return raw


def encode_base_name(name: str) -> bytes:
    """Encode the name of an entry of a folder that is being put.

    Raises:
        LocalProtocolError: it is not a plain name.
    """
    if not _is_plain_name(name):
        raise LocalProtocolError(f"`{name}` is not the name of a folder's entry")
    return encode_name(name)


def decode_plain_name(raw: bytes) -> str:
    """Decode a cache name or base name that came encoded.

    Raises:
        RemoteProtocolError: it would lead elsewhere.
    """
    name = decode_name(raw)
    if not _is_plain_name(name):
        raise RemoteProtocolError(f"the manager sent `{name}` where a plain name belongs")
    return name


def decode_cache_name(raw: bytes) -> str:
    """Decode a cache name that came as it is.

    Raises:
        RemoteProtocolError: it would lead elsewhere.
    """
    name = decode_text(raw)
    if not _is_plain_name(name) or "\0" in name:
        raise RemoteProtocolError(f"the manager sent `{name!r}` where a cache name belongs")
    return name


def decode_inner_path(raw: bytes) -> str:
    """Decode a relative path that a worker sent.

    Raises:
        RemoteProtocolError: it would lead out of the folder it belongs in.
    """
    path = decode_text(raw)
    parts = path.split("/")
    if "\0" in path or ".." in parts or "." in parts or "" in parts:
        raise RemoteProtocolError(f"the worker sent the path `{path!r}`, which leads elsewhere")
    return path


def is_digest(text: str) -> bool:
    """Tell whether this may name what a store keeps, as the name of a file, too."""
    return text.isalnum() and text.isascii() and len(text) <= LONGEST_DIGEST


def _is_plain_name(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name

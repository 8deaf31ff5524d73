"""Our dialect: value ⇄ `wqp WORD LENGTH` and a JSON list (logic module).

Knows `messages.dialect`, nothing of order or bodies. The list holds a message's fields in their order of
declaration, without trailing defaults, so that the two that come by the thousand, `CallTask` and `CallResult`, cost a
few microseconds. What comes from the peer is checked field by field: JSON from the wire is not to be trusted.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import operator
import re
from collections.abc import Callable
from typing import Any

from wq_package.errors import LocalProtocolError, RemoteProtocolError
from wq_package.protocol import messages as m
from wq_package.protocol.fields import MAX_NUMBER
from wq_package.protocol.names import is_digest

MAX_HEADER = 16 * 2**20
"""Largest JSON list that is gathered: the index of an archive of some thousand layers fits many times."""

_CALLS_KEPT = 512
_SHORT_CALL = 2048
"""Longer ones are not remembered, for they would fill the memory."""
_NUMBER = re.compile(rb"\[[1-9][0-9]{0,18}")

_Check = Callable[[Any], Any]
_dump = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class _BadFieldError(Exception):
    """A field is not of its kind."""


def _refuse_constant(text: str) -> None:
    raise ValueError(text)


_load = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _text(value: Any) -> Any:
    if type(value) is not str:
        raise _BadFieldError
    return value


def _integer(value: Any) -> Any:
    if type(value) is not int or not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise _BadFieldError
    return value


def _size(value: Any) -> Any:
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:
        raise _BadFieldError
    return value


def _number(value: Any) -> Any:
    if type(value) is int:
        return _integer(value)
    if type(value) is not float or not math.isfinite(value):
        raise _BadFieldError
    return value


def _flag(value: Any) -> Any:
    if type(value) is not bool:
        raise _BadFieldError
    return value


def _optional(check: _Check) -> _Check:
    return lambda value: None if value is None else check(value)


def _many(check: _Check) -> _Check:
    def check_all(value: Any) -> Any:
        if type(value) is not list:
            raise _BadFieldError
        return tuple([check(each) for each in value])

    return check_all


def _list_of(value: Any, count: int) -> list[Any]:
    if type(value) is not list or len(value) != count:
        raise _BadFieldError
    return value


def _variable(value: Any) -> Any:
    name, text = _list_of(value, 2)
    return _text(name), None if text is None else _text(text)


def _cache_name(value: Any) -> Any:
    if _text(value) in ("", ".", "..") or "/" in value or "\0" in value:
        raise _BadFieldError
    return value


def _file(value: Any) -> Any:
    cache_name, sandbox_name, flags = _list_of(value, 3)
    return m.TaskFile(_cache_name(cache_name), _text(sandbox_name), m.FileFlags(_size(flags) & 127))


def _layer(value: Any) -> Any:
    digest, size = _list_of(value, 2)
    return m.LayerName(_digest(digest), _size(size))


def _digest(value: Any) -> Any:
    if type(value) is not str or not is_digest(value):
        raise _BadFieldError
    return value


def _port(value: Any) -> Any:
    if type(value) is not int or not 0 < value < 65536:
        raise _BadFieldError
    return value


def _digest_or_empty(value: Any) -> Any:
    return value if value == "" and type(value) is str else _digest(value)


_texts = _many(_text)
_integers = _many(_integer)

_KINDS: dict[bytes, tuple[type, tuple[_Check, ...]]] = {
    b"hello": (m.Hello, (_size, _text)),
    b"offer": (m.EnvironmentOffer, (_digest, _many(_layer), _texts, _text)),
    b"layer": (m.Layer, (_digest, _size)),
    b"function": (m.FunctionDefinition, (_digest, _size)),
    b"call": (
        m.CallTask,
        (
            _integer, _digest_or_empty, _digest, _size, _text, _text,
            _optional(_number), _optional(_integer), _optional(_integer), _optional(_integer),
            _optional(_number), _optional(_number),
            _many(_variable), _many(_file), _many(_file), _flag,
        ),
    ),
    b"recall": (m.Recall, (_integers,)),
    b"recalled": (m.Recalled, (_integers,)),
    b"serve": (m.ServePeers, ()),
    b"fetch": (m.FetchLayer, (_digest, _text, _port, _text, _text)),
    b"file": (m.FileOffer, (_cache_name, _size)),
    b"filed": (m.FileAnswer, (_cache_name, _flag)),
    b"serving": (m.PeerAddress, (_port, _text, _text)),
    b"stored": (m.LayerStored, (_digest, _flag)),
    b"unfetched": (m.FetchFailed, (_digest, _text, _flag)),
    b"request": (m.LayerRequest, (_digest,)),
    b"wanted": (m.LayersWanted, (_digest, _many(_digest))),
    b"ready": (m.EnvironmentReady, (_digest,)),
    b"failed": (m.EnvironmentFailed, (_digest, _text)),
    b"result": (
        m.CallResult,
        (
            _integer, _text, _integer, _size, _size, _integer,
            _integer, _integer, _number, _number, _texts, _text,
            _number, _number, _number, _integer, _text, _number, _number,
        ),
    ),
}  # fmt: skip

KINDS = {word: kind for word, (kind, _) in _KINDS.items()}
TO_MANAGER: frozenset[type] = frozenset(
    {
        m.LayersWanted,
        m.EnvironmentReady,
        m.EnvironmentFailed,
        m.PeerAddress,
        m.LayerStored,
        m.FetchFailed,
        m.FileAnswer,
        m.LayerRequest,
        m.CallResult,
        m.Recalled,
    }
)
TO_WORKER: frozenset[type] = frozenset(KINDS.values()) - TO_MANAGER


def _flatten(value: Any) -> Any:
    """Make JSON's lists of our values."""
    if isinstance(value, tuple):
        return [_flatten(each) for each in value]
    if dataclasses.is_dataclass(value):
        return [_flatten(getattr(value, field.name)) for field in dataclasses.fields(value)]
    return value


@dataclasses.dataclass(frozen=True, slots=True)
class _Layout:
    word: bytes
    get_values: Callable[[Any], tuple[Any, ...]]
    defaults: tuple[Any, ...]


def _lay_out(word: bytes, kind: type) -> _Layout:
    fields = dataclasses.fields(kind)
    return _Layout(
        word, _make_getter([field.name for field in fields]), tuple(field.default for field in fields)
    )


def _make_getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return operator.attrgetter(*names)
    return lambda value: tuple(getattr(value, name) for name in names)


_encoded: dict[tuple[Any, ...], bytes] = {}
"""What calls were encoded to; not those that came to more than `_SHORT_CALL`."""
_LAYOUTS = {kind: _lay_out(word, kind) for word, (kind, _) in _KINDS.items()}
_REQUIRED = {
    word: sum(field.default is dataclasses.MISSING for field in dataclasses.fields(kind))
    for word, (kind, _) in _KINDS.items()
}


def encode_dialect(message: m.Message) -> bytes:
    """Encode a message of our dialect, with its line.

    Raises:
        LocalProtocolError: a field cannot travel, or there is too much.
    """
    layout = _LAYOUTS[type(message)]
    values = layout.get_values(message)
    try:
        if type(message) is m.CallTask:
            header = b"[%d,%b" % (values[0], _recall_call(values[1:]))
        else:
            header = _encode_values(values, layout.defaults)
    except (TypeError, ValueError) as error:
        raise LocalProtocolError(f"`{type(message).__name__}` cannot be sent: {error}") from error
    if len(header) > MAX_HEADER:
        raise LocalProtocolError(f"`{type(message).__name__}` is larger than {MAX_HEADER} bytes")
    return b"wqp %b %d\n%b" % (layout.word, len(header), header)


def _encode_values(values: tuple[Any, ...], defaults: tuple[Any, ...]) -> bytes:
    count = len(values)
    while count and values[count - 1] == defaults[count - 1]:
        count -= 1
    return _dump([_flatten(value) if type(value) is tuple else value for value in values[:count]]).encode()


def _recall_call(values: tuple[Any, ...]) -> bytes:
    """Encode all of a call but its number: the same for many of an app's."""
    header = _encoded.get(values)
    if header is None:
        header = _encode_values((0, *values), _LAYOUTS[m.CallTask].defaults).removeprefix(b"[0,")
        if len(header) <= _SHORT_CALL:
            if len(_encoded) >= _CALLS_KEPT:
                _encoded.clear()
            _encoded[values] = header
    return header


def decode_dialect(word: bytes, header: bytes) -> Any:
    """Decode the JSON of a message whose word is known.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    kind = _KINDS[word][0]
    try:
        if kind is m.CallTask and len(header) <= _SHORT_CALL:
            number, _, rest = header.partition(b",")
            if _NUMBER.fullmatch(number):
                return m.CallTask(_integer(int(number[1:])), *_decode_call(rest))
        return kind(*_decode_values(word, header))
    except (ValueError, RecursionError, _BadFieldError) as error:
        raise RemoteProtocolError(f"the peer sent a malformed `{kind.__name__}`") from error


def _decode_values(word: bytes, header: bytes) -> list[Any]:
    checks = _KINDS[word][1]
    values = _load(header.decode())
    if type(values) is not list or not _REQUIRED[word] <= len(values) <= len(checks):
        raise _BadFieldError
    return [check(value) for check, value in zip(checks, values, strict=False)]


@functools.lru_cache(_CALLS_KEPT)
def _decode_call(rest: bytes) -> tuple[Any, ...]:
    """Decode all of a call but its number: the same for many of an app's."""
    return tuple(_decode_values(b"call", b"[0," + rest)[1:])

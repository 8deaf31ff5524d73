"""What a catalog remembers, and how it shows it (logic module).

Knows records, ages and the formats of answers; nothing of sockets or the clock: the time is a parameter. It holds so
many records, of so many bytes, and no more, and only a part of that of one sender, since anybody may send them.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from wq_package.catalog.expression import parse_expression
from wq_package.errors import RemoteProtocolError
from wq_package.protocol.printing import escape_controls

LIFETIME = 1800.0
"""Seconds after which a record that was not renewed is forgotten."""
MAX_RECORDS = 20_000
MAX_RECORDS_OF_SENDER = 5_000
MAX_SIZE = 64 * 2**20
"""How long all records may be together, as JSON: a kilobyte, packed well, may bring a megabyte."""
MAX_SIZE_OF_SENDER = 16 * 2**20

_Key = tuple[str, str, str, str]
_COLUMNS = ("type", "name", "port", "owner", "project", "version")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to a request by HTTP."""

    status: str
    content_type: str
    body: str


@dataclass(frozen=True, slots=True)
class _Heard:
    record: Mapping[str, object]
    size: int
    until: float


class Book:
    """The records that were heard."""

    def __init__(self) -> None:
        self._heard: dict[_Key, _Heard] = {}
        self._size = 0
        self._counts: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()

    def add(self, record: Mapping[str, object], address: str, now: float) -> None:
        """Remember a record in place of the last one of the same origin.

        Raises:
            RemoteProtocolError: there are too many, or they are too large.
        """
        name = record.get("name")
        known = {
            **record,
            "name": name if isinstance(name, str) and name else address,
            "address": address,
            "lastheardfrom": int(now),
        }
        key = (address, str(record.get("port")), str(known["name"]), str(record.get("uuid")))
        size = len(json.dumps(known))
        self._make_room(key, size, now)
        if key in self._heard:
            self._forget(key)
        self._heard[key] = _Heard(known, size, now + _find_lifetime(record))
        self._size += size
        self._counts[address] += 1
        self._sizes[address] += size

    def list_records(self, now: float) -> list[Mapping[str, object]]:
        """List what is not too old, and forget the rest."""
        for key in [key for key, heard in self._heard.items() if heard.until <= now]:
            self._forget(key)
        return [heard.record for heard in self._heard.values()]

    def answer(self, path: str, now: float) -> Answer:
        """Answer a request for a path."""
        records = self.list_records(now)
        match path.strip("/").split("/", 1):
            case [""] | ["query.html"]:
                return Answer("200 OK", "text/html", _render_page(records))
            case ["query.json"]:
                return Answer("200 OK", "text/plain", render_json(records))
            case ["query.text"]:
                return Answer("200 OK", "text/plain", _render_text(records))
            case ["query", query]:
                return _answer_query(unquote(query), records)
            case _:
                return Answer("404 Not Found", "text/plain", "there is nothing of this name here\n")

    def _make_room(self, key: _Key, size: int, now: float) -> None:
        if not self._has_room(key, size):
            self.list_records(now)
        if not self._has_room(key, size):
            raise RemoteProtocolError(f"too many records, or too large ones; that of {key[0]} is not kept")

    def _has_room(self, key: _Key, size: int) -> bool:
        last = self._heard.get(key)
        added, grown = last is None, size - (last.size if last is not None else 0)
        return (
            len(self._heard) + added <= MAX_RECORDS
            and self._counts[key[0]] + added <= MAX_RECORDS_OF_SENDER
            and self._size + grown <= MAX_SIZE
            and self._sizes[key[0]] + grown <= MAX_SIZE_OF_SENDER
        )

    def _forget(self, key: _Key) -> None:
        size = self._heard.pop(key).size
        self._size -= size
        self._sizes[key[0]] -= size
        self._counts[key[0]] -= 1
        if not self._counts[key[0]]:
            del self._counts[key[0]], self._sizes[key[0]]


def _find_lifetime(record: Mapping[str, object]) -> float:
    lifetime = record.get("lifetime")
    if isinstance(lifetime, int | float) and not isinstance(lifetime, bool):
        return min(max(lifetime, 0.0), LIFETIME)
    return LIFETIME


def _answer_query(query: str, records: Iterable[Mapping[str, object]]) -> Answer:
    try:
        text = base64.b64decode(query, validate=True).decode()
        predicate = parse_expression(text)
    except (binascii.Error, UnicodeDecodeError):
        return Answer("400 Bad Request", "text/plain", "the query is not base64\n")
    except RemoteProtocolError as error:
        return Answer("400 Bad Request", "text/plain", f"{error}\n")
    return Answer("200 OK", "text/plain", render_json(record for record in records if predicate(record)))


def render_json(records: Iterable[Mapping[str, object]]) -> str:
    """Render records as catalogs do: an array, one record a line."""
    lines = ",\n".join(json.dumps(record, separators=(",", ":")) for record in records)
    return f"[\n{lines}\n]\n"


def _render_text(records: Iterable[Mapping[str, object]]) -> str:
    blocks = (
        "".join(f"{escape_controls(key)} {_render_value(value)}\n" for key, value in record.items())
        for record in records
    )
    return "\n".join(blocks) + "\n"


def _render_value(value: object) -> str:
    # A line end would forge the lines, and the records, that follow.
    return escape_controls(value) if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _render_page(records: Iterable[Mapping[str, object]]) -> str:
    head = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape(_render_value(record.get(column, '')))}</td>" for column in _COLUMNS)
        + "</tr>\n"
        for record in records
    )
    return (
        "<!doctype html><title>catalog</title>\n<h1>Catalog</h1>\n"
        f"<p><a href=/query.json>json</a> <a href=/query.text>text</a></p>\n<table>\n<tr>{head}</tr>\n{rows}</table>\n"
    )

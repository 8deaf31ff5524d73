"""What a catalog remembers, and how it shows it (logic module).

Knows records, ages and the formats of answers; nothing of sockets or the clock: the time is a parameter. It holds so
many records and no more, and so many of one sender, since anybody may send them.
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

LIFETIME = 1800.0
"""Seconds after which a record that was not renewed is forgotten."""
MAX_RECORDS = 20_000
MAX_RECORDS_OF_SENDER = 5_000

_Key = tuple[str, str, str, str]
_COLUMNS = ("type", "name", "port", "owner", "project", "version")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to a request by HTTP."""

    status: str
    content_type: str
    body: str


class Book:
    """The records that were heard."""

    def __init__(self) -> None:
        self._records: dict[_Key, dict[str, object]] = {}
        self._heard: dict[_Key, float] = {}
        self._senders: Counter[str] = Counter()

    def add(self, record: Mapping[str, object], address: str, now: float) -> None:
        """Remember a record in place of the last one of the same origin.

        Raises:
            RemoteProtocolError: there are too many.
        """
        name = record.get("name")
        known = {
            **record,
            "name": name if isinstance(name, str) and name else address,
            "address": address,
            "lastheardfrom": int(now),
        }
        key = (address, str(record.get("port")), str(known["name"]), str(record.get("uuid")))
        if key not in self._records:
            self._make_room(address, now)
            self._senders[address] += 1
        self._records[key] = known
        self._heard[key] = now

    def list_records(self, now: float) -> list[Mapping[str, object]]:
        """List what is not too old, and forget the rest."""
        for key in [
            key for key in self._records if self._heard[key] + _find_lifetime(self._records[key]) <= now
        ]:
            self._forget(key)
        return list(self._records.values())

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

    def _make_room(self, address: str, now: float) -> None:
        if len(self._records) >= MAX_RECORDS or self._senders[address] >= MAX_RECORDS_OF_SENDER:
            self.list_records(now)
        if len(self._records) >= MAX_RECORDS or self._senders[address] >= MAX_RECORDS_OF_SENDER:
            raise RemoteProtocolError(f"too many records; the one of {address} is not kept")

    def _forget(self, key: _Key) -> None:
        del self._records[key], self._heard[key]
        self._senders[key[0]] -= 1
        if not self._senders[key[0]]:
            del self._senders[key[0]]


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
        "".join(f"{key} {_render_value(value)}\n" for key, value in record.items()) for record in records
    )
    return "\n".join(blocks) + "\n"


def _render_value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


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

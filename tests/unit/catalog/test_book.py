from __future__ import annotations

import base64
import json

import pytest

from wq_package.catalog import book as book_module
from wq_package.catalog.book import LIFETIME, Book
from wq_package.errors import RemoteProtocolError


def query(text: str) -> str:
    return f"/query/{base64.b64encode(text.encode()).decode()}"


def list_ports(book: Book, now: float) -> list[object]:
    return [record["port"] for record in book.list_records(now)]


def test_add__record__gets_its_sender_and_time() -> None:
    book = Book()
    book.add({"type": "wq_master", "port": 1, "address": "lie", "name": ""}, "10.0.0.1", 5.5)
    assert book.list_records(6.0) == [
        {"type": "wq_master", "port": 1, "address": "10.0.0.1", "name": "10.0.0.1", "lastheardfrom": 5}
    ]


def test_add__same_origin__takes_the_place_of_the_last() -> None:
    book = Book()
    for value in (1, 2):
        book.add({"port": 1, "name": "a", "uuid": "u", "value": value}, "10.0.0.1", 0.0)
    book.add({"port": 1, "name": "a", "uuid": "v", "value": 3}, "10.0.0.1", 0.0)
    assert [record["value"] for record in book.list_records(1.0)] == [2, 3]


@pytest.mark.parametrize(
    ("lifetime", "lives"), [(None, LIFETIME), (10, 10.0), (1e9, LIFETIME), (-5, 0.0), (True, LIFETIME)]
)
def test_list_records__old__are_forgotten(lifetime: object, lives: float) -> None:
    book = Book()
    book.add({"port": 1, "lifetime": lifetime}, "a", 100.0)
    if lives:
        assert list_ports(book, 100.0 + lives - 0.1) == [1]
    assert list_ports(book, 100.0 + lives) == []


def test_add__more_of_one_sender_than_allowed__is_refused_until_some_are_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(book_module, "MAX_RECORDS_OF_SENDER", 2)
    book = Book()
    for port in (1, 2):
        book.add({"port": port, "lifetime": 10}, "a", 0.0)
    with pytest.raises(RemoteProtocolError, match="too many records"):
        book.add({"port": 3}, "a", 5.0)
    book.add({"port": 4}, "b", 5.0)
    book.add({"port": 1, "lifetime": 10}, "a", 5.0)
    book.add({"port": 3}, "a", 11.0)
    assert sorted(map(str, list_ports(book, 11.0))) == ["1", "3", "4"]


def test_add__more_than_allowed_altogether__is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "MAX_RECORDS", 1)
    book = Book()
    book.add({"port": 1}, "a", 0.0)
    with pytest.raises(RemoteProtocolError, match="too many records"):
        book.add({"port": 1}, "b", 0.0)


def test_add__larger_than_allowed_of_one_sender__is_refused_and_the_last_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(book_module, "MAX_SIZE_OF_SENDER", 1000)
    book = Book()
    book.add({"port": 1, "text": "x" * 700}, "a", 0.0)
    book.add({"port": 1, "text": "y" * 700}, "a", 0.0)
    with pytest.raises(RemoteProtocolError, match="too large"):
        book.add({"port": 2, "text": "x" * 700}, "a", 0.0)
    with pytest.raises(RemoteProtocolError, match="too large"):
        book.add({"port": 1, "text": "x" * 1000}, "a", 0.0)
    book.add({"port": 1, "text": "z" * 700}, "b", 0.0)
    assert [str(record["text"])[0] for record in book.list_records(0.0)] == ["y", "z"]


def test_add__larger_than_allowed_altogether__is_refused_until_some_are_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(book_module, "MAX_SIZE", 1000)
    book = Book()
    book.add({"port": 1, "text": "x" * 700, "lifetime": 10}, "a", 0.0)
    with pytest.raises(RemoteProtocolError, match="too large"):
        book.add({"port": 1, "text": "x" * 700}, "b", 9.0)
    book.add({"port": 1, "text": "x" * 700}, "b", 10.0)
    assert [record["address"] for record in book.list_records(10.0)] == ["b"]


def test_answer__query__selects() -> None:
    book = Book()
    for port in (1, 2):
        book.add({"type": "wq_master", "port": port, "project": "caf\u00e9"}, "a", 0.0)
    answer = book.answer(query("port == 2"), 1.0)
    assert answer.status == "200 OK"
    (record,) = json.loads(answer.body)
    assert record["project"] == "caf\u00e9"
    assert len(json.loads(book.answer("/query.json", 1.0).body)) == 2
    assert json.loads(book.answer(query("false"), 1.0).body) == []


@pytest.mark.parametrize(
    ("path", "why"), [("/query/%%%", "base64"), ("/query/_w==", "base64"), (query("a ="), "not understood")]
)
def test_answer__bad_query__says_why(path: str, why: str) -> None:
    answer = Book().answer(path, 0.0)
    assert answer.status.startswith("400")
    assert why in answer.body


def test_answer__quoted_query__is_understood() -> None:
    assert Book().answer(query("true").replace("=", "%3D"), 0.0).status == "200 OK"


def test_answer__text__has_a_line_a_value() -> None:
    book = Book()
    book.add({"port": 1, "list": [1, None], "text": "a b"}, "10.0.0.1", 5.0)
    body = book.answer("/query.text", 6.0).body
    assert body.splitlines()[:3] == ["port 1", "list [1,null]", "text a b"]


def test_answer__text__lines_of_strangers_are_no_lines_of_ours() -> None:
    book = Book()
    book.add({"project": "a\n\nproject theirs", "x\nport": 1}, "10.0.0.1", 5.0)
    lines = book.answer("/query.text", 6.0).body.splitlines()
    assert lines[:2] == [r"project a\n\nproject theirs", r"x\nport 1"]


def test_answer__page__escapes_what_strangers_sent() -> None:
    book = Book()
    book.add({"port": 1, "project": "<script>"}, "10.0.0.1", 5.0)
    answer = book.answer("/", 6.0)
    assert answer.content_type == "text/html"
    assert "&lt;script&gt;" in answer.body
    assert "<script>" not in answer.body


def test_answer__anything_else__is_not_found() -> None:
    assert Book().answer("/history/1/2/3", 0.0).status.startswith("404")

from __future__ import annotations

import json
import zlib

import pytest

from wq_package.catalog.records import (
    MAX_RECORD,
    PLAIN_LIMIT,
    ManagerRecord,
    decode_update,
    encode_update,
    parse_manager,
    select_managers,
)
from wq_package.errors import QueueError, RemoteProtocolError

RECORD: dict[str, object] = {
    "type": "wq_master", "project": "mine", "port": 9123, "address": "10.0.0.1", "owner": "me", "lastheardfrom": 5,
}  # fmt: skip


def test_encode_update__small__is_plain_json() -> None:
    assert json.loads(encode_update(RECORD)) == RECORD


def test_encode_update__large__is_packed_and_comes_back() -> None:
    large = {**RECORD, "text": "x" * PLAIN_LIMIT}
    data = encode_update(large)
    assert data[:1] == b"\x1a"
    assert decode_update(data) == large


def test_decode_update__quote_as_work_queue_writes_it__is_understood() -> None:
    assert decode_update(b'{"owner":"o\\\'brien"}') == {"owner": "o'brien"}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[1]", b"\xff", b'{"a":NaN}', b'{"a":1e999}', b"[" * 100_000, b"\x1anonsense",
        b"\x1a" + zlib.compress(b"{}")[:-1], b"\x1a" + zlib.compress(b" " * (MAX_RECORD + 1)),
        b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", b'{"a":' * 900 + b"1" + b"}" * 900,
    ],
    ids=[
        "empty", "cut", "list", "not UTF-8", "NaN", "infinite", "deep", "not packed", "packed, cut", "bomb",
        "too deep for an answer", "objects in each other",
    ],
)  # fmt: skip
def test_decode_update__not_a_record__is_the_peers_mistake(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_update(data)


def test_parse_manager__debian__gives_its_interfaces_first() -> None:
    interfaces = [{"family": "AF_INET", "host": "192.168.0.1"}, {"host": "10.0.0.1"}, {"host": 5}, "odd"]
    manager = parse_manager({**RECORD, "network_interfaces": interfaces})
    assert manager == ManagerRecord("mine", ("192.168.0.1", "10.0.0.1"), 9123, owner="me", last_heard=5.0)


def test_parse_manager__upstream__says_protocol_and_tls() -> None:
    manager = parse_manager(
        {
            **RECORD,
            "type": "wq_manager",
            "protocol": 11,
            "ssl": 1,
            "network_interfaces": [{"address": "1.2.3.4"}],
        }
    )
    assert manager is not None
    assert (manager.hosts, manager.protocol, manager.uses_tls) == (("1.2.3.4", "10.0.0.1"), 11, True)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "wq_factory"}, {"type": 5}, {"project": None}, {"port": "9123"}, {"port": 0}, {"port": 70000},
        {"port": True}, {"address": None}, {"address": "", "network_interfaces": {}},
    ],
)  # fmt: skip
def test_parse_manager__unusable__is_none(change: dict[str, object]) -> None:
    assert parse_manager({**RECORD, **change}) is None
    assert parse_manager("text") is None


def test_parse_manager__odd_extras__are_left_out() -> None:
    manager = parse_manager({**RECORD, "owner": 5, "protocol": "x", "lastheardfrom": "never"})
    assert manager == ManagerRecord("mine", ("10.0.0.1",), 9123)


@pytest.mark.parametrize(
    ("pattern", "projects"), [("mine", ["mine"]), ("m.*", ["mine", "my"]), ("min", []), ("m|y", [])]
)
def test_select_managers__pattern__matches_the_whole_name(pattern: str, projects: list[str]) -> None:
    records = [RECORD, {**RECORD, "project": "my"}, {**RECORD, "project": "other"}, 7]
    assert [manager.project for manager in select_managers(records, pattern, (9,))] == projects


def test_select_managers__protocol_that_we_do_not_speak__is_left_out() -> None:
    records = [{**RECORD, "protocol": version} for version in (9, 11, 12)]
    assert [manager.protocol for manager in select_managers(records, "mine", (9, 10, 11))] == [9, 11]


def test_select_managers__bad_pattern__is_a_clear_error() -> None:
    with pytest.raises(QueueError, match="no regular expression"):
        select_managers([], "(", (9,))


def test_parse_manager__time_beyond_any_number__is_no_time() -> None:
    manager = parse_manager({**RECORD, "lastheardfrom": 10**400})
    assert manager is not None
    assert manager.last_heard == 0.0

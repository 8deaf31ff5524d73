"""The lines of a worker, as real ones write them."""

from __future__ import annotations

import pytest

from connection_pair import ConnectionPair
from wq_package.errors import LocalProtocolError, RemoteProtocolError
from wq_package.protocol import messages as m
from wq_package.protocol.connection import Connection, Role
from wq_package.protocol.conversation import Conversation
from wq_package.protocol.to_manager import DECODERS, ENCODERS, parse_http_path

# Recorded from Debian's worker: work-queue.md 2.15, session A.
GREETING = b"""\
workqueue 9 vm Linux x86_64 8.0.0
info worker-id worker-db384e00116687fea864bf72dccc85d1
feature my%20feat
alive
resource workers 1 1 1
resource disk 2000 2000 2000
resource tag 0
info end_of_resource_update 0
info worker-end-time 0
"""
MEANING = [
    m.Workqueue(9, "vm", "Linux", "x86_64", "8.0.0"),
    m.Info("worker-id", "worker-db384e00116687fea864bf72dccc85d1"),
    m.Feature("my feat"),
    m.Alive(),
    m.Resource("workers", 1, 1, 1),
    m.Resource("disk", 2000, 2000, 2000),
    m.Resource("tag", 0, 0, 0),
    m.Info("end_of_resource_update", "0"),
    m.Info("worker-end-time", "0"),
]


def test_greeting__of_a_real_worker__is_understood() -> None:
    manager = Connection(Role.MANAGER)
    manager.receive_data(GREETING)
    assert manager.next_events() == MEANING
    assert manager.peer_version == 9


def test_greeting__of_ours__is_byte_for_byte_a_real_one() -> None:
    worker = Connection(Role.WORKER)
    for message in MEANING:
        worker.send(message)  # type: ignore[arg-type]  # a list of events of which all are messages
    assert worker.data_to_send() == GREETING


def decode(line: bytes) -> m.ToManager:
    word, _, rest = line.partition(b" ")
    return DECODERS[word](rest)


def encode(message: m.ToManager, version: int = 9) -> bytes:
    conversation = Conversation()
    conversation.version = version
    return ENCODERS[type(message)](message, conversation)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"result 0 3 2951 10114 1 extra", m.Result(0, 3, 2951, 10114, 1)),
        (b"result 40 0 0 0 1", m.Result(40, 0, 0, 0, 1)),
        (b"update 4 w.txt 0 7", m.Update(4, "w.txt", 0, 7)),
        (b"update 4 my watched.txt 10 7", m.Update(4, "my watched.txt", 10, 7)),
        (b"file file-0-x/my file 12", m.File("file-0-x/my file", 12)),
        (b"dir file-0-x/a b 0", m.Dir("file-0-x/a b")),
        (b"missing file-0-x 2", m.Missing("file-0-x", 2)),
        (b"thirdput-complete 1", m.ThirdputComplete(is_done=True)),
        (b"cache-update file-0-x 12 345", m.CacheUpdate("file-0-x", 12, 345)),
        (b"resource cores 4.000000 4.000000 4.000000", m.Resource("cores", 4, 4, 4)),
        (b"resource tag 7.0 1 2", m.Resource("tag", 7, 0, 0)),
        (b"info vacating 15", m.Info("vacating", "15")),
    ],
)
def test_decode__line__gives_its_message(line: bytes, message: m.ToManager) -> None:
    assert decode(line) == message


@pytest.mark.parametrize(
    "line",
    [
        b"workqueue 9 vm Linux x86_64",
        b"workqueue nine vm Linux x86_64 8",
        b"info tasks_running",
        b"info tasks_running  ",
        b"info ",
        b"feature",
        b"feature a%00",
        b"resource cores 4 4",
        b"resource cores",
        b"resource cores many 1 1",
        b"result 0 0 -1 0 1",
        b"result 0 0 1 0",
        b"update 4 w.txt 0",
        b"update 4 ../w.txt 0 1",
        b"file",
        b"file /etc/passwd 3",
        b"file a -3",
        b"dir ../a 0",
        b"missing a/../../b 2",
        b"missing a two",
        b"cache-update a 1",
        b"thirdput-complete",
    ],
)
def test_decode__malformed__is_the_peers_mistake(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(line)


def test_forsaken__with_output__is_refused_on_either_side() -> None:
    with pytest.raises(RemoteProtocolError, match="forsaken"):
        decode(b"result 40 0 5 0 1")
    with pytest.raises(LocalProtocolError, match="forsaken"):
        encode(m.Result(40, 0, 5, 0, 1))


@pytest.mark.parametrize(("version", "line"), [(9, b"resource disk 5 5 5"), (10, b"resource disk 5 5 5")])
def test_encode_resource__before_protocol_11__is_whole(version: int, line: bytes) -> None:
    assert encode(m.Resource("disk", 5.0, 5, 5), version) == line
    with pytest.raises(LocalProtocolError, match="whole numbers of cores"):
        encode(m.Resource("cores", 0.5, 1, 1), version)


def test_encode_resource__protocol_11__has_decimals() -> None:
    assert encode(m.Resource("cores", 0.5, 1, 1), 11) == b"resource cores 0.500000 1.000000 1.000000"


@pytest.mark.parametrize(
    "message", [m.Dir("a b"), m.Update(1, "a b", 0, 0), m.Info("a b", "c"), m.File("a\nb", 0)]
)
def test_encode__name_that_work_queue_cannot_carry__is_our_mistake(message: m.ToManager) -> None:
    with pytest.raises(LocalProtocolError, match="cannot be sent"):
        encode(message)


@pytest.mark.parametrize(
    ("query", "request_text"),
    [
        (m.StatusQuery("queue_status"), b"queue_status\n"),
        (m.StatusQuery("", is_http=True), b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"),
        (
            m.StatusQuery("task_status", is_http=True),
            b"GET /task_status HTTP/1.1\r\nConnection: close\r\n\r\n",
        ),
    ],
)
def test_status_query__both_forms__are_sent_and_understood(query: m.StatusQuery, request_text: bytes) -> None:
    pair = ConnectionPair(None)
    pair.worker.send(query)
    data = pair.worker.data_to_send()
    assert data == request_text
    pair.manager.receive_data(data)
    assert pair.manager.next_events() == [query]


@pytest.mark.parametrize("rest", [b"/", b"queue_status HTTP/1.1", b"/ FTP/1.0"])
def test_parse_http_path__not_http__is_refused(rest: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_http_path(rest)


MEASURED = m.Result(0, 0, 0, 10, 1, 2500, 100.5, 3.25, 1.5, 0.001, 7, 4, "memory", 80, 100.5)


def test_result__between_two_of_ours__tells_what_was_used() -> None:
    pair = ConnectionPair(is_dialect=True)
    assert pair.to_manager(MEASURED)[0] == MEASURED  # and it need not be asked for


def test_result__to_a_real_manager__is_as_short_as_a_real_one() -> None:
    assert encode(MEASURED) == b"result 0 0 0 10 1"


def test_result__not_measured__adds_nothing() -> None:
    conversation = Conversation()
    conversation.version, conversation.is_dialect_spoken = 9, True
    assert ENCODERS[m.Result](m.Result(1, 0, 0, 0, 1), conversation) == b"result 1 0 0 0 1"


@pytest.mark.parametrize("tail", [b" wqp 1", b" xyz 1 2 3 4 5 6 7 - 0 0", b" wqp 1 2 3 4 5 6 7 - 0 0 0"])
def test_decode_result__a_tail_of_anything_else__is_passed_over(tail: bytes) -> None:
    assert decode(b"result 0 0 0 10 1" + tail) == m.Result(0, 0, 0, 10, 1)


def test_decode_result__a_tail_without_sense__is_the_peers_mistake() -> None:
    with pytest.raises(RemoteProtocolError):
        decode(b"result 0 0 0 10 1 wqp 1 many 3 4 5 6 7 - 0 0")

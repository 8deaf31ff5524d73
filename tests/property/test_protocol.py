"""The wire protocol under random messages, random cuts and random bytes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connection_pair import BODY_HEADERS, ConnectionPair, greeting, join_bodies, open_exchange
from property import strategies as wire
from wq_package.errors import AuthenticationError, RemoteProtocolError
from wq_package.protocol import messages as m
from wq_package.protocol.connection import Connection, Role

BODIES = st.binary(min_size=300, max_size=300)


def expect(message: m.Message, body: bytes) -> list[m.Event]:
    """Say what the peer must make of a message."""
    if not isinstance(message, BODY_HEADERS):
        return [message]
    body = body[: message.size]
    return [message, m.Data(body), m.EndOfBody()] if body else [message, m.EndOfBody()]


def with_body(message: m.Message, body: bytes) -> list[m.Message | bytes]:
    return [message, body[: message.size]] if isinstance(message, BODY_HEADERS) else [message]


@given(message=wire.TO_MANAGER, body=BODIES, version=st.sampled_from([9, 10]))
def test_to_manager__any_message__arrives_as_it_was_sent(
    message: m.Message, body: bytes, version: int
) -> None:
    pair = ConnectionPair(version)
    open_exchange(pair, message)
    assert pair.to_manager(*with_body(message, body)) == expect(message, body)


@given(message=wire.TO_MANAGER_11)
def test_to_manager__protocol_11__arrives_as_it_was_sent(message: m.Message) -> None:
    assert ConnectionPair(11).to_manager(message) == [message]


@given(message=wire.TO_MANAGER_DIALECT, body=BODIES)
def test_to_manager__dialect__arrives_as_it_was_sent(message: m.Message, body: bytes) -> None:
    pair = ConnectionPair(is_dialect=True)
    assert pair.to_manager(*with_body(message, body)) == expect(message, body)


@given(path=wire.RAW_PATHS, body=BODIES)
def test_to_manager__dialect__carries_blanks_where_work_queue_does_not(path: str, body: bytes) -> None:
    pair = ConnectionPair(is_dialect=True)
    pair.to_worker(m.Get("name"), m.SendResults())
    folder, update = m.Dir(path), m.Update(1, path, 0, 3)
    expected = [folder, m.End(), *expect(update, body)]
    assert pair.to_manager(folder, m.End(), update, body[:3]) == expected


@given(message=wire.TO_WORKER, body=BODIES, version=st.sampled_from([9, 10]))
def test_to_worker__any_message__arrives_as_it_was_sent(
    message: m.Message, body: bytes, version: int
) -> None:
    pair = ConnectionPair(version)
    open_exchange(pair, message)
    assert pair.to_worker(*with_body(message, body)) == expect(message, body)


@given(message=wire.TO_WORKER_11)
def test_to_worker__protocol_11__arrives_as_it_was_sent(message: m.Message) -> None:
    assert ConnectionPair(11).to_worker(message) == [message]


@given(message=wire.TO_WORKER_DIALECT, body=BODIES)
def test_to_worker__dialect__arrives_as_it_was_sent(message: m.Message, body: bytes) -> None:
    pair = ConnectionPair(is_dialect=True)
    open_exchange(pair, message)
    assert pair.to_worker(*with_body(message, body)) == expect(message, body)


@given(inside=st.lists(wire.entries(), max_size=3), body=BODIES)
def test_to_worker__folder_with_entries_of_any_name__arrives_as_it_was_sent(
    inside: list[list[m.ToWorker]], body: bytes
) -> None:
    pair = ConnectionPair()
    messages: list[m.Message] = [m.Dir("folder"), *(each for part in inside for each in part), m.End()]
    said = [part for message in messages for part in with_body(message, body)]
    assert pair.to_worker(*said) == [event for message in messages for event in expect(message, body)]


@given(query=wire.STATUS_QUERIES_OF_TOOLS, answer=wire.TEXTS)
def test_status_query__any__is_answered_until_the_connection_ends(query: m.StatusQuery, answer: str) -> None:
    pair = ConnectionPair(version=None)
    assert pair.to_manager(query) == [query]
    pair.manager.send(m.StatusAnswer(answer, query.is_http))
    pair.worker.receive_data(pair.manager.data_to_send())
    pair.worker.receive_eof()
    *pieces, end, closed = join_bodies(pair.worker.next_events())
    text = b"".join(piece.body for piece in pieces if isinstance(piece, m.Data))
    assert text.endswith(answer.encode())
    assert (end, closed) == (m.EndOfBody(), m.ConnectionClosed())


# -- any cutting of the bytes gives the same events --------------------------------------------------------------------


def receive(connection: Connection, pieces: list[bytes]) -> tuple[list[m.Event], str]:
    """Feed pieces, then the end; give the events and the error."""
    events: list[m.Event] = []
    try:
        for piece in pieces:
            connection.receive_data(piece)
            events += connection.next_events()
        connection.receive_eof()
        while new := connection.next_events():
            events += new
    except (RemoteProtocolError, AuthenticationError) as error:
        return join_bodies(events), str(error)
    return join_bodies(events), ""


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(borders)]


def make_worker_that_greeted() -> Connection:
    """Make a worker's side that may be told anything, and has asked for nothing."""
    worker = ConnectionPair().worker
    worker.send(m.Feature(m.DIALECT_FEATURE))
    worker.data_to_send()
    return worker


def make_manager_that_waits() -> Connection:
    """Make a manager's side that has asked for things, so that a worker may answer."""
    pair = ConnectionPair(is_dialect=True)
    pair.to_worker(m.Get("name"), m.SendResults(), m.Get("name"))
    return pair.manager


@given(
    st.lists(wire.TO_WORKER | wire.TO_WORKER_DIALECT, max_size=4),
    BODIES,
    st.lists(st.integers(0, 10**6), max_size=30),
)
def test_worker_side__any_cutting__gives_the_same_events(
    messages: list[m.Message], body: bytes, places: list[int]
) -> None:
    pair = ConnectionPair(is_dialect=True)
    pair.manager.send(m.Check())
    for message in messages:
        if isinstance(message, m.ProjectName):
            continue  # it answers a question, and this worker asks none
        if isinstance(message, m.Symlink):
            pair.manager.send(m.Dir("folder"))
        for part in with_body(message, body):
            if isinstance(part, bytes):
                pair.manager.send_body(part)
            else:
                pair.manager.send(part)
        if isinstance(message, m.Symlink | m.Dir):
            pair.manager.send(m.End())
    data = b"wqp hello 5\n[1,2]" + pair.manager.data_to_send()
    whole = receive(make_worker_that_greeted(), [data])
    assert receive(make_worker_that_greeted(), cut(data, places)) == whole


@given(
    st.lists(wire.TO_MANAGER_DIALECT | wire.RESOURCES | st.builds(m.Feature, wire.NAMES), max_size=4), BODIES,
    st.lists(st.integers(0, 10**6), max_size=30), st.binary(max_size=20),
)  # fmt: skip
def test_manager_side__any_cutting__gives_the_same_events(
    messages: list[m.Message], body: bytes, places: list[int], garbage: bytes
) -> None:
    pair = ConnectionPair(is_dialect=True)
    for message in messages:
        for part in with_body(message, body):
            if isinstance(part, bytes):
                pair.worker.send_body(part)
            else:
                pair.worker.send(part)
    answers = (
        b"file name/a b 3\nabcend\nresult 0 1 2 3 4\nxyinfo a b\nend\ndir name 0\nmissing name/x 2\nend\n"
    )
    data = pair.worker.data_to_send() + answers + garbage
    whole = receive(make_manager_that_waits(), [data])
    assert receive(make_manager_that_waits(), cut(data, places)) == whole
    assert receive(make_manager_that_waits(), [data[i : i + 1] for i in range(len(data))]) == whole


@given(st.lists(st.integers(0, 1000), max_size=10), st.sampled_from([b"sesame\n", b"other"]))
def test_password__any_cutting__gives_the_same_verdict(places: list[int], password: bytes) -> None:
    pair = ConnectionPair(None, passwords=(b"sesame\n", password))
    opening = pair.worker.data_to_send()
    pair.worker.receive_data(pair.manager.data_to_send())
    pair.worker.next_events()
    data = opening + pair.worker.data_to_send() + b"ok\nworkqueue 9 host Linux x86_64 8.0.0\n"
    events, error = receive(pair.manager, cut(data, places))
    expected = [greeting(), m.ConnectionClosed()] if password == b"sesame\n" else []
    assert (events, bool(error)) == (expected, password != b"sesame\n")


# -- arbitrary bytes ---------------------------------------------------------------------------------------------------

_WORDS = (
    b"put dir symlink task cmd env infile outfile end url thirdget thirdput kill unlink get send_results check wqp call "
    b"hello offer layer function result wanted ready failed workqueue info feature resource alive update file missing "
    b"name auth GET queue_status cache-update cache-invalid puturl putcmd category cores wall_time tag ok password sha1"
).split()
_TOKENS = st.sampled_from(
    [*_WORDS, b"\n", b"\n", b" ", b"\r", b"%", b"[", b"]", b",", b'"', b"null", b"-", b"/", b".."]
)
SOUP = st.lists(
    _TOKENS | st.binary(max_size=6) | st.integers(-5, 2**64).map(lambda n: b"%d" % n), max_size=60
)
_ARGUMENTS = st.sampled_from(
    [
        b"",
        b"0",
        b"1",
        b"3",
        b"-1",
        b"9",
        b"40",
        b"a",
        b"a/b",
        b"..",
        b"0644",
        b"1.5",
        b"%2F",
        b"%00",
        b"[]",
        b'[1,"a"]',
        b"x" * 5000,
    ]
)
LINES = st.builds(
    lambda word, arguments, end: b" ".join([word, *arguments]) + end,
    st.sampled_from(_WORDS),
    st.lists(_ARGUMENTS, max_size=6),
    st.sampled_from([b"\n", b"\n", b"\n", b"", b" \n", b"\n[1]"]),
)
"""Lines that look like messages."""
PIECES = LINES | SOUP.map(b" ".join) | SOUP.map(b"".join) | st.binary(max_size=200)


def held_bytes(connection: Connection) -> int:
    return len(connection._buffer)


@settings(max_examples=300)
@given(
    st.lists(SOUP.map(b" ".join) | SOUP.map(b"".join) | st.binary(max_size=200), max_size=5), st.booleans()
)
def test_manager_side__arbitrary_bytes__give_events_or_a_remote_error(
    pieces: list[bytes], has_password: bool
) -> None:
    connection = Connection(Role.MANAGER, password=b"x" if has_password else None, nonce=b"n" * 63)
    receive(connection, pieces)
    receive(make_manager_that_waits(), pieces)


@settings(max_examples=300)
@given(
    st.lists(SOUP.map(b" ".join) | SOUP.map(b"".join) | st.binary(max_size=200), max_size=5), st.booleans()
)
def test_worker_side__arbitrary_bytes__give_events_or_a_remote_error(
    pieces: list[bytes], has_password: bool
) -> None:
    connection = Connection(Role.WORKER, password=b"x" if has_password else None, nonce=b"n" * 63)
    receive(connection, pieces)
    receive(make_worker_that_greeted(), pieces)
    receive(ConnectionPair(11).worker, pieces)


@pytest.mark.parametrize("word", sorted({*_WORDS, b""}))
def test_either_side__word_with_any_few_arguments__gives_events_or_a_remote_error(word: bytes) -> None:
    few = [b"0", b"1", b"-1", b"a", b"a/b", b"%00", b"[]"]
    for count in range(3):
        for arguments in itertools.product(few, repeat=count):
            line = b" ".join([word, *arguments]) + b"\n"
            receive(make_manager_that_waits(), [line])
            receive(make_worker_that_greeted(), [line])
            receive(ConnectionPair(11).worker, [b"task 1\n" + line])


@given(st.binary(min_size=1, max_size=50).filter(lambda piece: b"\n" not in piece))
def test_endless_line__any_bytes__is_refused_before_it_fills_memory(piece: bytes) -> None:
    connection = Connection(Role.MANAGER)
    fed = 0
    try:
        while True:
            connection.receive_data(piece)
            fed += len(piece)
            connection.next_events()
    except RemoteProtocolError:
        assert fed <= 4096 + len(piece)
    assert held_bytes(connection) <= 4096 + len(piece)

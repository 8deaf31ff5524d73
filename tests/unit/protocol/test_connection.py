from __future__ import annotations

import pytest

from connection_pair import ConnectionPair, greeting
from wq_package.errors import AuthenticationError, LocalProtocolError, RemoteProtocolError
from wq_package.protocol import messages as m
from wq_package.protocol.connection import MAX_HTTP_HEADERS, MAX_TEXT, Connection, Role


def test_body__larger_than_one_piece__streams() -> None:
    pair = ConnectionPair()
    assert pair.to_worker(m.Put("a", 6, 0o644), b"ab") == [m.Put("a", 6, 0o644), m.Data(b"ab")]
    assert pair.to_worker(b"cd") == [m.Data(b"cd")]
    assert pair.to_worker(b"ef", m.Check()) == [m.Data(b"ef"), m.EndOfBody(), m.Check()]


def test_body__written_by_the_shell__is_counted() -> None:
    manager = ConnectionPair().manager
    manager.send(m.Put("a", 6, 0o644))
    manager.expect_passthrough(4)
    assert manager.unsent_body == 2
    manager.send_body(memoryview(b"ab"))
    manager.send(m.Check())
    assert manager.outgoing_size == 21
    assert manager.data_to_send() == b"put a 6 0644\nabcheck\n"
    assert manager.outgoing_size == 0


def test_body__longer_than_announced__is_our_mistake() -> None:
    manager = ConnectionPair().manager
    manager.send(m.Put("a", 6, 0o644))
    with pytest.raises(LocalProtocolError, match="7 bytes of a body of which 6 are left"):
        manager.send_body(b"1234567")


def test_body__shorter_than_announced__nothing_else_may_be_sent() -> None:
    manager = ConnectionPair().manager
    manager.send(m.Put("a", 6, 0o644))
    with pytest.raises(LocalProtocolError, match="last 6 bytes"):
        manager.send(m.Check())


def test_skip_body__taken_in_by_the_shell__is_counted() -> None:
    pair = ConnectionPair()
    worker = pair.worker
    assert worker.skip_body(5) == 0
    assert pair.to_worker(m.Put("a", 6, 0o644), b"ab") == [m.Put("a", 6, 0o644), m.Data(b"ab")]
    assert worker.skip_body(3) == 3
    assert worker.next_events() == []
    assert worker.skip_body(100) == 1
    assert worker.next_events() == [m.EndOfBody()]
    assert worker.skip_body(100) == 0


def test_skip_body__bytes_that_came_before_are_not_read__come_first() -> None:
    worker = ConnectionPair().worker
    worker.receive_data(b"put a 6 0644\nab")
    assert worker.skip_body(4) == 0
    assert worker.next_events() == [m.Put("a", 6, 0o644), m.Data(b"ab")]
    assert worker.skip_body(4) == 4


def test_send__refused__queues_nothing_and_changes_nothing() -> None:
    pair = ConnectionPair()
    with pytest.raises(LocalProtocolError, match="cannot send the end of a folder"):
        pair.manager.send(m.End())
    with pytest.raises(LocalProtocolError, match="cache name"):
        pair.manager.send(m.Dir("a b"))
    assert pair.manager.data_to_send() == b""
    assert pair.to_worker(m.Check()) == [m.Check()]


@pytest.mark.parametrize(
    ("role", "message"),
    [
        (Role.MANAGER, m.Alive()),
        (Role.WORKER, m.Check()),
        (Role.WORKER, m.TaskDescription(1, "true")),
        (Role.WORKER, m.StatusAnswer("[]")),
        (Role.MANAGER, m.StatusQuery("queue_status")),
        (Role.MANAGER, m.EnvironmentReady("ab")),
    ],
)
def test_send__message_of_the_other_side__is_our_mistake(role: Role, message: m.Message) -> None:
    with pytest.raises(LocalProtocolError, match=f"a {role.value} does not say `{type(message).__name__}`"):
        Connection(role).send(message)


def test_send__line_longer_than_peers_read__is_our_mistake() -> None:
    worker = ConnectionPair().worker
    with pytest.raises(LocalProtocolError, match="more than 4096"):
        worker.send(m.Info("key", "x" * 5000))
    worker.send(m.Info("key", "x" * 4000))


def test_send__long_text_after_a_short_line__is_fine() -> None:
    pair = ConnectionPair(11)
    invalid = m.CacheInvalid("name", "x" * 5000)
    assert pair.to_manager(invalid) == [invalid]


def test_next_events__events_before_an_error__come_first() -> None:
    manager = Connection(Role.MANAGER)
    manager.receive_data(b"workqueue 9 host Linux x86_64 8.0.0\nnonsense\nalive\n")
    assert manager.next_events() == [greeting()]
    assert isinstance(manager.error, RemoteProtocolError)
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match="the worker sent b'nonsense', which is no message"):
            manager.next_events()


def test_next_events__peer_breaks_the_order__names_it() -> None:
    manager = ConnectionPair().manager
    manager.receive_data(b"file a 3\nabc")
    with pytest.raises(RemoteProtocolError, match="the worker sent `File` was not asked for"):
        manager.next_events()


def test_next_events__messages_that_mean_nothing_to_a_worker__are_skipped() -> None:
    worker = ConnectionPair().worker
    worker.receive_data(b"tlq http://host:1/x\ninvalidate-file file-1\ncheck\n")
    assert worker.next_events() == [m.Check()]


def test_next_events__leading_blanks__are_skipped() -> None:
    worker = ConnectionPair().worker
    worker.receive_data(b"  check\n")
    assert worker.next_events() == [m.Check()]


def test_eof__between_messages__is_the_end() -> None:
    manager = ConnectionPair().manager
    manager.receive_data(b"alive\n")
    manager.receive_eof()
    assert manager.next_events() == [m.Alive(), m.ConnectionClosed()]
    assert manager.next_events() == []


@pytest.mark.parametrize("data", [b"aliv", b"info tasks_running 1\nx", b"cache-invalid a 5\nabc"])
def test_eof__inside_a_message__is_the_peers_mistake(data: bytes) -> None:
    manager = ConnectionPair(11).manager
    manager.receive_data(data)
    manager.receive_eof()
    manager.next_events() if b"\nx" in data else None
    with pytest.raises(RemoteProtocolError, match="in the middle of a message"):
        manager.next_events()


def test_eof__inside_a_body__is_the_peers_mistake() -> None:
    worker = ConnectionPair().worker
    worker.receive_data(b"put a 6 0644\nabc")
    worker.receive_eof()
    assert worker.next_events() == [m.Put("a", 6, 0o644), m.Data(b"abc")]
    with pytest.raises(RemoteProtocolError, match="in the middle of a message"):
        worker.next_events()


def test_status__asked__everything_that_comes_is_the_answer() -> None:
    pair = ConnectionPair(None)
    pair.to_manager(m.StatusQuery("queue_status"))
    assert pair.to_worker(m.StatusAnswer('[{"a": 1}]')) == [m.Data(b'[{"a": 1}]')]
    assert pair.to_worker() == []
    pair.worker.receive_eof()
    assert pair.worker.next_events() == [m.EndOfBody(), m.ConnectionClosed()]


def test_http__endless_headers__are_refused() -> None:
    manager = Connection(Role.MANAGER)
    manager.receive_data(b"GET / HTTP/1.1\n" + b"A: b\n" * (MAX_HTTP_HEADERS + 1))
    with pytest.raises(RemoteProtocolError, match="HTTP headers"):
        manager.next_events()


def test_http__headers_in_pieces__are_waited_for() -> None:
    manager = Connection(Role.MANAGER)
    manager.receive_data(b"GET /task_status HTTP/1.1\r\nHost: h\r\n")
    assert manager.next_events() == []
    manager.receive_data(b"\r\n")
    assert manager.next_events() == [m.StatusQuery("task_status", is_http=True)]


@pytest.mark.parametrize("line", [b"symlink a %d\n", b"url a %d 0644 0\n"])
def test_text__larger_than_any_real_one__is_refused(line: bytes) -> None:
    worker = ConnectionPair().worker
    worker.receive_data(b"dir a\n" * line.startswith(b"symlink") + line % (MAX_TEXT + 1))
    worker.next_events() if line.startswith(b"symlink") else None
    with pytest.raises(RemoteProtocolError, match="text of"):
        worker.next_events()


def test_properties__of_a_conversation__are_known_to_both_sides() -> None:
    pair = ConnectionPair(10)
    assert (pair.manager.peer_version, pair.worker.peer_version) == (10, 10)
    pair.to_manager(m.Feature(m.DIALECT_FEATURE))
    assert (pair.manager.is_dialect_offered, pair.manager.speaks_dialect) == (True, False)
    pair.to_worker(m.Hello(1, "session"))
    assert pair.worker.speaks_dialect
    assert not pair.worker.is_authenticated


def test_skip_body__part_of_it_was_not_taken_in_yet__comes_first() -> None:
    pair = ConnectionPair()
    assert pair.to_worker(m.Put("a", 6, 0o644)) == [m.Put("a", 6, 0o644)]
    pair.worker.receive_data(b"ab")
    assert pair.worker.skip_body(4) == 0
    assert pair.worker.next_events() == [m.Data(b"ab")]
    assert pair.worker.skip_body(9) == 4


@pytest.mark.parametrize(
    ("role", "words"),
    [
        (Role.MANAGER, "the worker asks for a password, and this manager has none"),
        (Role.WORKER, "the manager asks for a password, and this worker has none"),
    ],
)
def test_auth__asked_of_one_without_a_password__says_who_asks_whom(role: Role, words: str) -> None:
    connection = Connection(role)
    connection.receive_data(b"auth password sha1\n")
    with pytest.raises(AuthenticationError) as caught:
        connection.next_events()
    assert str(caught.value) == words

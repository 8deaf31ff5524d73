from __future__ import annotations

import hashlib

import pytest

from connection_pair import MANAGER_NONCE, WORKER_NONCE, ConnectionPair
from wq_package.errors import AuthenticationError, LocalProtocolError
from wq_package.protocol import messages as m
from wq_package.protocol.connection import Connection, Role

PASSWORD = b"sesame\n"
OPENING = b"auth password sha1\n"
OLD_NONCE = b"x" * 63


def sha1(nonce: bytes) -> bytes:
    return hashlib.sha1(PASSWORD + b" " + nonce, usedforsecurity=False).hexdigest().encode()


def make_manager() -> Connection:
    return Connection(Role.MANAGER, password=PASSWORD, nonce=MANAGER_NONCE)


def make_worker() -> Connection:
    return Connection(Role.WORKER, password=PASSWORD, nonce=WORKER_NONCE)


def say(connection: Connection, *lines: bytes) -> bytes:
    connection.receive_data(b"".join(line + b"\n" for line in lines))
    connection.next_events()
    return connection.data_to_send()


def test_manager__real_worker__proves_itself_only_after_the_worker() -> None:
    manager = make_manager()
    assert manager.data_to_send() == OPENING + MANAGER_NONCE + b"\n"
    assert say(manager, OPENING.strip(), OLD_NONCE) == b""
    assert say(manager, sha1(MANAGER_NONCE)) == sha1(OLD_NONCE) + b"\nok\n"
    assert not manager.is_authenticated
    assert say(manager, b"ok") == b""
    assert manager.is_authenticated


def test_worker__real_manager__proves_itself_first() -> None:
    worker = make_worker()
    assert worker.data_to_send() == OPENING + WORKER_NONCE + b"\n"
    assert say(worker, OPENING.strip(), OLD_NONCE) == sha1(OLD_NONCE) + b"\n"
    assert say(worker, sha1(WORKER_NONCE), b"ok") == b"ok\n"
    assert worker.is_authenticated


def test_both_ours__same_password__never_use_sha1() -> None:
    pair = ConnectionPair(None, passwords=(PASSWORD, PASSWORD))
    opening = pair.worker.data_to_send()
    pair.worker.receive_data(pair.manager.data_to_send())
    pair.worker.next_events()
    proof = pair.worker.data_to_send()
    assert len(proof.strip()) == 64
    pair.manager.receive_data(opening + proof)
    pair.manager.next_events()
    answer, ok = pair.manager.data_to_send().splitlines()
    assert len(answer) == 64
    assert answer != proof.strip()
    pair.worker.receive_data(answer + b"\n" + ok + b"\n")
    pair.worker.next_events()
    assert pair.worker.data_to_send() == b"ok\n"


def test_both_ours__other_password__both_are_told() -> None:
    pair = ConnectionPair(None, passwords=(PASSWORD, b"sesame"))
    opening = pair.worker.data_to_send()
    pair.worker.receive_data(pair.manager.data_to_send())
    pair.worker.next_events()
    pair.manager.receive_data(opening + pair.worker.data_to_send())
    with pytest.raises(AuthenticationError, match="the password of the worker differs"):
        pair.manager.next_events()
    assert pair.manager.data_to_send() == b"failure\n"
    pair.worker.receive_data(b"failure\n")
    with pytest.raises(AuthenticationError, match="the password of the manager differs") as raised:
        pair.worker.next_events()
    assert "same password file" in str(raised.value.hint)


def test_peer__sends_our_own_nonce__is_refused_before_we_prove_anything() -> None:
    worker = make_worker()
    worker.data_to_send()
    with pytest.raises(AuthenticationError, match="nonce"):
        say(worker, OPENING.strip(), WORKER_NONCE)
    assert worker.data_to_send() == b""


@pytest.mark.parametrize("nonce", [b"", b"\x00" * 63, b"x" * 1024])
def test_peer__unusable_nonce__is_refused(nonce: bytes) -> None:
    with pytest.raises(AuthenticationError, match="nonce"):
        say(make_worker(), OPENING.strip(), nonce)


def test_peer__says_failure_at_the_end__is_refused() -> None:
    manager = make_manager()
    with pytest.raises(AuthenticationError, match="differs"):
        say(manager, OPENING.strip(), OLD_NONCE, sha1(MANAGER_NONCE), b"failure")


def test_manager__worker_without_password__names_the_option() -> None:
    with pytest.raises(AuthenticationError, match="the worker does not use a password") as raised:
        say(make_manager(), b"workqueue 9 host Linux x86_64 8.0.0")
    assert "-P" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("line", "who"),
    [
        (b"queue_status", "tool that asks for the status"),
        (b"GET / HTTP/1.1", "tool that asks for the status"),
        (b"nonsense", "peer"),
    ],
)
def test_manager__somebody_else_without_password__is_not_called_a_worker(line: bytes, who: str) -> None:
    with pytest.raises(AuthenticationError, match=f"^the {who} does not use a password"):
        say(make_manager(), line)


@pytest.mark.parametrize("role", list(Role))
def test_peer__asks_for_a_password_that_we_do_not_have__is_a_clear_error(role: Role) -> None:
    with pytest.raises(AuthenticationError, match="asks for a password"):
        say(Connection(role), OPENING.strip(), OLD_NONCE)


def test_peer__closes_during_the_dialogue__is_a_clear_error() -> None:
    worker = make_worker()
    worker.receive_eof()
    with pytest.raises(AuthenticationError, match="closed the connection"):
        worker.next_events()


def test_send__before_the_dialogue_has_ended__is_our_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="password dialogue"):
        make_worker().send(m.Alive())


@pytest.mark.parametrize("nonce", [b"", b"a\nb"])
def test_nonce__not_a_line__is_our_mistake(nonce: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="nonce"):
        Connection(Role.WORKER, password=PASSWORD, nonce=nonce)

from __future__ import annotations

import json

import pytest

from connection_pair import ConnectionPair
from wq_package.errors import LocalProtocolError, RemoteProtocolError
from wq_package.protocol import dialect
from wq_package.protocol import messages as m

DIGEST = "ab" * 32


def test_encode__trailing_defaults__are_left_out() -> None:
    assert dialect.encode_dialect(m.CallTask(7, "", "f0", 3)) == b'wqp call 13\n[7,"","f0",3]'


def test_encode__call_again__differs_by_its_number_only() -> None:
    def encode(task_id: int, variable: str) -> bytes:
        return dialect.encode_dialect(m.CallTask(task_id, "", "f0", 3, variables=(("A", variable),)))

    for variable in ("x", "y", "z" * 5000):
        assert encode(123, variable) == encode(456, variable).replace(b"[456,", b"[123,")
        assert f'[["A","{variable}"]]]'.encode() in encode(7, variable)


def test_encode__many_calls_and_long_ones__few_are_remembered() -> None:
    for number in range(2000):
        dialect.encode_dialect(m.CallTask(1, "", "f0", number))
    dialect.encode_dialect(m.CallTask(1, "", "f0", 3, variables=(("A", "x" * 5000),)))

    assert len(dialect._encoded) <= 512
    assert max(map(len, dialect._encoded.values())) < 5000


def test_encode__call_result__is_a_line_and_a_list() -> None:
    result = m.CallResult(7, "success", 0, 10, 4, 1200, message="caf\u00e9")
    header = b'[7,"success",0,10,4,1200,0,-1,-1.0,-1.0,[],"caf\\u00e9"]'
    assert dialect.encode_dialect(result) == b"wqp result %d\n%b" % (len(header), header)


def test_call__all_fields__arrive_as_they_were_sent() -> None:
    file = m.TaskFile("file-1", "in put", m.FileFlags.CACHE)
    call = m.CallTask(
        7,
        DIGEST,
        DIGEST,
        0,
        "fork",
        "app",
        1.5,
        10,
        20,
        1,
        2.5,
        3.5,
        (("A", "b"), ("C", None)),
        (file,),
        (file,),
    )
    assert ConnectionPair(is_dialect=True).to_worker(call) == [call, m.EndOfBody()]


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("hello", []),
        ("hello", {"version": 1}),
        ("hello", ["1", "s"]),
        ("hello", [True, "s"]),
        ("hello", [1, "s", 2]),
        ("hello", [2**70, "s"]),
        ("offer", ["ab", [["ab"]], [], ""]),
        ("offer", ["ab", [["ab", -1]], [], ""]),
        ("offer", ["ab", [7], [], ""]),
        ("offer", ["ab", {}, [], ""]),
        ("offer", ["../ab", [], [], ""]),
        ("offer", ["", [], [], ""]),
        ("layer", ["a/b", 3]),
        ("layer", ["a" * 200, 3]),
        ("layer", ["\u0661", 3]),
        ("layer", [7, 3]),
        ("function", ["ab", 1.5]),
        ("call", ["7", "", "f0", 3]),
        ("call", [7, None, "f0", 3]),
        ("call", [7, "", "f0", 3, "fork", "app", "1"]),
        ("call", [7, "", "f0", 3, "fork", "app", 2**70]),
        ("call", [7, "", "f0", 3, "fork", "app", 1, 1.5]),
        ("call", [7, "", "f0", 3, "fork", "app", 1, 1, 1, 1, 1, 1, [["A"]]]),
        ("call", [7, "", "f0", 3, "fork", "app", 1, 1, 1, 1, 1, 1, [["A", 1]]]),
        ("call", [7, "", "f0", 3, "fork", "app", 1, 1, 1, 1, 1, 1, [], [["../a", "b", 0]]]),
        ("call", [7, "", "f0", 3, "fork", "app", 1, 1, 1, 1, 1, 1, [], [["a", "b", -1]]]),
        ("call", [7, "", "f0", 3, "fork", "app", 1, 1, 1, 1, 1, 1, [], [], [["a\0", "b", 0]]]),
    ],
)
def test_decode__field_of_another_kind__is_the_peers_mistake(word: str, values: object) -> None:
    with pytest.raises(RemoteProtocolError, match="malformed"):
        dialect.decode_dialect(word.encode(), json.dumps(values).encode())


@pytest.mark.parametrize(
    "header",
    [b"", b"[1,", b"\xff", b"[NaN,1]", b"[1e999]", b"[" * 100_000, b"[" + b"9" * 5000 + b"]", b'[1,"\\ud8"]'],
    ids=["empty", "cut", "not UTF-8", "NaN", "infinite", "deep", "long number", "bad escape"],
)
def test_decode__not_json__is_the_peers_mistake(header: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="malformed"):
        dialect.decode_dialect(b"hello", header)


def test_decode__infinite_number__is_the_peers_mistake() -> None:
    header = b'[7,"","f0",3,"fork","app",1e999]'
    with pytest.raises(RemoteProtocolError, match="malformed"):
        dialect.decode_dialect(b"call", header)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_encode__number_that_json_lacks__is_our_mistake(number: float) -> None:
    with pytest.raises(LocalProtocolError, match="CallTask"):
        dialect.encode_dialect(m.CallTask(7, "", "f0", 3, cores=number))


def test_encode__more_than_is_read__is_our_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="larger than"):
        dialect.encode_dialect(m.EnvironmentOffer("ab", (), (), "x" * dialect.MAX_HEADER))


@pytest.mark.parametrize(
    "line", [b"wqp nonsense 2\n[]", b"wqp call 99999999\n", b"wqp call\n", b'wqp ready 4\n["a"]']
)
def test_connection__line_of_the_dialect_that_is_none__is_the_peers_mistake(line: bytes) -> None:
    worker = ConnectionPair(is_dialect=True).worker
    worker.receive_data(line)
    with pytest.raises(RemoteProtocolError):
        worker.next_events()


def test_connection__dialect_to_one_that_did_not_offer_it__is_the_peers_mistake() -> None:
    worker = ConnectionPair().worker
    worker.receive_data(dialect.encode_dialect(m.Hello(1, "s")))
    with pytest.raises(RemoteProtocolError, match="did not offer"):
        worker.next_events()


def test_connection__own_dialect__is_refused_to_a_real_peer() -> None:
    pair = ConnectionPair()
    with pytest.raises(LocalProtocolError, match="does not speak our dialect"):
        pair.manager.send(m.CallTask(1, "", "f0", 0))
    with pytest.raises(LocalProtocolError, match="a worker does not say `CallTask`"):
        pair.worker.send(m.CallTask(1, "", "f0", 0))
    assert pair.manager.data_to_send() == b""


@pytest.mark.parametrize("port", [0, -1, 65536, "7001", True])
def test_peer_address__port_that_cannot_be__is_refused(port: object) -> None:
    assert dialect.decode_dialect(b"serving", b'[65535,"secret"]') == m.PeerAddress(65535, "secret")
    with pytest.raises(RemoteProtocolError, match="malformed"):
        dialect.decode_dialect(b"serving", json.dumps([port, "secret"]).encode())

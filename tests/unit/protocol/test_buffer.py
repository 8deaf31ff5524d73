from __future__ import annotations

import pytest

from wq_package.errors import RemoteProtocolError
from wq_package.protocol.buffer import MAX_LINE, ReceiveBuffer


def make_buffer(*pieces: bytes) -> ReceiveBuffer:
    buffer = ReceiveBuffer()
    for piece in pieces:
        buffer.feed(piece)
    return buffer


def test_take_line__whole_lines__come_one_by_one() -> None:
    buffer = make_buffer(b"one\ntwo\n")
    assert [buffer.take_line(), buffer.take_line(), buffer.take_line()] == [b"one", b"two", None]


def test_take_line__cut_line__waits_for_its_end() -> None:
    buffer = make_buffer(b"on")
    assert buffer.take_line() is None
    buffer.feed(b"e\nrest")
    assert buffer.take_line() == b"one"
    assert len(buffer) == 4


def test_take_line__carriage_returns__are_dropped_anywhere() -> None:
    assert make_buffer(b"a\rb\r\n").take_line() == b"ab"


def test_take_line__longest_allowed__is_taken() -> None:
    line = b"x" * (MAX_LINE - 1)
    assert make_buffer(line + b"\n").take_line() == line


@pytest.mark.parametrize("end", [b"\n", b""], ids=["with its end", "without"])
def test_take_line__one_byte_too_long__is_refused(end: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="4096"):
        make_buffer(b"x" * MAX_LINE + end).take_line()


def test_take__more_than_there_is__gives_what_there_is_without_copying() -> None:
    body = b"body"
    assert make_buffer(body).take(10) is body


def test_take__in_the_middle__leaves_the_rest() -> None:
    buffer = make_buffer(b"line\nbody", b"rest")
    assert (buffer.take_line(), buffer.take(4), buffer.take(0), buffer.take(9)) == (
        b"line",
        b"body",
        b"",
        b"rest",
    )


def test_read_exactly__pieces__are_gathered() -> None:
    buffer = make_buffer(b"ab")
    reading = buffer.read_exactly(5)
    next(reading)
    buffer.feed(b"cd")
    next(reading)
    buffer.feed(b"ef")
    with pytest.raises(StopIteration) as stopped:
        next(reading)
    assert stopped.value.value == b"abcde"
    assert len(buffer) == 1


def test_read_line__pieces__yields_until_the_end() -> None:
    buffer = make_buffer(b"a")
    reading = buffer.read_line()
    next(reading)
    buffer.feed(b"b\n")
    with pytest.raises(StopIteration) as stopped:
        next(reading)
    assert stopped.value.value == b"ab"


def test_feed__view_of_a_buffer_that_is_used_again__is_copied() -> None:
    shared = bytearray(b"one\n")
    buffer = make_buffer()
    buffer.feed(memoryview(shared))
    shared[:] = b"two\n"
    assert buffer.take_line() == b"one"

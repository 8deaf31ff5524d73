"""The lines of a manager, as real ones write them."""

from __future__ import annotations

import pytest

from connection_pair import ConnectionPair
from wq_package.errors import LocalProtocolError, RemoteProtocolError
from wq_package.protocol import messages as m
from wq_package.protocol.conversation import Conversation
from wq_package.protocol.to_worker import DECODERS, ENCODERS, encode_status_answer

# Recorded from Debian's manager: work-queue.md 2.15, session A.
FOLDER = (
    b"put file-2-3b8d-with%2520space.txt 7 0644\nspaced\n"
    b"dir file-0-33cd-mydir\nput run.sh 18 0755\n#!/bin/sh\necho hi\nsymlink link 5\na.txtdir sub\n"
    b"put b%20c.txt 4 0644\nBBBBend\nput a.txt 3 0644\nAAAend\nput buffer-0-7f2d 4 777\ntextcheck\n"
)


def test_folder__of_a_real_manager__is_understood() -> None:
    worker = ConnectionPair().worker
    worker.receive_data(FOLDER)
    assert worker.next_events() == [
        m.Put("file-2-3b8d-with%20space.txt", 7, 0o644), m.Data(b"spaced\n"), m.EndOfBody(),
        m.Dir("file-0-33cd-mydir"),
        m.Put("run.sh", 18, 0o755), m.Data(b"#!/bin/sh\necho hi\n"), m.EndOfBody(),
        m.Symlink("link", "a.txt"),
        m.Dir("sub"),
        m.Put("b c.txt", 4, 0o644), m.Data(b"BBBB"), m.EndOfBody(),
        m.End(),
        m.Put("a.txt", 3, 0o644), m.Data(b"AAA"), m.EndOfBody(),
        m.End(),
        m.Put("buffer-0-7f2d", 4, 0o777), m.Data(b"text"), m.EndOfBody(),
        m.Check(),
    ]  # fmt: skip


def decode(line: bytes) -> m.ToWorker:
    word, _, rest = line.partition(b" ")
    return DECODERS[word](rest)


def encode(message: m.ToWorker, *, depth: int = 0, is_dialect: bool = False) -> bytes:
    conversation = Conversation()
    conversation.version, conversation.folder_depth, conversation.is_dialect_spoken = 9, depth, is_dialect
    return ENCODERS[type(message)](message, conversation)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (m.Put("file-1", 3, 0o100755), b"put file-1 3 0755"),
        (m.Dir("file-1"), b"dir file-1"),
        (m.Kill(-1), b"kill -1"),
        (m.Unlink("file-1"), b"unlink file-1"),
        (m.Get("file-1"), b"get file-1 1"),
        (m.Get("file-1", recursive=False), b"get file-1 0"),
        (m.SendResults(), b"send_results -1"),
        (m.Check(), b"check"),
        (m.Release(), b"release"),
        (m.Exit(), b"exit"),
        (m.Thirdget(m.TransferMode.COMMAND, "cmd-1", "echo x > %%"), b"thirdget 1 cmd-1 echo x > %%"),
        (m.Thirdput(m.TransferMode.COPY, "file-1", "/a b"), b"thirdput 2 file-1 /a b"),
        (m.Puturl("http://h/a b", "url-1", 3, 0o644), b"puturl http://h/a%20b url-1 3 0644"),
        (m.Putcmd("echo > %%", "cmd-1", 3, 0o644), b"putcmd echo%20%3E%20%25%25 cmd-1 3 0644"),
    ],
)
def test_encode__and_decode__are_each_others_reverse(message: m.ToWorker, line: bytes) -> None:
    assert encode(message) == line
    expected = m.Put("file-1", 3, 0o755) if isinstance(message, m.Put) else message
    assert decode(line + b" ") == expected if line[:5] != b"third" else decode(line) == message


def test_encode_put__inside_a_folder__encodes_every_byte_of_its_name() -> None:
    assert encode(m.Put("caf\u00e9\t x", 0, 0o644), depth=1) == b"put caf%C3%A9%09%20x 0 0644"
    with pytest.raises(LocalProtocolError, match="cache name"):
        encode(m.Put("a b", 0, 0o644))


def test_encode_symlink__to_a_real_worker__is_refused_with_a_hint() -> None:
    with pytest.raises(LocalProtocolError, match="symbolic link") as raised:
        encode(m.Symlink("a", "b"), depth=1)
    assert "tarball" in str(raised.value.hint)
    assert encode(m.Symlink("a b", "c d"), depth=1, is_dialect=True) == b"symlink a%20b 3\nc d"


@pytest.mark.parametrize(
    "line",
    [
        b"put a/b 3 0644",
        b"put a%2Fb 3 0644",
        b"put .. 3 0644",
        b"put a -3 0644",
        b"put a 3 rw",
        b"put a 3",
        b"dir ",
        b"dir ..",
        b"kill all",
        b"unlink a/b",
        b"unlink",
        b"get a",
        b"get .. 1",
        b"send_results",
        b"thirdget 4 a b",
        b"thirdget 1 a",
        b"thirdput 0 a b",
        b"puturl a b 3",
        b"putcmd a .. 3 0644",
    ],
)
def test_decode__malformed__is_the_peers_mistake(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(line)


def test_url__of_a_real_manager__is_understood_both_ways() -> None:
    url = m.Url("url-1", "file:///a", 0o644, m.FileFlags.CACHE)
    data = b"url url-1 9 0644 1\nfile:///a"
    worker = ConnectionPair().worker
    worker.receive_data(data)
    assert worker.next_events() == [url]
    assert encode(url) == data


def test_project_name__empty__is_an_empty_line() -> None:
    pair = ConnectionPair(None)
    pair.to_manager(m.Name())
    assert pair.to_worker(m.ProjectName("")) == [m.ProjectName("")]
    pair.to_manager(m.Name())
    assert pair.to_worker(m.ProjectName("my project")) == [m.ProjectName("my project")]


def test_status_answer__plain__is_the_text_alone() -> None:
    assert encode_status_answer(m.StatusAnswer("[]")) == b"[]"


def test_status_answer__http__has_lines_ending_in_lf() -> None:
    answer = encode_status_answer(m.StatusAnswer("<html>", is_http=True, content_type="text/html"))
    head, _, body = answer.partition(b"\n\n")
    assert body == b"<html>"
    assert head.splitlines()[0] == b"HTTP/1.1 200 OK"
    assert b"Content-type: text/html" in head.splitlines()
    assert b"\r" not in answer

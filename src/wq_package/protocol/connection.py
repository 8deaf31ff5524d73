"""One connection, sans-I/O: bytes in, events out; messages in, bytes out (logic module).

Knows its role, what has been said, and nothing of sockets or time. The shell's part is five steps: feed what arrived
with `receive_data`, take `next_events`, `send` messages, write out `data_to_send`, and close on an error or at the end.
Any other exception than those named here is a bug of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from wq_package.errors import (
    AuthenticationError,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    WQPackageError,
)
from wq_package.protocol import messages as m
from wq_package.protocol import to_manager, to_worker
from wq_package.protocol.buffer import MAX_LINE, ReceiveBuffer
from wq_package.protocol.conversation import Conversation
from wq_package.protocol.dialect import (
    KINDS,
    MAX_HEADER,
    TO_MANAGER,
    TO_WORKER,
    decode_dialect,
    encode_dialect,
)
from wq_package.protocol.fields import parse_mode, parse_size, split_fields
from wq_package.protocol.names import decode_cache_name, decode_plain_name, decode_text
from wq_package.protocol.password import OPENING, PasswordDialogue, Role
from wq_package.protocol.task_block import encode_task, read_task

__all__ = ["Connection", "Role"]

MAX_TEXT = 2**20
"""Largest text that travels inside a message of Work Queue's own: an error, a URL, the target of a link."""
MAX_HTTP_HEADERS = 100

_BODY_HEADERS = (m.Put, m.Result, m.Update, m.File, m.Layer, m.FunctionDefinition, m.CallTask, m.CallResult)
_WITH_BODY = frozenset(_BODY_HEADERS)
_ENDING_IN_TEXT = frozenset({m.Symlink, m.Url, m.CacheInvalid})
"""Their text is the end of them: no line end follows."""
_IGNORED = frozenset({b"invalidate-file", b"tlq"})
"""Meant for foremen, or obsolete: a worker reads them and does nothing."""
_END_OF_BODY = m.EndOfBody()

_Reading = Generator[None, None, None]
_Parsing = Generator[None, None, Any]


class Connection:
    """One side of a conversation between a manager and a worker.

    Args:
        role: which side we are. The manager is the one that listens.
        password: the raw bytes of the password file, or `None` for none.
        nonce: with a password, a line of printable random characters that is never used again. One of ours begins
            with `NONCE_MARKER`.
    """

    def __init__(self, role: Role, *, password: bytes | None = None, nonce: bytes = b"") -> None:
        self.role = role
        self._conversation = Conversation()
        self._buffer = ReceiveBuffer()
        self._events: list[m.Event] = []
        self._error: WQPackageError | None = None
        self._outgoing: list[bytes] = []
        self._outgoing_size = 0
        self._unsent_body = 0
        self._body_left = 0
        self._is_raw = False
        self._is_eof = False
        self._is_between = True
        self._is_finished = False
        self._dialogue = None if password is None else PasswordDialogue(role, password, nonce)
        self.is_ready = self._dialogue is None
        """Whether messages may be sent: the password dialogue, if any, is over."""
        self.is_authenticated = False
        """Whether both sides have proved that they know the password; never true without one."""
        self._take_dialogue_lines()
        self._parser = self._read_everything()
        if role is Role.MANAGER:
            self._encoders, self._own_dialect = to_worker.ENCODERS, TO_WORKER
            self._say: Callable[[Any], None] = self._conversation.say_to_worker
        else:
            self._encoders, self._own_dialect = to_manager.ENCODERS, TO_MANAGER
            self._say = self._conversation.say_to_manager

    # -- what is known ------------------------------------------------------------------------------------------------

    @property
    def peer_version(self) -> int | None:
        """The protocol number that the worker's greeting named, or `None` before it."""
        return self._conversation.version

    @property
    def is_dialect_offered(self) -> bool:
        """Whether the worker has announced our dialect, so that a manager may say `Hello`."""
        return self._conversation.is_dialect_offered

    @property
    def speaks_dialect(self) -> bool:
        """Whether the manager has said `Hello`: from then on both may use our dialect."""
        return self._conversation.is_dialect_spoken

    @property
    def error(self) -> WQPackageError | None:
        """What broke the connection, once `next_events` has met it."""
        return self._error

    @property
    def outgoing_size(self) -> int:
        """How many bytes `data_to_send` would give."""
        return self._outgoing_size

    @property
    def unsent_body(self) -> int:
        """How many bytes of the last header's body are still to be given."""
        return self._unsent_body

    # -- in -----------------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes | memoryview) -> None:
        """Take in what arrived. Call `next_events` after each call, or memory fills."""
        self._buffer.feed(data)

    def skip_body(self, limit: int) -> int:
        """Count bytes of a body that the shell takes in by itself, uncopied; give how many of `limit` it has to take.

        They are what arrived next. Call `next_events` afterwards: the body may be complete.
        """
        if len(self._buffer):
            return 0
        count = min(limit, self._body_left)
        self._body_left -= count
        return count

    def receive_eof(self) -> None:
        """Take in that nothing more will arrive."""
        self._is_eof = True

    def next_events(self) -> list[m.Event]:
        """Give everything that the bytes so far mean; an empty list if they mean nothing yet.

        Raises:
            RemoteProtocolError: the peer broke the protocol: drop it. Events before that are given first.
            AuthenticationError: the passwords differ: write out `data_to_send` and drop it.
        """
        if self._error is None:
            self._parse()
        events, self._events = self._events, []
        if self._error is not None and not events:
            raise self._error
        return events

    def _parse(self) -> None:
        try:
            next(self._parser)
            if self._is_eof and not self._is_finished:
                self._finish()
        except (RemoteProtocolError, AuthenticationError) as error:
            self._error = error
        self._take_dialogue_lines()

    def _take_dialogue_lines(self) -> None:
        if self._dialogue is not None and self._dialogue.to_send:
            self._queue(self._dialogue.to_send)
            self._dialogue.to_send = b""

    def _finish(self) -> None:
        self._is_finished = True
        if not self.is_ready:
            if self.role is Role.WORKER and self._dialogue is not None and self._dialogue.is_answered:
                # Whoever has another password says `failure`; this one is stopping, or has no room.
                raise RemoteProtocolError("the peer closed the connection in the middle of it")
            raise AuthenticationError(
                "the peer closed the connection instead of proving that it knows the password",
                hint="it has another password or none: give both sides a copy of the same password file; or it speaks TLS: "
                "give its certificate's fingerprint (`--tls-fingerprint`)",
            )
        if self._is_raw:
            self._events.append(_END_OF_BODY)
        elif not self._is_between or len(self._buffer):
            raise RemoteProtocolError("the peer closed the connection in the middle of a message")
        self._events.append(m.ConnectionClosed())

    def _read_everything(self) -> _Reading:
        if self._dialogue is not None:
            yield from self._dialogue.run(self._buffer)
            self.is_ready = self.is_authenticated = True
        read_message = self._read_for_manager if self.role is Role.MANAGER else self._read_for_worker
        while True:
            line = None if self._is_raw else self._buffer.take_line()
            if line is not None:
                self._is_between = False
                yield from read_message(line)
                self._is_between = True
                continue
            if self._is_raw and (piece := self._buffer.take(len(self._buffer))):
                self._events.append(m.Data(piece))
            yield

    def _read_for_manager(self, line: bytes) -> _Reading:
        word, _, rest = line.lstrip().partition(b" ")
        message: Any
        if word == b"wqp":
            message = yield from self._read_dialect(rest, TO_MANAGER)
        elif word in to_manager.DECODERS:
            message = to_manager.DECODERS[word](rest)
        elif word == b"cache-invalid":
            message = yield from self._read_cache_invalid(rest)
        elif word == b"GET":
            message = yield from self._read_http_query(rest)
        elif line.decode("latin-1") in to_manager.STATUS_QUERIES:
            message = m.StatusQuery(line.decode())
        else:
            raise self._make_unknown_error(line)
        if type(message) is m.Workqueue and self.peer_version is None:
            self._events.append(message)  # before it is judged: a manager counts whom it turns away
            self._follow(self._conversation.say_to_manager, message)
            return
        self._follow(self._conversation.say_to_manager, message)
        self._events.append(message)
        if type(message) in _WITH_BODY:
            yield from self._read_body(message.size)

    def _read_for_worker(self, line: bytes) -> _Reading:
        word, _, rest = line.lstrip().partition(b" ")
        message: Any
        if word == b"wqp":
            message = yield from self._read_dialect(rest, TO_WORKER)
        elif self._conversation.names_asked and line != OPENING:
            message = m.ProjectName(decode_text(line))
        elif word in to_worker.DECODERS:
            message = to_worker.DECODERS[word](rest)
        elif word == b"task":
            message = yield from read_task(self._buffer, rest)
        elif word == b"symlink":
            message = yield from self._read_symlink(rest)
        elif word == b"url":
            message = yield from self._read_url(rest)
        elif word in _IGNORED:
            return
        else:
            raise self._make_unknown_error(line)
        self._follow(self._conversation.say_to_worker, message)
        self._events.append(message)
        if type(message) in _WITH_BODY:
            yield from self._read_body(message.size)

    def _read_body(self, size: int) -> _Reading:
        self._body_left = size
        while self._body_left:
            piece = self._buffer.take(self._body_left)
            if piece:
                self._events.append(m.Data(piece))
                self._body_left -= len(piece)
            else:
                yield
        self._events.append(_END_OF_BODY)

    def _read_dialect(self, rest: bytes, known: frozenset[type]) -> _Parsing:
        word, length = split_fields(rest, 2)
        size = parse_size(length)
        if KINDS.get(word) not in known or size > MAX_HEADER:
            raise self._make_unknown_error(b"wqp " + rest)
        header = yield from self._buffer.read_exactly(size)
        return decode_dialect(word, header)

    def _read_text(self, length: bytes) -> Generator[None, None, str]:
        size = parse_size(length)
        if size > MAX_TEXT:
            raise RemoteProtocolError(f"the peer announced a text of {size} bytes")
        raw = yield from self._buffer.read_exactly(size)
        return decode_text(raw)

    def _read_cache_invalid(self, rest: bytes) -> _Parsing:
        name, length = split_fields(rest, 2)
        text = yield from self._read_text(length)
        return m.CacheInvalid(decode_text(name), text)

    def _read_http_query(self, rest: bytes) -> _Parsing:
        path = to_manager.parse_http_path(rest)
        for _ in range(MAX_HTTP_HEADERS):
            if not (yield from self._buffer.read_line()):
                return m.StatusQuery(path, is_http=True)
        raise RemoteProtocolError(f"the peer sent more than {MAX_HTTP_HEADERS} HTTP headers")

    def _read_symlink(self, rest: bytes) -> _Parsing:
        name, length = split_fields(rest, 2)
        target = yield from self._read_text(length)
        return m.Symlink(decode_plain_name(name), target)

    def _read_url(self, rest: bytes) -> _Parsing:
        name, length, mode, flags = split_fields(rest, 4)
        url = yield from self._read_text(length)
        return m.Url(decode_cache_name(name), url, parse_mode(mode), m.FileFlags(parse_size(flags) & 127))

    def _follow(self, say: Callable[[Any], None], message: m.Message) -> None:
        try:
            say(message)
        except ProtocolError as error:
            peer = "worker" if self.role is Role.MANAGER else "manager"
            raise RemoteProtocolError(f"the {peer} sent {error}") from error

    def _make_unknown_error(self, line: bytes) -> WQPackageError:
        if line.startswith(b"auth"):
            here, there = ("manager", "worker") if self.role is Role.MANAGER else ("worker", "manager")
            return AuthenticationError(
                f"the {there} asks for a password, and this {here} has none",
                hint="give both sides the same password file",
            )
        peer = "worker" if self.role is Role.MANAGER else "manager"
        return RemoteProtocolError(f"the {peer} sent {line[:80]!r}, which is no message")

    # -- out ----------------------------------------------------------------------------------------------------------

    def send(self, message: m.Message) -> None:
        """Queue a message; if it is the header of a body, `send_body` or `expect_passthrough` must follow.

        Raises:
            LocalProtocolError: this may not be said, now or ever. Nothing was queued.
        """
        if not self.is_ready:
            raise LocalProtocolError("a message before the password dialogue has ended")
        if self._unsent_body:
            raise LocalProtocolError(f"a message before the last {self._unsent_body} bytes of a body")
        data = self._encode(message)
        try:
            self._say(message)
        except ProtocolError as error:
            raise LocalProtocolError(f"cannot send {error}") from error
        self._queue(data)
        if isinstance(message, _BODY_HEADERS):
            self._unsent_body = message.size
        elif isinstance(message, m.StatusQuery):
            self._is_raw = self.role is Role.WORKER

    def _encode(self, message: m.Message) -> bytes:
        kind = type(message)
        if kind in self._own_dialect:
            return encode_dialect(message)
        if isinstance(message, m.TaskDescription) and self.role is Role.MANAGER:
            return encode_task(message, self._conversation)
        if isinstance(message, m.StatusAnswer) and self.role is Role.MANAGER:
            return to_worker.encode_status_answer(message)
        encode = self._encoders.get(kind)
        if encode is None:
            raise LocalProtocolError(f"a {self.role.value} does not say `{kind.__name__}`")
        data = encode(message, self._conversation)
        if len(data) >= MAX_LINE and len(data.partition(b"\n")[0]) >= MAX_LINE:
            raise LocalProtocolError(f"`{kind.__name__}` needs a line of more than {MAX_LINE} bytes")
        return data if kind in _ENDING_IN_TEXT else data + b"\n"

    def send_body(self, data: bytes | memoryview) -> None:
        """Queue a piece of the body that the last header announced.

        Raises:
            LocalProtocolError: it is more than announced.
        """
        self.expect_passthrough(len(data))
        self._queue(bytes(data))

    def expect_passthrough(self, size: int) -> None:
        """Count a piece of the body that the shell will write by itself, after all of `data_to_send`.

        Raises:
            LocalProtocolError: it is more than announced.
        """
        if size > self._unsent_body:
            raise LocalProtocolError(f"{size} bytes of a body of which {self._unsent_body} are left")
        self._unsent_body -= size

    def data_to_send(self) -> bytes:
        """Give what is to be written, and forget it."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        self._outgoing_size = 0
        return data

    def _queue(self, data: bytes) -> None:
        self._outgoing.append(data)
        self._outgoing_size += len(data)

"""`task … end`: the description of a command task, value ⇄ bytes (logic module).

Knows work-queue.md 2.6b, nothing of order or other messages. The wall time needs care: real managers send seconds,
real workers read microseconds, and a worker is what kills. So the wire carries microseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from wq_package.errors import LocalProtocolError, RemoteProtocolError
from wq_package.protocol import messages as m
from wq_package.protocol.buffer import MAX_LINE, ReceiveBuffer
from wq_package.protocol.conversation import Conversation
from wq_package.protocol.fields import parse_integer, parse_number, parse_size, split_fields
from wq_package.protocol.names import (
    decode_cache_name,
    decode_name,
    decode_text,
    encode_cache_name,
    encode_name,
    encode_text,
    encode_word,
)

MAX_DESCRIPTION = 16 * 2**20
"""Largest description of one task that is gathered."""


def encode_task(task: m.TaskDescription, conversation: Conversation) -> bytes:
    """Encode a description, in the order in which real managers do.

    Raises:
        LocalProtocolError: it holds what cannot travel.
    """
    lines = [b"task %d\ncmd %b" % (task.task_id, _encode_body(task.command, "command"))]
    if task.coprocess:
        if conversation.version not in (10, 11):
            raise LocalProtocolError(f"protocol {conversation.version} knows no coprocesses")
        lines.append(b"coprocess " + _encode_body(task.coprocess, "coprocess"))
    # A command and the name of a coprocess are not followed by a line end.
    head = b"".join(lines)
    tail = [
        b"category " + encode_name(task.category or "default"),
        *_encode_limits(task),
        *_encode_enforcement(task, conversation),
        *(_encode_variable(name, value) for name, value in task.variables),
        *(b"infile " + _encode_file(file) for file in task.inputs),
        *(b"dir " + encode_word(folder) for folder in task.folders),
        *(b"outfile " + _encode_file(file) for file in task.outputs),
        b"end\n",
    ]
    if max(map(len, tail)) >= MAX_LINE:
        _check_lines(tail)
    block = head + b"\n".join(tail)
    if len(block) > MAX_DESCRIPTION:
        raise LocalProtocolError(f"the task needs a description of more than {MAX_DESCRIPTION} bytes")
    return block


def _check_lines(lines: list[bytes]) -> None:
    for line in lines:
        # The value of a variable is no line: its length is announced.
        if len(line) >= MAX_LINE and not line.startswith(b"env "):
            raise LocalProtocolError(f"the task needs a line of more than {MAX_LINE} bytes: {line[:60]!r}")


def _encode_body(text: str, what: str) -> bytes:
    body = encode_text(text)
    if b"\0" in body:
        raise LocalProtocolError(f"the {what} has a NUL in it")
    return b"%d\n%b" % (len(body), body)


def _encode_limits(task: m.TaskDescription) -> list[bytes]:
    lines = []
    if task.cores is not None:
        lines.append(b"cores %.3f" % task.cores)
    for name, value in ((b"gpus", task.gpus), (b"memory", task.memory_mb), (b"disk", task.disk_mb)):
        if value is not None:
            lines.append(b"%b %d" % (name, value))
    if task.end_time is not None:
        lines.append(b"end_time %.6f" % task.end_time)
    if task.wall_time is not None:
        lines.append(b"wall_time %d" % math.ceil(round(task.wall_time * 1_000_000, 3)))
    return lines


def _encode_enforcement(task: m.TaskDescription, conversation: Conversation) -> list[bytes]:
    # Real workers drop a manager that says a line which they do not know.
    return [b"enforce 1"] if task.is_enforced and conversation.is_dialect_spoken else []


def _encode_variable(name: str, value: str | None) -> bytes:
    if not name or "=" in name:
        raise LocalProtocolError(f"`{name}` cannot be the name of an environment variable")
    return b"env " + _encode_body(name if value is None else f"{name}={value}", f"variable `{name}`")


def _encode_file(file: m.TaskFile) -> bytes:
    return b"%b %b %d" % (encode_cache_name(file.cache_name), encode_name(file.sandbox_name), file.flags)


@dataclass
class _Draft:
    """A description whose end has not come yet."""

    task_id: int
    command: str = ""
    coprocess: str = ""
    category: str = "default"
    numbers: dict[str, float] = field(default_factory=dict)
    variables: list[tuple[str, str | None]] = field(default_factory=list)
    inputs: list[m.TaskFile] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    outputs: list[m.TaskFile] = field(default_factory=list)
    size: int = 0

    def grow(self, size: int) -> None:
        """Count what is gathered.

        Raises:
            RemoteProtocolError: it is too much.
        """
        self.size += size
        if self.size > MAX_DESCRIPTION:
            raise RemoteProtocolError(
                f"the manager sent a task description of more than {MAX_DESCRIPTION} bytes"
            )

    def finish(self) -> m.TaskDescription:
        """Make the value."""
        return m.TaskDescription(
            self.task_id, self.command, self.category,
            cores=self.numbers.get("cores"),
            memory_mb=self._find_whole("memory"), disk_mb=self._find_whole("disk"), gpus=self._find_whole("gpus"),
            wall_time=self.numbers.get("wall_time"), end_time=self.numbers.get("end_time"),
            variables=tuple(self.variables), inputs=tuple(self.inputs), folders=tuple(self.folders),
            outputs=tuple(self.outputs), coprocess=self.coprocess,
            is_enforced=self.numbers.get("enforce", 0) > 0,
        )  # fmt: skip

    def _find_whole(self, name: str) -> int | None:
        number = self.numbers.get(name)
        return None if number is None else int(number)


def read_task(buffer: ReceiveBuffer, rest: bytes) -> Generator[None, None, m.TaskDescription]:
    """Read a description after its first line, of which `rest` is what follows `task`.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    draft = _Draft(parse_integer(split_fields(rest, 1)[0]))
    while True:
        line = buffer.take_line()
        if line is None:
            line = yield from buffer.read_line()
        word, _, rest = line.lstrip().partition(b" ")
        if word == b"end":
            return draft.finish()
        draft.grow(len(line) + _COST_OF_LINE)
        if word in _BODIES:
            size = parse_size(split_fields(rest, 1)[0])
            draft.grow(size)
            body = yield from buffer.read_exactly(size)
            _BODIES[word](draft, body)
            if word == b"env":
                yield from buffer.read_line()
        elif word in _LINES:
            _LINES[word](draft, word, rest)
        else:
            raise RemoteProtocolError(f"the manager sent {line[:80]!r} inside a task description")


def _set_command(draft: _Draft, body: bytes) -> None:
    draft.command = decode_text(body)


def _set_coprocess(draft: _Draft, body: bytes) -> None:
    draft.coprocess = decode_text(body)


def _add_variable(draft: _Draft, body: bytes) -> None:
    name, equals, value = decode_text(body).partition("=")
    draft.variables.append((name, value if equals else None))


def _set_category(draft: _Draft, _word: bytes, rest: bytes) -> None:
    draft.category = decode_name(split_fields(rest, 1)[0])


def _set_number(draft: _Draft, word: bytes, rest: bytes) -> None:
    draft.numbers[word.decode()] = parse_number(split_fields(rest, 1)[0])


def _set_wall_time(draft: _Draft, _word: bytes, rest: bytes) -> None:
    field = split_fields(rest, 1)[0]
    seconds = parse_number(field) / 1_000_000
    # Real managers print decimals, and real workers round up to whole seconds: there, do as they do.
    draft.numbers["wall_time"] = float(math.ceil(seconds)) if b"." in field else seconds


def _add_input(draft: _Draft, _word: bytes, rest: bytes) -> None:
    draft.inputs.append(_decode_file(rest))


def _add_folder(draft: _Draft, _word: bytes, rest: bytes) -> None:
    draft.folders.append(decode_text(split_fields(rest, 1)[0]))


def _add_output(draft: _Draft, _word: bytes, rest: bytes) -> None:
    draft.outputs.append(_decode_file(rest))


def _decode_file(rest: bytes) -> m.TaskFile:
    cache_name, sandbox_name, flags = split_fields(rest, 3)
    return m.TaskFile(
        decode_cache_name(cache_name),
        decode_name(sandbox_name),
        m.FileFlags(parse_size(flags) & _KNOWN_FLAGS),
    )


_KNOWN_FLAGS = 127
_COST_OF_LINE = 100
"""What a line costs beside its bytes: a million empty ones must not fill memory either."""

_BODIES: dict[bytes, Callable[[_Draft, bytes], None]] = {
    b"cmd": _set_command,
    b"coprocess": _set_coprocess,
    b"env": _add_variable,
}

_LINES: dict[bytes, Callable[[_Draft, bytes, bytes], None]] = {
    b"category": _set_category,
    b"cores": _set_number,
    b"gpus": _set_number,
    b"memory": _set_number,
    b"disk": _set_number,
    b"enforce": _set_number,
    b"end_time": _set_number,
    b"wall_time": _set_wall_time,
    b"infile": _add_input,
    b"dir": _add_folder,
    b"outfile": _add_output,
}

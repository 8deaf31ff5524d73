"""What a worker says, in Work Queue's own words: value ⇄ line (logic module).

Knows the lines of work-queue.md 2.3 and 2.4, nothing of order, bodies or our dialect. `ENCODERS` gives the line of a
message without its end; `DECODERS` makes a message of what follows the first word of a line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wq_package.errors import LocalProtocolError, RemoteProtocolError
from wq_package.protocol import messages as m
from wq_package.protocol.conversation import Conversation
from wq_package.protocol.fields import (
    parse_integer,
    parse_number,
    parse_size,
    split_fields,
    split_last,
)
from wq_package.protocol.names import (
    decode_inner_path,
    decode_name,
    decode_text,
    encode_name,
    encode_raw,
    encode_text,
    encode_word,
)

FORSAKEN = 40
"""The result status of a task that the worker gives back; real managers do not read a body after it."""

_USAGE = b"wqp"
_USAGE_FIELDS = 10
_NO_LIMIT = "-"

STATUS_QUERIES = ("queue_status", "task_status", "worker_status", "wable_status", "resources_status")


def _encode_workqueue(message: m.Workqueue, _conversation: Conversation) -> bytes:
    words = [
        encode_word(word) for word in (message.hostname, message.system, message.machine, message.software)
    ]
    return b"workqueue %d %b" % (message.version, b" ".join(words))


def _decode_workqueue(rest: bytes) -> m.Workqueue:
    version, hostname, system, machine, software = split_fields(rest, 5)
    words = (decode_text(word) for word in (hostname, system, machine, software))
    return m.Workqueue(parse_integer(version), *words)


def _encode_info(message: m.Info, _conversation: Conversation) -> bytes:
    return b"info %b %b" % (encode_word(message.key), encode_raw(message.value))


def _decode_info(rest: bytes) -> m.Info:
    key, _, value = rest.partition(b" ")
    if not key or not value.strip():
        # Work Queue drops a worker that sends a key alone.
        raise RemoteProtocolError(f"the worker sent no value with `info {decode_text(key[:80])}`")
    return m.Info(decode_text(key), decode_text(value))


def _encode_feature(message: m.Feature, _conversation: Conversation) -> bytes:
    return b"feature " + encode_name(message.name)


def _decode_feature(rest: bytes) -> m.Feature:
    return m.Feature(decode_name(split_fields(rest, 1)[0]))


def _encode_resource(message: m.Resource, conversation: Conversation) -> bytes:
    name = encode_word(message.name)
    if message.name == "tag":
        return b"resource tag %d" % message.total
    values = (message.total, message.smallest, message.largest)
    # Managers of protocol 11, too, drop a worker that sends a decimal point: CCTools 7.14.5 does.
    if all(value == int(value) for value in values):
        return b"resource %b %b" % (name, b" ".join(b"%d" % value for value in values))
    if conversation.version != 11:
        raise LocalProtocolError(
            f"protocol {conversation.version} knows whole numbers of {message.name} only"
        )
    return b"resource %b %b" % (name, b" ".join(b"%f" % value for value in values))


def _decode_resource(rest: bytes) -> m.Resource:
    name, total, *others = split_fields(rest, 2) + rest.split()[2:4]
    if name == b"tag":
        return m.Resource("tag", parse_number(total), 0, 0)
    if len(others) != 2:
        raise RemoteProtocolError("the worker sent a resource without its smallest and largest value")
    smallest, largest = others
    return m.Resource(decode_text(name), parse_number(total), parse_number(smallest), parse_number(largest))


def _encode_result(message: m.Result, conversation: Conversation) -> bytes:
    if message.status == FORSAKEN and message.size:
        raise LocalProtocolError("a manager does not read the output of a forsaken task: send 0 bytes")
    line = b"result %d %d %d %d %d" % (
        message.status, message.exit_code, message.size, message.usec, message.task_id,
    )  # fmt: skip
    is_told = conversation.is_dialect_spoken and (message.cpu_usec >= 0 or bool(message.limit))
    return line + _encode_usage(message) if is_told else line


def _encode_usage(message: m.Result) -> bytes:
    # Work Queue ignores what follows the fields that it knows; a word of our own tells ours from anybody else's.
    return b" %b %d %.3f %.3f %.3f %.3f %.3f %d %b %.3f %.3f" % (
        _USAGE, message.cpu_usec, message.memory_mb, message.disk_mb, message.cores, message.read_mb,
        message.written_mb, message.processes, encode_word(message.limit or _NO_LIMIT), message.allowed, message.used,
    )  # fmt: skip


def _decode_result(rest: bytes) -> m.Result:
    status, exit_code, size, usec, task_id = split_fields(rest, 5)
    result = m.Result(
        parse_integer(status),
        parse_integer(exit_code),
        parse_size(size),
        parse_integer(usec),
        parse_integer(task_id),
        *_decode_usage(rest),
    )
    if result.status == FORSAKEN and result.size:
        raise RemoteProtocolError("the worker announced output of a forsaken task")
    return result


def _decode_usage(rest: bytes) -> tuple[Any, ...]:
    """Decode what our own worker adds to a result; nothing if another one sent it."""
    fields = rest.split()[5:]
    if len(fields) != 1 + _USAGE_FIELDS or fields[0] != _USAGE:
        return ()
    _, cpu, memory, disk, cores, read, written, processes, limit, allowed, used = fields
    sizes = map(parse_number, (memory, disk, cores, read, written))
    name = decode_text(limit)
    excess = ("" if name == _NO_LIMIT else name, parse_number(allowed), parse_number(used))
    return (parse_integer(cpu), *sizes, parse_integer(processes), *excess)


def _encode_update(message: m.Update, conversation: Conversation) -> bytes:
    # Real managers read this name with `%s`.
    name = encode_raw(message.name) if conversation.is_dialect_spoken else encode_word(message.name)
    return b"update %d %b %d %d" % (message.task_id, name, message.offset, message.size)


def _decode_update(rest: bytes) -> m.Update:
    task_id, _, rest = rest.lstrip().partition(b" ")
    name, (offset, size) = split_last(rest, 2)
    return m.Update(parse_integer(task_id), decode_inner_path(name), parse_size(offset), parse_size(size))


def _encode_dir(message: m.Dir, conversation: Conversation) -> bytes:
    # Real managers read this path with `%s`, and retry the task for ever when that fails.
    name = encode_raw(message.name) if conversation.is_dialect_spoken else encode_word(message.name)
    return b"dir %b 0" % name


def _decode_dir(rest: bytes) -> m.Dir:
    name, _ = split_last(rest, 1)
    return m.Dir(decode_inner_path(name))


def _encode_file(message: m.File, _conversation: Conversation) -> bytes:
    return b"file %b %d" % (encode_raw(message.name), message.size)


def _decode_file(rest: bytes) -> m.File:
    name, (size,) = split_last(rest, 1)
    return m.File(decode_inner_path(name), parse_size(size))


def _encode_missing(message: m.Missing, _conversation: Conversation) -> bytes:
    return b"missing %b %d" % (encode_raw(message.name), message.errno)


def _decode_missing(rest: bytes) -> m.Missing:
    name, (errno,) = split_last(rest, 1)
    return m.Missing(decode_inner_path(name), parse_integer(errno))


def _encode_thirdput_complete(message: m.ThirdputComplete, _conversation: Conversation) -> bytes:
    return b"thirdput-complete %d" % message.is_done


def _decode_thirdput_complete(rest: bytes) -> m.ThirdputComplete:
    return m.ThirdputComplete(parse_integer(split_fields(rest, 1)[0]) != 0)


def _encode_cache_update(message: m.CacheUpdate, _conversation: Conversation) -> bytes:
    return b"cache-update %b %d %d" % (encode_word(message.name), message.size, message.usec)


def _decode_cache_update(rest: bytes) -> m.CacheUpdate:
    name, size, usec = split_fields(rest, 3)
    return m.CacheUpdate(decode_text(name), parse_size(size), parse_integer(usec))


def _encode_cache_invalid(message: m.CacheInvalid, _conversation: Conversation) -> bytes:
    text = encode_text(message.message)
    return b"cache-invalid %b %d\n%b" % (encode_word(message.name), len(text), text)


def _encode_status_query(message: m.StatusQuery, _conversation: Conversation) -> bytes:
    if message.is_http:
        return b"GET /%b HTTP/1.1\r\nConnection: close\r\n\r" % encode_word(message.kind or "/").lstrip(b"/")
    return encode_word(message.kind)


def parse_http_path(rest: bytes) -> str:
    """Parse what follows `GET`.

    Raises:
        RemoteProtocolError: it is no HTTP request.
    """
    path, version = split_fields(rest, 2)
    if not version.startswith(b"HTTP/") or not path.startswith(b"/"):
        raise RemoteProtocolError("the peer sent a request that is not HTTP")
    return decode_name(path[1:])


def _fixed(line: bytes) -> Callable[[Any, Conversation], bytes]:
    return lambda _message, _conversation: line


ENCODERS: dict[type, Callable[[Any, Conversation], bytes]] = {
    m.Workqueue: _encode_workqueue,
    m.Info: _encode_info,
    m.Feature: _encode_feature,
    m.Resource: _encode_resource,
    m.Alive: _fixed(b"alive"),
    m.AvailableResults: _fixed(b"available_results"),
    m.Result: _encode_result,
    m.Update: _encode_update,
    m.Dir: _encode_dir,
    m.File: _encode_file,
    m.Missing: _encode_missing,
    m.End: _fixed(b"end"),
    m.Name: _fixed(b"name"),
    m.ThirdputComplete: _encode_thirdput_complete,
    m.CacheUpdate: _encode_cache_update,
    m.CacheInvalid: _encode_cache_invalid,
    m.StatusQuery: _encode_status_query,
}

_ALIVE = m.Alive()
_AVAILABLE_RESULTS = m.AvailableResults()
_END = m.End()
_NAME = m.Name()

DECODERS: dict[bytes, Callable[[bytes], m.ToManager]] = {
    b"workqueue": _decode_workqueue,
    b"info": _decode_info,
    b"feature": _decode_feature,
    b"resource": _decode_resource,
    b"alive": lambda _rest: _ALIVE,
    b"available_results": lambda _rest: _AVAILABLE_RESULTS,
    b"result": _decode_result,
    b"update": _decode_update,
    b"dir": _decode_dir,
    b"file": _decode_file,
    b"missing": _decode_missing,
    b"end": lambda _rest: _END,
    b"name": lambda _rest: _NAME,
    b"thirdput-complete": _decode_thirdput_complete,
    b"cache-update": _decode_cache_update,
}

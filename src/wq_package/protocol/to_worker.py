"""What a manager says, in Work Queue's own words: value ⇄ line (logic module).

Knows the lines of work-queue.md 2.5 to 2.7 and 2.14, nothing of order, bodies or our dialect. Which fields are percent
encoded follows the table of 2.1: names of files that are put, and sandbox names. Cache names elsewhere are encoded by
no manager and decoded by some workers, so we send only such as mean the same either way, and read them as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wq_package.errors import LocalProtocolError, RemoteProtocolError
from wq_package.protocol import messages as m
from wq_package.protocol.conversation import Conversation
from wq_package.protocol.fields import parse_integer, parse_mode, parse_size, split_fields
from wq_package.protocol.names import (
    decode_cache_name,
    decode_name,
    decode_plain_name,
    decode_text,
    encode_base_name,
    encode_cache_name,
    encode_name,
    encode_raw,
    encode_text,
)


def _encode_stored_name(name: str, conversation: Conversation) -> bytes:
    return encode_base_name(name) if conversation.folder_depth else encode_cache_name(name)


def _encode_put(message: m.Put, conversation: Conversation) -> bytes:
    name = _encode_stored_name(message.name, conversation)
    return b"put %b %d 0%o" % (name, message.size, message.mode & 0o777)


def _decode_put(rest: bytes) -> m.Put:
    name, size, mode = split_fields(rest, 3)
    return m.Put(decode_plain_name(name), parse_size(size), parse_mode(mode))


def _encode_dir(message: m.Dir, conversation: Conversation) -> bytes:
    return b"dir " + _encode_stored_name(message.name, conversation)


def _decode_dir(rest: bytes) -> m.Dir:
    return m.Dir(decode_plain_name(split_fields(rest, 1)[0]))


def _encode_symlink(message: m.Symlink, conversation: Conversation) -> bytes:
    if not conversation.is_dialect_spoken:
        # Work Queue 9 to 11: the worker does not end the target, and makes a link to garbage.
        raise LocalProtocolError(
            f"the symbolic link `{message.name}` cannot be sent to a real Work Queue worker",
            hint="send the folder as a tarball, or follow its links",
        )
    target = encode_text(message.target)
    return b"symlink %b %d\n%b" % (encode_base_name(message.name), len(target), target)


def _encode_get(message: m.Get, _conversation: Conversation) -> bytes:
    return b"get %b %d" % (encode_cache_name(message.name), message.recursive)


def _decode_get(rest: bytes) -> m.Get:
    name, recursive = split_fields(rest, 2)
    return m.Get(decode_cache_name(name), parse_integer(recursive) != 0)


def _encode_kill(message: m.Kill, _conversation: Conversation) -> bytes:
    return b"kill %d" % message.task_id


def _decode_kill(rest: bytes) -> m.Kill:
    return m.Kill(parse_integer(split_fields(rest, 1)[0]))


def _encode_unlink(message: m.Unlink, _conversation: Conversation) -> bytes:
    return b"unlink " + encode_cache_name(message.name)


def _decode_unlink(rest: bytes) -> m.Unlink:
    return m.Unlink(decode_cache_name(split_fields(rest, 1)[0]))


def _encode_send_results(message: m.SendResults, _conversation: Conversation) -> bytes:
    return b"send_results %d" % message.count


def _decode_send_results(rest: bytes) -> m.SendResults:
    return m.SendResults(parse_integer(split_fields(rest, 1)[0]))


def _encode_project_name(message: m.ProjectName, _conversation: Conversation) -> bytes:
    return encode_raw(message.name) if message.name else b""


def _encode_url(message: m.Url, _conversation: Conversation) -> bytes:
    url = encode_text(message.url)
    return b"url %b %d 0%o %d\n%b" % (
        encode_cache_name(message.name), len(url), message.mode & 0o777, message.flags, url,
    )  # fmt: skip


def _encode_thirdget(message: m.Thirdget, _conversation: Conversation) -> bytes:
    return b"thirdget %o %b %b" % (message.mode, encode_cache_name(message.name), encode_raw(message.path))


def _decode_thirdget(rest: bytes) -> m.Thirdget:
    return m.Thirdget(*_split_transfer(rest))


def _encode_thirdput(message: m.Thirdput, _conversation: Conversation) -> bytes:
    return b"thirdput %o %b %b" % (message.mode, encode_cache_name(message.name), encode_raw(message.path))


def _decode_thirdput(rest: bytes) -> m.Thirdput:
    return m.Thirdput(*_split_transfer(rest))


def _split_transfer(rest: bytes) -> tuple[m.TransferMode, str, str]:
    fields = rest.split(None, 2)
    mode, name, path = fields if len(fields) == 3 else (b"", b"", b"")
    if mode not in (b"1", b"2", b"3"):
        raise RemoteProtocolError(f"the manager asked for a transfer that is not known: {rest[:80]!r}")
    return m.TransferMode(int(mode)), decode_cache_name(name), decode_text(path)


def _encode_puturl(message: m.Puturl, _conversation: Conversation) -> bytes:
    return b"puturl " + _encode_source(message)


def _decode_puturl(rest: bytes) -> m.Puturl:
    return m.Puturl(*_split_source(rest))


def _encode_putcmd(message: m.Putcmd, _conversation: Conversation) -> bytes:
    return b"putcmd " + _encode_source(message)


def _decode_putcmd(rest: bytes) -> m.Putcmd:
    return m.Putcmd(*_split_source(rest))


def _encode_source(message: m.Puturl | m.Putcmd) -> bytes:
    source, name = encode_name(message.source), encode_cache_name(message.name)
    return b"%b %b %d 0%o" % (source, name, message.size, message.mode & 0o777)


def _split_source(rest: bytes) -> tuple[str, str, int, int]:
    source, name, size, mode = split_fields(rest, 4)
    return decode_name(source), decode_plain_name(name), parse_size(size), parse_mode(mode)


def encode_status_answer(message: m.StatusAnswer) -> bytes:
    """Encode the answer to a status query, which is no line and ends with the connection."""
    body = encode_text(message.body)
    if not message.is_http:
        return body
    kind = encode_raw(message.content_type)
    # Real managers end these lines with LF alone and name no length; every reader of theirs copes.
    return (
        b"HTTP/1.1 200 OK\nConnection: close\nAccess-Control-Allow-Origin: *\nContent-type: %b\nContent-Length: %d\n\n%b"
        % (kind, len(body), body)
    )


def _fixed(line: bytes) -> Callable[[Any, Conversation], bytes]:
    return lambda _message, _conversation: line


ENCODERS: dict[type, Callable[[Any, Conversation], bytes]] = {
    m.Put: _encode_put,
    m.Dir: _encode_dir,
    m.Symlink: _encode_symlink,
    m.End: _fixed(b"end"),
    m.Kill: _encode_kill,
    m.Unlink: _encode_unlink,
    m.Get: _encode_get,
    m.SendResults: _encode_send_results,
    m.Check: _fixed(b"check"),
    m.Release: _fixed(b"release"),
    m.Exit: _fixed(b"exit"),
    m.ProjectName: _encode_project_name,
    m.Url: _encode_url,
    m.Thirdget: _encode_thirdget,
    m.Thirdput: _encode_thirdput,
    m.Puturl: _encode_puturl,
    m.Putcmd: _encode_putcmd,
}

_END = m.End()
_CHECK = m.Check()
_RELEASE = m.Release()
_EXIT = m.Exit()

DECODERS: dict[bytes, Callable[[bytes], m.ToWorker]] = {
    b"put": _decode_put,
    b"dir": _decode_dir,
    b"end": lambda _rest: _END,
    b"kill": _decode_kill,
    b"unlink": _decode_unlink,
    b"get": _decode_get,
    b"send_results": _decode_send_results,
    b"check": lambda _rest: _CHECK,
    b"release": lambda _rest: _RELEASE,
    b"exit": lambda _rest: _EXIT,
    b"thirdget": _decode_thirdget,
    b"thirdput": _decode_thirdput,
    b"puturl": _decode_puturl,
    b"putcmd": _decode_putcmd,
}

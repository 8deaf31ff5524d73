"""Asks a manager for its status, as Work Queue's tools do (shell module). Knows nothing of what the answer holds."""

from __future__ import annotations

import asyncio

from wq_package.errors import AuthenticationError, ManagerUnreachableError, RemoteProtocolError
from wq_package.link.link import Link
from wq_package.link.opening import connect
from wq_package.link.tls import TlsOptions
from wq_package.protocol import messages as m
from wq_package.protocol.password import OPENING
from wq_package.protocol.status_text import parse_status

_TLS_ALERT = "\x15\x03"
MAX_ANSWER = 256 * 2**20


async def ask_status(
    host: str,
    port: int,
    kind: str,
    *,
    password: bytes | None = None,
    tls: TlsOptions | None = None,
    timeout: float = 15.0,  # noqa: ASYNC109  # it becomes a clear error
) -> list[object]:
    """Ask a manager, ours or a real one, and give its answer: JSON objects.

    Args:
        host: where it listens.
        port: on which port.
        kind: `queue_status`, `task_status`, `worker_status`, `wable_status` or `resources_status`.
        password: the raw bytes of its password file, if it has one.
        tls: how to check its certificate, if it speaks TLS.
        timeout: seconds for all of it.

    Raises:
        ManagerUnreachableError: nobody answers there, or not in time.
        AuthenticationError: it has another password, or one where none was given.
        RemoteProtocolError: its answer is too long, or no JSON.
    """
    try:
        async with (
            asyncio.timeout(timeout),
            await connect(host, port, password=password, tls=tls, timeout=timeout) as link,
        ):
            link.send(m.StatusQuery(kind))
            text = await _read_answer(link)
    except TimeoutError as error:
        raise ManagerUnreachableError(
            f"the manager at {host}:{port} did not answer within {timeout:g} s",
            hint="check that a manager listens there, and that it needs no TLS or password",
        ) from error
    if password is None and text.startswith(OPENING.decode()):
        raise AuthenticationError(
            f"the manager at {host}:{port} asks for a password, and none was given",
            hint="give the file that the manager uses: `-P FILE`",
        )
    return _parse_answer(text)


def _parse_answer(text: str) -> list[object]:
    try:
        answer = parse_status(text)
    except ValueError as error:
        if text.startswith(_TLS_ALERT) or not text:
            raise RemoteProtocolError(
                "the manager closed the connection without an answer",
                hint="it may speak TLS: give its certificate's fingerprint (`--tls-fingerprint`)",
            ) from error
        raise RemoteProtocolError(
            "the manager's answer is no JSON", hint="check that host and port are those of a manager"
        ) from error
    if not isinstance(answer, list):
        raise RemoteProtocolError("the manager's answer is no list")
    return answer


async def _read_answer(link: Link) -> str:
    pieces: list[bytes] = []
    size = 0
    while True:
        for event in await link.receive():
            if isinstance(event, m.Data):
                pieces.append(event.body)
                size += len(event.body)
            elif isinstance(event, m.ConnectionClosed):
                return b"".join(pieces).decode("utf-8", "replace")
        if size > MAX_ANSWER:
            raise RemoteProtocolError(f"the manager's answer is longer than {MAX_ANSWER} bytes")

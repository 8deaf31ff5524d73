"""Opens connections to managers (shell module). Translates what the system says into this package's errors."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl

from wq_package.errors import AuthenticationError, ManagerUnreachableError, RemoteProtocolError
from wq_package.link.flushes import Flushes
from wq_package.link.link import Link
from wq_package.link.nonces import make_nonce
from wq_package.link.tls import TlsOptions, check_fingerprint, make_tls_error
from wq_package.link.wire import READ_SIZE, Wire
from wq_package.protocol.connection import Connection, Role


async def connect(
    host: str,
    port: int,
    *,
    role: Role = Role.WORKER,
    password: bytes | None = None,
    tls: TlsOptions | None = None,
    timeout: float = 15.0,  # noqa: ASYNC109  # it also bounds the dialogue, and becomes a clear error
) -> Link:
    """Open a connection to a manager, and prove the password if there is one.

    Raises:
        ManagerUnreachableError: nobody answers there.
        AuthenticationError: the passwords differ, or the certificate is another one.
    """
    try:
        async with asyncio.timeout(timeout):
            wire = await _open(host, port, role, password, tls)
            link = Link(wire)
            try:
                if wire.error is not None:
                    raise wire.error
                await link.wait_ready()
            except BaseException:
                link.abort()
                raise
    except TimeoutError as error:
        raise ManagerUnreachableError(
            f"no manager answered at {host}:{port} within {timeout:g} s", hint="check host, port and firewall"
        ) from error
    except RemoteProtocolError as error:
        raise ManagerUnreachableError(
            f"the manager at {host}:{port} broke off the password dialogue: {error}",
            hint="it may be stopping, or too many may connect at once: try again",
        ) from error
    except ssl.SSLError as error:
        raise make_tls_error(host, port, error) from error
    except OSError as error:
        raise ManagerUnreachableError(
            f"no manager answers at {host}:{port}: {_describe(error)}",
            hint="check host and port, and that the manager runs and listens on this network",
        ) from error
    return link


def _describe(error: OSError) -> str:
    """Say what the system said; asyncio puts the address in the place of its words."""
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)


async def _open(host: str, port: int, role: Role, password: bytes | None, tls: TlsOptions | None) -> Wire:
    connection = Connection(role, password=password, nonce=make_nonce())
    buffer = memoryview(bytearray(READ_SIZE))
    loop = asyncio.get_running_loop()
    if tls is None:
        _, wire = await loop.create_connection(lambda: Wire(connection, buffer, Flushes()), host, port)
        return wire
    name = tls.server_name or host
    _, wire = await loop.create_connection(
        lambda: _PinnedWire(connection, buffer, tls), host, port, ssl=tls.make_context(), server_hostname=name
    )
    return wire


class _PinnedWire(Wire):
    """A wire that says nothing, and hears nothing, before the certificate is the pinned one.

    The peer may send its nonce together with the end of the handshake; the proof that answers it is worth something to
    whoever stands in between.
    """

    def __init__(self, connection: Connection, read_buffer: memoryview, tls: TlsOptions) -> None:
        super().__init__(connection, read_buffer, Flushes())
        self._tls = tls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Check who is there, before the password dialogue begins."""
        assert isinstance(transport, asyncio.Transport)
        try:
            check_fingerprint(transport.get_extra_info("ssl_object"), self._tls)
        except AuthenticationError as error:
            self.adopt(transport)
            self.error = error
            transport.abort()
        else:
            super().connection_made(transport)

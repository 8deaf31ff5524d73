"""The link over TLS, with a certificate that `openssl` makes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from connection_pair import greeting, join_bodies
from wq_package.errors import AuthenticationError, ManagerUnreachableError, RemoteProtocolError
from wq_package.link import Link, ServeOptions, TlsOptions, ask_status, connect, serve
from wq_package.protocol import messages as m

pytestmark = pytest.mark.openssl

LOOPBACK = "127.0.0.1"
PATIENCE = 180.0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem"), "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def make_server_context(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


def find_fingerprint(folder: Path) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert((folder / "certificate.pem").read_text())).hexdigest()


async def converse(folder: Path, tls: TlsOptions | None, password: bytes | None) -> list[m.Event]:
    async def handle(link: Link) -> None:
        await link.receive()
        link.send(m.Put("a", 10_000_000, 0o644))
        with (folder / "body").open("rb") as file:
            await link.send_file(file, 0, 10_000_000)
        link.send(m.Exit())
        while not isinstance((await link.receive())[-1], m.ConnectionClosed):
            pass

    (folder / "body").write_bytes(bytes(10_000_000))
    events: list[m.Event] = []
    context = make_server_context(folder)
    server = await serve(handle, LOOPBACK, 0, password=password, tls=context)
    async with server, await connect(LOOPBACK, server.port, password=password, tls=tls) as worker:
        worker.send(greeting())
        while not events or not isinstance(events[-1], m.Exit):
            events += await worker.receive()
    return join_bodies(events)


def run(folder: Path, tls: TlsOptions | None, password: bytes | None = None) -> list[m.Event]:
    return asyncio.run(asyncio.wait_for(converse(folder, tls, password), PATIENCE))


EXPECTED = [m.Put("a", 10_000_000, 0o644), m.Data(bytes(10_000_000)), m.EndOfBody(), m.Exit()]


def test_tls__verified_certificate__carries_messages_and_files(certificate: Path) -> None:
    context = ssl.create_default_context(cafile=certificate / "certificate.pem")
    tls = TlsOptions(context=context, server_name="localhost")
    assert run(certificate, tls, b"sesame\n") == EXPECTED


@pytest.mark.parametrize("is_upper", [False, True], ids=["plain", "as openssl prints it"])
def test_tls__pinned_fingerprint__needs_no_authority(certificate: Path, is_upper: bool) -> None:
    pin = find_fingerprint(certificate)
    if is_upper:
        pin = ":".join(pin[i : i + 2] for i in range(0, 64, 2)).upper()
    assert run(certificate, TlsOptions(fingerprint=pin)) == EXPECTED


def test_tls__another_fingerprint__is_refused_before_anything_is_said(certificate: Path) -> None:
    with pytest.raises(AuthenticationError, match="fingerprint") as raised:
        run(certificate, TlsOptions(fingerprint="00" * 32), b"sesame\n")
    assert raised.value.hint is not None


def test_tls__unknown_certificate__is_refused(certificate: Path) -> None:
    with pytest.raises(AuthenticationError, match="is not trusted: self-signed certificate"):
        run(certificate, TlsOptions(server_name="localhost"))


def test_tls__name_differs__is_refused(certificate: Path) -> None:
    context = ssl.create_default_context(cafile=certificate / "certificate.pem")
    with pytest.raises(AuthenticationError, match="is not trusted: Hostname mismatch"):
        run(certificate, TlsOptions(context=context, server_name="elsewhere"))


def test_tls__manager_without_it__is_a_clear_error(certificate: Path) -> None:
    async def test() -> None:
        async def ignore(link: Link) -> None:
            await link.receive()

        async with await serve(ignore, LOOPBACK, 0) as server:
            await connect(LOOPBACK, server.port, tls=TlsOptions(fingerprint="00" * 32), timeout=PATIENCE)

    with pytest.raises((AuthenticationError, ManagerUnreachableError)) as raised:
        asyncio.run(asyncio.wait_for(test(), PATIENCE))
    assert raised.value.hint is not None


def test_tls__worker_without_it__is_dropped(certificate: Path) -> None:
    async def test() -> None:
        async def ignore(link: Link) -> None:
            raise AssertionError(link)

        options = ServeOptions(password_timeout=2.0)
        context = make_server_context(certificate)
        server = await serve(ignore, LOOPBACK, 0, tls=context, options=options)
        async with server, await connect(LOOPBACK, server.port) as worker:
            worker.send(greeting())
            assert await worker.receive() == [m.ConnectionClosed()]

    asyncio.run(asyncio.wait_for(test(), PATIENCE))


def test_tls__status_tool_without_it__learns_that_it_may_be_needed(certificate: Path) -> None:
    async def test() -> None:
        async def ignore(link: Link) -> None:
            raise AssertionError(link)

        async with await serve(ignore, LOOPBACK, 0, tls=make_server_context(certificate)) as server:
            await ask_status(LOOPBACK, server.port, "queue_status", timeout=PATIENCE)

    with pytest.raises(RemoteProtocolError) as raised:
        asyncio.run(asyncio.wait_for(test(), PATIENCE))
    assert raised.value.hint is not None
    assert "--tls-fingerprint" in raised.value.hint


def test_tls__peer_without_password__is_dropped_without_a_stumble(
    certificate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async def ignore(link: Link) -> None:
            raise AssertionError(link)

        tls = TlsOptions(fingerprint=find_fingerprint(certificate))
        context = make_server_context(certificate)
        async with await serve(ignore, LOOPBACK, 0, password=b"sesame\n", tls=context) as server:
            await ask_status(LOOPBACK, server.port, "queue_status", tls=tls, timeout=PATIENCE)

    with pytest.raises(AuthenticationError, match="asks for a password"):
        asyncio.run(asyncio.wait_for(test(), PATIENCE))
    assert [record.levelname for record in caplog.records if record.exc_info] == []


def test_tls__crowd_that_says_nothing__lets_workers_through(certificate: Path) -> None:
    async def test() -> None:
        async def greet(link: Link) -> None:
            await link.receive()
            link.send(m.Check())
            await link.drain()
            await link.receive()

        context = make_server_context(certificate)
        options = ServeOptions(max_silent=5)
        pin = TlsOptions(fingerprint=find_fingerprint(certificate))
        async with await serve(greet, LOOPBACK, 0, tls=context, options=options) as server:
            crowd = [socket.create_connection((LOOPBACK, server.port)) for _ in range(40)]
            async with await connect(LOOPBACK, server.port, tls=pin) as worker:
                worker.send(greeting())
                assert await worker.receive() == [m.Check()]
            for sock in crowd:
                sock.close()

    asyncio.run(asyncio.wait_for(test(), PATIENCE))


def lie_in_wait(listener: socket.socket, context: ssl.SSLContext) -> bytes:
    """Be a manager for one worker, until it goes; return what it said."""
    heard = bytearray()
    connection, _ = listener.accept()
    with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as link:
        link.sendall(b"auth password sha1\na-nonce-from-somebody-else\n")
        while words := link.recv(1000):
            heard += words
    return bytes(heard)


def test_tls__another_fingerprint__not_even_a_proof_leaves_this_machine(certificate: Path) -> None:
    async def run() -> bytes:
        with socket.create_server((LOOPBACK, 0)) as listener:
            lying = asyncio.create_task(
                asyncio.to_thread(lie_in_wait, listener, make_server_context(certificate))
            )
            port = listener.getsockname()[1]
            with pytest.raises(AuthenticationError, match="fingerprint"):
                await connect(LOOPBACK, port, password=b"secret", tls=TlsOptions(fingerprint="ab" * 32))
            return await lying

    assert asyncio.run(asyncio.wait_for(run(), PATIENCE)) == b""

"""Bytes on asyncio's sockets ⇄ the protocol (shell room).

Knows sockets, TLS and back-pressure. Decides nothing about tasks or order, which is `protocol.connection`'s and the
caller's business. A `Link` is one connection; `connect` opens one, `serve` accepts many. The wire trace is on this
room's logger at DEBUG, with the signs `<` received, `>` sent, `x` closed, `%` timer, `!` error.
"""

from __future__ import annotations

from wq_package.link.asking import ask_status
from wq_package.link.certificates import Certificate, make_certificate
from wq_package.link.flushes import Flushes
from wq_package.link.link import Link
from wq_package.link.opening import connect
from wq_package.link.serving import ServeOptions, Server, serve
from wq_package.link.tls import TlsOptions

__all__ = [
    "Certificate",
    "Flushes",
    "Link",
    "ServeOptions",
    "Server",
    "TlsOptions",
    "ask_status",
    "connect",
    "make_certificate",
    "serve",
]

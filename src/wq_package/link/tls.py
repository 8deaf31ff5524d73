"""How the connecting side checks who answers (shell module). Knows certificates, nothing of messages."""

from __future__ import annotations

import hashlib
import hmac
import ssl
from dataclasses import dataclass

from wq_package.errors import AuthenticationError


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How the connecting side checks who answers.

    Attributes:
        context: what to verify with; `None` for the default one, or for a pin.
        fingerprint: hex sha256 of the only certificate to accept, whoever signed it.
        server_name: the name that the certificate must carry; the host if empty.
    """

    context: ssl.SSLContext | None = None
    fingerprint: str = ""
    server_name: str = ""

    def make_context(self) -> ssl.SSLContext:
        """Make the context to connect with."""
        if self.context is not None:
            return self.context
        context = ssl.create_default_context()
        if self.fingerprint:
            # The pin is a stricter check than a chain of signatures, and a self-signed certificate has none.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def check_fingerprint(connection: ssl.SSLObject, tls: TlsOptions) -> None:
    """Refuse a certificate other than the pinned one, if one is pinned.

    Raises:
        AuthenticationError: it is another one.
    """
    if not tls.fingerprint:
        return
    found = hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()
    if not hmac.compare_digest(found, tls.fingerprint.replace(":", "").lower()):
        raise AuthenticationError(
            f"the manager's certificate has the fingerprint {found}, not the one that was given",
            hint="ask the manager's owner for its fingerprint; somebody may be listening in between",
        )


def make_tls_error(host: str, port: int, error: ssl.SSLError) -> AuthenticationError:
    """Say what went wrong in a handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return AuthenticationError(
            f"the certificate of {host}:{port} is not trusted: {error.verify_message}",
            hint="give the manager's certificate authority, or the fingerprint of its certificate",
        )
    return AuthenticationError(
        f"no TLS with {host}:{port}: {(error.reason or str(error)).lower().replace('_', ' ')}",
        hint="check that the manager uses TLS",
    )

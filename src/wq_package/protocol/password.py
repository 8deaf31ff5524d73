"""The password dialogue: both sides prove that they know it, neither says it (logic module).

Knows work-queue.md 2.2 step 3, nothing of what comes after. With a real peer the proof is sha1 of password and nonce;
between two of ours, whose nonces begin with a marker, it is an HMAC over both nonces and the sender's role. The side
that listens checks the peer's proof before it sends its own: otherwise a peer without the password could have us make
the proof it needs.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
from collections.abc import Generator

from wq_package.errors import AuthenticationError, LocalProtocolError
from wq_package.protocol.buffer import ReceiveBuffer
from wq_package.protocol.to_manager import STATUS_QUERIES

NONCE_MARKER = b"wqp1."
"""How the nonces of this package begin."""

OPENING = b"auth password sha1"
_NONCE = re.compile(rb"[\x20-\x7e]{1,1023}")


class Role(enum.Enum):
    """Which side of the connection we are."""

    MANAGER = "manager"
    """Listens."""
    WORKER = "worker"
    """Connects. Status tools take this role too."""


class PasswordDialogue:
    """One side of the dialogue: lines in, lines out."""

    def __init__(self, role: Role, password: bytes, nonce: bytes) -> None:
        if not _NONCE.fullmatch(nonce):
            raise LocalProtocolError("a nonce must be a line of printable characters")
        self._role = role
        self._password = password
        self._nonce = nonce
        self._peer = "worker" if role is Role.MANAGER else "manager"
        self.opening = b"%b\n%b\n" % (OPENING, nonce)
        self.to_send = self.opening
        self.is_answered = False
        """Whether the peer has begun the dialogue too."""

    def run(self, buffer: ReceiveBuffer) -> Generator[None, None, None]:
        """Read the peer's lines until both sides agree; what is to be sent collects in `to_send`.

        Raises:
            AuthenticationError: the peer has another password, or none.
        """
        line = yield from buffer.read_line()
        if line.split() != OPENING.split():
            raise self._make_missing_error(line)
        self.is_answered = True
        peer_nonce = yield from buffer.read_line()
        if hmac.compare_digest(peer_nonce, self._nonce) or not _NONCE.fullmatch(peer_nonce):
            raise AuthenticationError(f"the {self._peer} sent a nonce that cannot be its own")
        if self._role is Role.WORKER:
            self.to_send += self._prove(self._role, peer_nonce, self._nonce) + b"\n"
        proof = yield from buffer.read_line()
        if not hmac.compare_digest(proof, self._expect(peer_nonce)):
            self.to_send += b"failure\n"
            raise self._make_differs_error()
        if self._role is Role.MANAGER:
            self.to_send += self._prove(self._role, peer_nonce, self._nonce) + b"\n"
        self.to_send += b"ok\n"
        if (yield from buffer.read_line()) != b"ok":
            raise self._make_differs_error()

    def _prove(self, role: Role, peer_nonce: bytes, own_nonce: bytes) -> bytes:
        if peer_nonce.startswith(NONCE_MARKER) and own_nonce.startswith(NONCE_MARKER):
            text = b"%b %b %b" % (role.value.encode(), peer_nonce, own_nonce)
            return hmac.new(self._password, text, hashlib.sha256).hexdigest().encode()
        # Work Queue 9 to 11 know nothing else; sha1 is not our choice.
        return hashlib.sha1(self._password + b" " + peer_nonce, usedforsecurity=False).hexdigest().encode()

    def _expect(self, peer_nonce: bytes) -> bytes:
        other = Role.WORKER if self._role is Role.MANAGER else Role.MANAGER
        return self._prove(other, self._nonce, peer_nonce)

    def _make_missing_error(self, line: bytes) -> AuthenticationError:
        peer = self._peer
        if self._role is Role.MANAGER and not line.startswith(b"workqueue"):
            is_query = line.decode("latin-1") in STATUS_QUERIES or line.startswith(b"GET ")
            peer = "tool that asks for the status" if is_query else "peer"
        return AuthenticationError(
            f"the {peer} does not use a password, and this {self._role.value} has one",
            hint="give both sides the same password file (`-P FILE` for `work_queue_worker`), or neither",
        )

    def _make_differs_error(self) -> AuthenticationError:
        return AuthenticationError(
            f"the password of the {self._peer} differs from ours",
            hint="give both sides a copy of the same password file; every byte counts, the last line end too",
        )

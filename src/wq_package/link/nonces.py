"""Makes nonces (shell module: it asks the system for randomness)."""

from __future__ import annotations

import secrets
import string

from wq_package.protocol.password import NONCE_MARKER

_LENGTH = 63
_LETTERS = string.ascii_letters + string.digits


def make_nonce() -> bytes:
    """Make a nonce that says that it is ours."""
    length = _LENGTH - len(NONCE_MARKER)
    return NONCE_MARKER + "".join(secrets.choice(_LETTERS) for _ in range(length)).encode()

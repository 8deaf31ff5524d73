"""Passwords of managers: made, and kept for workers (shell module). Knows files, nothing of the dialogue."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from wq_package.errors import QueueError


def make_password() -> bytes:
    """Make a password that nobody guesses."""
    return secrets.token_urlsafe(32).encode()


def save_password(password: bytes | None, path: Path) -> None:
    """Write a password file that only its owner can read, at once or not at all.

    Raises:
        QueueError: there is none, or it cannot be written.
    """
    if password is None:
        raise QueueError("the manager has no password to save", hint="leave `password` out to have one made")
    temporary = None
    try:
        # Such files have mode 0600 from the start.
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(password)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        raise QueueError(
            f"the password file `{path}` cannot be written: {error.strerror}",
            hint="name a file in a folder of yours",
        ) from error

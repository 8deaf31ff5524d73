"""How a program is started: its variables, files and processors (shell module; standard library only).

Knows a message that asks for it; see the package. Knows nothing of what becomes of the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

RESET_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
"""Python ignores the first two; a program expects to die of them."""


def make_environ(message: dict[str, Any], own: dict[str, str]) -> dict[str, str]:
    """Make the variables of a program from ours and its message."""
    given = message.get("environ")
    environ = dict(own if given is None else given)
    for name in message["unset"]:
        environ.pop(name, None)
    environ.update(message["set"])
    return environ


def make_file_actions(output: str | None, descriptors: list[int]) -> list[tuple[Any, ...]]:
    """Say how to open standard input and output, and where the descriptors that came with the message go."""
    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions.append((os.POSIX_SPAWN_OPEN, 1, output or "/dev/null", flags, 0o600))
    actions.append((os.POSIX_SPAWN_DUP2, 1, 2))
    actions.extend((os.POSIX_SPAWN_DUP2, source, 3 + index) for index, source in enumerate(descriptors))
    return actions


@contextlib.contextmanager
def on_processors(numbers: list[int] | None) -> Iterator[None]:
    """Be on some processors only, so that what is started now is so from its first instruction on."""
    if not numbers:
        yield
        return
    before = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):  # taken from us since the worker looked
        os.sched_setaffinity(0, numbers)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)

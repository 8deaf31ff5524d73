"""What both sides say, and what a connection makes of bodies and ends (value module).

Knows nothing of bytes, roles or order.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of the body of the header before it."""

    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EndOfBody:
    """The body of the header before it is complete."""


@dataclass(frozen=True, slots=True)
class End:
    """Closes a folder, or the answer to `Get` or `SendResults`."""


@dataclass(frozen=True, slots=True)
class Dir:
    """A folder.

    From a worker: inside the answer to `Get`, `name` is the full path. From a manager: opens a folder that is being
    put, `name` is a cache name or, nested, a base name.
    """

    name: str


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The peer closed the connection at a border between messages."""

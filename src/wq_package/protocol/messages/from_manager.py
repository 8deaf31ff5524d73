"""What Work Queue's managers say to a worker or a status tool (value module).

The messages of protocol 9, with the additions of 10 and 11 marked. Knows nothing of bytes, roles or order, nor of our
dialect.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Put:
    """A file for the cache, or inside a folder that is being put; `size` bytes follow."""

    name: str
    size: int
    mode: int


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link inside a folder that is being put. Real workers garble the target: never send them one."""

    name: str
    target: str


class FileFlags(enum.IntFlag):
    """Flags of a task's input and output files."""

    NONE = 0
    CACHE = 1
    SYMLINK = 2
    PREEXIST = 4
    THIRDGET = 8
    WATCH = 16
    FAILURE_ONLY = 32
    SUCCESS_ONLY = 64


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A task's file: its name in the cache and its place in the sandbox."""

    cache_name: str
    sandbox_name: str
    flags: FileFlags = FileFlags.NONE


@dataclass(frozen=True, slots=True)
class TaskDescription:
    """`task ID … end`: everything about one command task. `wall_time` is in seconds here, whatever the wire says."""

    task_id: int
    command: str
    category: str = "default"
    cores: float | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    gpus: int | None = None
    wall_time: float | None = None
    end_time: float | None = None
    variables: tuple[tuple[str, str | None], ...] = ()
    inputs: tuple[TaskFile, ...] = ()
    folders: tuple[str, ...] = ()
    outputs: tuple[TaskFile, ...] = ()
    coprocess: str = ""
    """Protocol 10 and 11: the coprocess that runs the task; we never send one."""
    is_enforced: bool = False
    """Our dialect: the task is ended when it uses more than it says here."""


@dataclass(frozen=True, slots=True)
class Kill:
    """End a task if it runs, and forget it; -1 means all."""

    task_id: int


@dataclass(frozen=True, slots=True)
class Unlink:
    """Remove a cache entry."""

    name: str


@dataclass(frozen=True, slots=True)
class Get:
    """Send a cache entry back."""

    name: str
    recursive: bool = True


@dataclass(frozen=True, slots=True)
class SendResults:
    """Send the results of ended tasks."""

    count: int = -1


@dataclass(frozen=True, slots=True)
class Check:
    """Are you there? Answered by `Alive`."""


@dataclass(frozen=True, slots=True)
class Release:
    """Disconnect; another manager may be looked for."""


@dataclass(frozen=True, slots=True)
class Exit:
    """Disconnect and end."""


@dataclass(frozen=True, slots=True)
class ProjectName:
    """The answer to `Name`."""

    name: str


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """The answer to `StatusQuery`: JSON text (by HTTP also a page); the manager closes after it."""

    body: str = field(repr=False)
    is_http: bool = False
    content_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Url:
    """Protocols 9 and 10: fetch a URL into the cache, now."""

    name: str
    url: str
    mode: int
    flags: FileFlags = FileFlags.NONE


class TransferMode(enum.IntEnum):
    """How `Thirdget` and `Thirdput` move a file."""

    COMMAND = 1
    COPY = 2
    SYMLINK = 3


@dataclass(frozen=True, slots=True)
class Thirdget:
    """Protocols 9 and 10: make a cache entry from a shell command or a path of the worker's machine.

    In a command `%%` stands for the path of the cache entry.
    """

    mode: TransferMode
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Thirdput:
    """Protocols 9 and 10: feed a cache entry to a shell command, or copy it to a path. See `ThirdputComplete`."""

    mode: TransferMode
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Puturl:
    """Protocol 11: fetch a URL into the cache when a task first needs it."""

    source: str
    name: str
    size: int
    mode: int


@dataclass(frozen=True, slots=True)
class Putcmd:
    """Protocol 11: make a cache entry by a command when a task first needs it."""

    source: str
    name: str
    size: int
    mode: int

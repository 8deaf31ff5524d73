"""What Work Queue's workers and status tools say to a manager (value module).

The messages of protocol 9, with the additions of 11 marked. Knows nothing of bytes, roles or order, nor of our dialect.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workqueue:
    """The greeting: protocol number and what the worker is. `system` "foreman" marks a foreman."""

    version: int
    hostname: str
    system: str
    machine: str
    software: str


@dataclass(frozen=True, slots=True)
class Info:
    """A fact about the worker: `worker-id`, `worker-end-time`, `tasks_running`, and so on."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature that the worker offers to tasks."""

    name: str


@dataclass(frozen=True, slots=True)
class Resource:
    """One line of the worker's resources; integers in protocol 9, floats from 11 on. `tag` has a total only."""

    name: str
    total: float
    smallest: float
    largest: float


@dataclass(frozen=True, slots=True)
class Alive:
    """The answer to `Check`, and part of the greeting."""


@dataclass(frozen=True, slots=True)
class AvailableResults:
    """At least one task has ended or one watched file has grown."""


@dataclass(frozen=True, slots=True)
class Result:
    """One ended task; `size` bytes of its merged standard output and error follow. `usec` is its run time in µs.

    What follows `task_id` travels in our dialect only; see `CallResult`.
    """

    status: int
    exit_code: int
    size: int
    usec: int
    task_id: int
    cpu_usec: int = -1
    memory_mb: float = -1.0
    disk_mb: float = -1.0
    cores: float = -1.0
    read_mb: float = -1.0
    written_mb: float = -1.0
    processes: int = -1
    limit: str = ""
    allowed: float = 0.0
    used: float = 0.0


@dataclass(frozen=True, slots=True)
class Update:
    """A watched file has grown; `size` bytes for `offset` follow."""

    task_id: int
    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class File:
    """A file inside the answer to `Get`; `size` bytes follow."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Missing:
    """What `Get` asked for cannot be read."""

    name: str
    errno: int


@dataclass(frozen=True, slots=True)
class Name:
    """Asks for the manager's project name."""


@dataclass(frozen=True, slots=True)
class CacheUpdate:
    """Protocol 11: a queued transfer is in the worker's cache."""

    name: str
    size: int
    usec: int


@dataclass(frozen=True, slots=True)
class CacheInvalid:
    """Protocol 11: a queued transfer failed; `message` says why."""

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class ThirdputComplete:
    """The answer to `Thirdput`. Real managers take a success for a failure: never send them one."""

    is_done: bool


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """One of the five one-line status requests of the tools (`queue_status`, …), or `GET` of any path by HTTP.

    `kind` has no leading slash; it is empty for `GET /`.
    """

    kind: str
    is_http: bool = False

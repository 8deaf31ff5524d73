"""What a worker can be told to do, and what it has to do it with (value module).

Knows what `wq_package.worker.state` decides; knows nothing of how it is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wq_package.protocol import messages as wire


@dataclass(frozen=True, slots=True)
class Box:
    """What a worker has, or what a task holds of it."""

    cores: float = 0
    memory_mb: float = 0
    disk_mb: float = 0
    gpus: float = 0


@dataclass(frozen=True, slots=True)
class StagedFile:
    """An input of a task: the cache entry's key, its place in the sandbox, and whether nobody else will read it."""

    key: int
    sandbox_name: str
    is_private: bool


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message that has no body."""

    message: wire.Message


@dataclass(frozen=True, slots=True)
class StartRun:
    """Make a sandbox and run a command task in it; answer with `RunEnded`."""

    serial: int
    task: wire.TaskDescription
    inputs: tuple[StagedFile, ...]
    box: Box


@dataclass(frozen=True, slots=True)
class StartCall:
    """Run a call; answer with `CallEnded`. `is_ahead` says that it may wait behind one that runs."""

    serial: int
    call: wire.CallTask
    arguments: bytes = field(repr=False)
    path: str
    inputs: tuple[StagedFile, ...]
    is_ahead: bool


@dataclass(frozen=True, slots=True)
class KillRun:
    """Kill a command task's processes; `RunEnded` follows."""

    serial: int


@dataclass(frozen=True, slots=True)
class KillCall:
    """End a call; `CallEnded` follows."""

    serial: int


@dataclass(frozen=True, slots=True)
class ReturnCall:
    """Take a call back from its interpreter if that has not begun it; then `CallReturned` follows."""

    serial: int


@dataclass(frozen=True, slots=True)
class DropCall:
    """Forget the arguments of a call that will not run."""

    path: str


@dataclass(frozen=True, slots=True)
class RemoveEntry:
    """Remove a cache entry's files."""

    key: int


@dataclass(frozen=True, slots=True)
class SendEntry:
    """Answer `Get`; `key` is `None` if there is no such entry."""

    name: str
    key: int | None
    is_recursive: bool


@dataclass(frozen=True, slots=True)
class EndedTask:
    """An ended command task as `SendResults` tells it."""

    result: wire.Result
    output: str


@dataclass(frozen=True, slots=True)
class WatchedPiece:
    """What a watched output has grown by."""

    task_id: int
    serial: int
    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class SendResults:
    """Answer `SendResults`: each result with its output and `running`, then watched outputs, then the end."""

    ended: tuple[EndedTask, ...]
    running: int
    watched: tuple[WatchedPiece, ...] = ()


@dataclass(frozen=True, slots=True)
class PushResult:
    """Send the result of a command task, and its output, to a manager of ours, which does not ask for it."""

    ended: EndedTask


@dataclass(frozen=True, slots=True)
class SendCallResult:
    """Push the result of a call; the body is `body` or stands in the file `path`."""

    result: wire.CallResult
    body: bytes = field(repr=False)
    path: str


@dataclass(frozen=True, slots=True)
class ExamineEnvironment:
    """Ask the store which layers it lacks; answer with `EnvironmentExamined`."""

    offer: wire.EnvironmentOffer


@dataclass(frozen=True, slots=True)
class RestEnvironment:
    """Keep an environment from eviction no longer."""

    environment: str


@dataclass(frozen=True, slots=True)
class ReleaseLayer:
    """Let another worker fetch a layer that was ours to fetch."""

    digest: str


@dataclass(frozen=True, slots=True)
class ComposeEnvironment:
    """Compose, check and warm up; answer with `EnvironmentComposed` or `EnvironmentBroken`."""

    offer: wire.EnvironmentOffer


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Drop the manager: it broke the rules."""

    reason: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Part from this manager; `is_final` says not to look for another one."""

    reason: str
    is_final: bool


Action = (
    Send | StartRun | StartCall | KillRun | KillCall | ReturnCall | DropCall | RemoveEntry | SendEntry | SendResults | PushResult
    | SendCallResult | ExamineEnvironment | ReleaseLayer | RestEnvironment | ComposeEnvironment | Disconnect | Leave
)  # fmt: skip
"""Everything that the shell can be told to do."""

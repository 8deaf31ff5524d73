"""What manager and worker can say to each other (value module).

One frozen value a message, named after its wire word; which way it goes stands in the section heading. Knows nothing
of bytes, roles or order. Work Queue's own messages are those of protocol 9, with the additions of 10 and 11 marked.
The last section is our dialect: it is spoken only when the worker announced `DIALECT_FEATURE` in its greeting, so a
real Work Queue peer never meets it.

A message whose name ends in a size (`Put`, `Result`, `File`, …) is a header: the bytes follow as `Data` events and
finish with `EndOfBody`, and are never gathered, because they may be as large as an environment. The exceptions are
small and say so: a task's command, its variables, and the JSON of our dialect travel inside their message.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

DIALECT_FEATURE = "wq-package-1"
VERSION_FEATURE = "wq-package-has-"
"""Before `NAME-VERSION` of what the worker's own Python has, for people who wonder why a pickle cannot be read."""
"""The user feature by which our worker tells our manager that it speaks the last section of this module."""


# -- both ways ---------------------------------------------------------------------------------------------------------


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
class ConnectionClosed:
    """The peer closed the connection at a border between messages."""


# -- worker → manager --------------------------------------------------------------------------------------------------


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
class Dir:
    """A folder.

    From a worker: inside the answer to `Get`, `name` is the full path. From a manager: opens a folder that is being
    put, `name` is a cache name or, nested, a base name.
    """

    name: str


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


# -- manager → worker --------------------------------------------------------------------------------------------------


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


# -- our dialect, manager → worker ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """The manager is one of ours too. `session` names it, so that a worker that comes back is known."""

    version: int
    session: str


@dataclass(frozen=True, slots=True)
class LayerName:
    """A layer as the wire names it.

    Attributes:
        digest: hex sha256 of its uncompressed tar segment.
        size: how many compressed bytes travel.
    """

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class EnvironmentOffer:
    """An environment that tasks will need.

    The worker answers with `LayersWanted`, then `EnvironmentReady` or `EnvironmentFailed`. `index` is the archive's
    index as JSON text (small), which holds platform and floor.
    """

    digest: str
    layers: tuple[LayerName, ...]
    imports: tuple[str, ...]
    index: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an archive; `size` compressed bytes follow, exactly as they stand in the archive."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class ServePeers:
    """Keep the layers that arrive as they are, and serve them to this manager's other workers; answered by `PeerAddress`."""


@dataclass(frozen=True, slots=True)
class FetchLayer:
    """Get a layer from another worker; answered by `LayerStored` or `FetchFailed`.

    Attributes:
        secret: the password of that worker's server.
        fingerprint: hex sha256 of its certificate; empty if it speaks no TLS.
    """

    digest: str
    host: str
    port: int
    secret: str = field(repr=False)
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class FunctionDefinition:
    """A pickled callable, once per worker; `size` bytes follow."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class CallTask:
    """A call in a warm interpreter; its pickled arguments (`size` bytes) follow.

    Attributes:
        environment: digest, or "" for the worker's own Python.
        function: digest of a `FunctionDefinition` sent before.
        mode: "in-place" or "fork".
        is_enforced: the call is ended when it uses more than it says here; it is then forked in any case.
    """

    task_id: int
    environment: str
    function: str
    size: int
    mode: str = "in-place"
    category: str = "default"
    cores: float | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    gpus: int | None = None
    wall_time: float | None = None
    end_time: float | None = None
    variables: tuple[tuple[str, str | None], ...] = ()
    inputs: tuple[TaskFile, ...] = ()
    outputs: tuple[TaskFile, ...] = ()
    is_enforced: bool = False


# -- our dialect, worker → manager ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LayersWanted:
    """Which layers of an offered environment this worker is to get; empty if its store has, or will have, them all.

    Said once as the answer to every offer; and again for a layer that another worker of the same store was to get and did not.
    """

    environment: str
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where this worker serves layers to others, on the host that it connects from.

    Attributes:
        secret: whoever is to fetch layers must know it.
        fingerprint: hex sha256 of the server's certificate; empty if it speaks no TLS.
    """

    port: int
    secret: str = field(repr=False)
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class LayerStored:
    """A layer is in this worker's store; `is_served` says whether others can fetch it from here."""

    digest: str
    is_served: bool


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """A layer could not be had from another worker; `is_damaged` says that it gave something else."""

    digest: str
    message: str
    is_damaged: bool = False


@dataclass(frozen=True, slots=True)
class LayerRequest:
    """Between two workers: the one that connects asks for a layer, and gets `Layer` or the end of the connection."""

    digest: str


@dataclass(frozen=True, slots=True)
class EnvironmentReady:
    """The environment is composed and checked."""

    environment: str


@dataclass(frozen=True, slots=True)
class EnvironmentFailed:
    """The environment cannot be used here; `message` is one sentence."""

    environment: str
    message: str


@dataclass(frozen=True, slots=True)
class CallResult:
    """One ended call, pushed without being asked for.

    `size` bytes follow: `output_size` bytes of what it printed, then its pickled answer.

    Attributes:
        status: the value of a `wq_package.task.ResultCode`.
        usec: run time in µs.
        signal: what killed the interpreter, or 0.
        cpu_usec, memory_mb, disk_mb, cores, read_mb, written_mb, processes: what it used, as in
            `wq_package.task.Measurement`; negative where it was not measured.
        missing: sandbox names of outputs that the call did not leave. The others wait in the cache for `Get`.
        limit, allowed, used: as in `wq_package.task.Excess`; empty if it stayed within its limits.
    """

    task_id: int
    status: str
    exit_code: int
    size: int
    output_size: int
    usec: int
    signal: int = 0
    cpu_usec: int = -1
    memory_mb: float = -1.0
    disk_mb: float = -1.0
    missing: tuple[str, ...] = ()
    message: str = ""
    cores: float = -1.0
    read_mb: float = -1.0
    written_mb: float = -1.0
    processes: int = -1
    limit: str = ""
    allowed: float = 0.0
    used: float = 0.0


@dataclass(frozen=True, slots=True)
class Recall:
    """Give back those of these tasks that you have not begun: another worker may run them sooner."""

    task_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Recalled:
    """The tasks that the worker had not begun and has now forgotten; of the others a result comes as always."""

    task_ids: tuple[int, ...]


ToManager = (
    Workqueue | Info | Feature | Resource | Alive | AvailableResults | Result | Update | Dir | File | Missing | Name
    | ThirdputComplete | CacheUpdate | CacheInvalid | StatusQuery | End | LayersWanted | EnvironmentReady
    | EnvironmentFailed | PeerAddress | LayerStored | FetchFailed | LayerRequest | CallResult | Recalled
)  # fmt: skip
"""Every message that a worker (or a status tool) may send."""

ToWorker = (
    Put | Dir | Symlink | TaskDescription | Kill | Unlink | Get | SendResults | Check | Release | Exit | ProjectName
    | StatusAnswer | Url | Thirdget | Thirdput | Puturl | Putcmd | End | Hello | EnvironmentOffer | Layer
    | ServePeers | FetchLayer | FunctionDefinition | CallTask | Recall
)  # fmt: skip
"""Every message that a manager may send."""

Message = ToManager | ToWorker
"""Any message, either way."""

Event = Message | Data | EndOfBody | ConnectionClosed
"""What a connection makes of the bytes it is fed."""

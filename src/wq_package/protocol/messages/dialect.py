"""What our manager and our worker say to each other beyond Work Queue's messages (value module).

Spoken only when the worker announced `DIALECT_FEATURE` in its greeting, so a real Work Queue peer never meets it.
Knows nothing of bytes or order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wq_package.protocol.messages.from_manager import TaskFile

DIALECT_FEATURE = "wq-package-1"
"""The user feature by which our worker tells our manager that it speaks this dialect."""
FILES_FEATURE = "wq-package-keeps-files"
"""By this one our worker tells that it keeps input files, so that it is worth asking for one before it is sent."""
VERSION_FEATURE = "wq-package-has-"
"""Before `NAME-VERSION` of what the worker's own Python has, for people who wonder why a pickle cannot be read."""


# -- manager → worker --------------------------------------------------------------------------------------------------


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
class FileOffer:
    """An input file that tasks will need, of `size` bytes; answered by `FileAnswer`.

    The name must be `file-DIGEST-MODE` (hex sha256 of the bytes, octal mode): the worker believes it no further than that.
    """

    cache_name: str
    size: int


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


@dataclass(frozen=True, slots=True)
class Recall:
    """Give back those of these tasks that you have not begun: another worker may run them sooner."""

    task_ids: tuple[int, ...]


# -- worker → manager --------------------------------------------------------------------------------------------------


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
class FileAnswer:
    """Whether an offered file is to be sent; if not, the worker has it under that name from now on."""

    cache_name: str
    is_wanted: bool


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
class Recalled:
    """The tasks that the worker had not begun and has now forgotten; of the others a result comes as always."""

    task_ids: tuple[int, ...]

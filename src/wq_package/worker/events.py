"""What can happen to a worker (value module).

Knows what the shell reports to `wq_package.worker.state`, beside the manager's own messages. Knows nothing of how it is
found out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from wq_package.protocol import messages as wire
from wq_package.task import ResultCode
from wq_package.worker.usage import NOT_MEASURED, Usage


@dataclass(frozen=True, slots=True)
class CallArrived:
    """A call and its arguments are here: `arguments` if they are small, else the file `path`."""

    call: wire.CallTask
    arguments: bytes = field(default=b"", repr=False)
    path: str = ""


@dataclass(frozen=True, slots=True)
class EntryStored:
    """A file or folder from the manager is complete in the cache."""

    name: str
    key: int


@dataclass(frozen=True, slots=True)
class EntryRefused:
    """The disk has no room for a file or folder from the manager."""

    name: str


@dataclass(frozen=True, slots=True)
class FunctionStored:
    """A pickled function is here."""

    digest: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The process of a command task is gone, and its outputs are in the cache.

    Attributes:
        failure: what kept it from running, with `message`; `None` if it ran.
        output: file with what it printed.
        outputs: cache name and key of each output that it left.
    """

    serial: int
    exit_code: int = 0
    signal: int = 0
    usec: int = 0
    output: str = ""
    output_size: int = 0
    outputs: tuple[tuple[str, int], ...] = ()
    failure: ResultCode | None = None
    message: str = ""
    usage: Usage = NOT_MEASURED


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call is over.

    Attributes:
        body: what it printed and then its answer, if small; else they stand in the file `path`.
        outputs: cache name and key of each output that it left; `missing` has the sandbox names of the others.
    """

    serial: int
    code: ResultCode = ResultCode.SUCCESS
    exit_code: int = 0
    signal: int = 0
    usec: int = 0
    usage: Usage = NOT_MEASURED
    output_size: int = 0
    size: int = 0
    body: bytes = field(default=b"", repr=False)
    path: str = ""
    outputs: tuple[tuple[str, int], ...] = ()
    missing: tuple[str, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True)
class CallReturned:
    """A call that `ReturnCall` asked for had not been begun, and will not be."""

    serial: int


@dataclass(frozen=True, slots=True)
class EnvironmentExamined:
    """The store lacks these layers of an offered environment.

    Attributes:
        missing: to be fetched by this worker.
        awaited: on their way to another worker of the same store; answered by `LayerStored` or `LayerClaimed`.
    """

    environment: str
    missing: tuple[str, ...]
    awaited: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerClaimed:
    """A layer that another worker was to fetch will not come from there: it is ours to fetch now."""

    digest: str


@dataclass(frozen=True, slots=True)
class LayerStored:
    """A layer is complete and verified in the store."""

    digest: str


@dataclass(frozen=True, slots=True)
class LayerBroken:
    """A layer could not be stored."""

    digest: str
    message: str


@dataclass(frozen=True, slots=True)
class EnvironmentComposed:
    """An environment is at its prefix, fits this machine, and its imports succeeded."""

    environment: str


@dataclass(frozen=True, slots=True)
class EnvironmentIdle:
    """No interpreter of an environment is left."""

    environment: str


@dataclass(frozen=True, slots=True)
class EnvironmentBroken:
    """An environment cannot be used here."""

    environment: str
    message: str


@dataclass(frozen=True, slots=True)
class WatchedSize:
    """How large a watched output is now."""

    serial: int
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class DiskChanged:
    """The disk has so many MB for tasks now, what they hold of it included."""

    disk_mb: float


@dataclass(frozen=True, slots=True)
class Clock:
    """Nothing but time has passed."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Take nothing new, finish what runs, then leave."""


Event = (
    CallArrived | EntryStored | EntryRefused | FunctionStored | RunEnded | CallEnded | EnvironmentExamined | LayerStored | LayerBroken
    | LayerClaimed | EnvironmentComposed | EnvironmentBroken | EnvironmentIdle | DiskChanged | Clock | Drain | CallReturned | WatchedSize
    | wire.TaskDescription | wire.Kill | wire.Unlink | wire.Get | wire.SendResults | wire.Check | wire.Release
    | wire.Exit | wire.Recall | wire.Hello | wire.EnvironmentOffer | wire.ProjectName
)  # fmt: skip
"""Everything that can happen. Bodies are the shell's: it reports them as `EntryStored` and `CallArrived`."""


def add_outputs(event: CallEnded, stored: tuple[tuple[str, int], ...], missing: tuple[str, ...]) -> CallEnded:
    """Add to the end of a call what became of its outputs."""
    return replace(event, outputs=stored, missing=missing)


def add_disk(event: CallEnded, used_mb: float, limit_mb: float | None) -> CallEnded:
    """Add to the end of a call what its sandbox held, and whether that was too much."""
    usage = replace(event.usage, disk_mb=used_mb)
    if not limit_mb or used_mb <= limit_mb or usage.limit:
        return replace(event, usage=usage)
    code = ResultCode.RESOURCE_EXHAUSTION if event.code is ResultCode.INTERPRETER_LOST else event.code
    return replace(event, code=code, usage=replace(usage, limit="disk", allowed=limit_mb, used=used_mb))

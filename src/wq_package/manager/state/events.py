"""What happens to the manager's state machine (value module).

Time arrives in `Tick` only. A worker is named by the number that the shell gave its connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wq_package.protocol.messages import ToManager
from wq_package.task import Environment, ResultCode, Task


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """A file or folder inside an input folder; `name` is relative, with `/` between the parts."""

    name: str
    path: str
    size: int
    mode: int
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class StagedInput:
    """An input file as the queue sees it: a cache name and where the bytes come from.

    Attributes:
        cache_name: by content if `cache`, else private to the task.
        path: the file or folder; `None` if `content` has the bytes.
        entries: what a folder has in it, parents first; `None` for a file.
        stamp: identifies the file's version (its modification time in ns); 0 = do not check.
        environment: what `path` is the archive of, if it is one.
        is_offered: the worker may have it from before: it is asked first.
    """

    cache_name: str
    sandbox_name: str
    path: str | None = None
    content: bytes | None = field(default=None, repr=False)
    entries: tuple[FolderEntry, ...] | None = None
    size: int = 0
    mode: int = 0o644
    cache: bool = True
    stamp: int = 0
    environment: Environment | None = None
    is_offered: bool = False


@dataclass(frozen=True, slots=True)
class Submitted:
    """A task whose inputs have been looked at is ready to run."""

    task_id: int
    task: Task
    inputs: tuple[StagedInput, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A task cannot be run at all, e.g. because an input file is missing."""

    task_id: int
    task: Task
    code: ResultCode
    message: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The application does not want this task any more; unknown and ended ids are ignored."""

    task_id: int


@dataclass(frozen=True, slots=True)
class WorkerConnected:
    """A peer has connected (and has authenticated, if there is a password)."""

    worker: int
    address: str


@dataclass(frozen=True, slots=True)
class WorkerGone:
    """A connection has ended; ignored for a worker that the state has dropped itself."""

    worker: int
    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message of a worker; `body` is the whole body of a `Result` or `CallResult`, empty for all others."""

    worker: int
    message: ToManager
    body: bytes = field(default=b"", repr=False)
    is_truncated: bool = False


@dataclass(frozen=True, slots=True)
class DispatchSent:
    """The task has left, after all of its inputs."""

    worker: int
    task_id: int


@dataclass(frozen=True, slots=True)
class DispatchFailed:
    """The task was not sent, mostly because its input `cache_name` could not be read.

    Attributes:
        is_dependent: it was to come with an earlier task, whose fault it is: this one can be tried again.
        was_large: whether its `Dispatch` was.
    """

    worker: int
    task_id: int
    cache_name: str
    message: str
    code: ResultCode = ResultCode.INPUT_MISSING
    is_dependent: bool = False
    was_large: bool = True


@dataclass(frozen=True, slots=True)
class OutputFetched:
    """The answer to one `Fetch` is complete. `message` is not empty if it could not be stored here."""

    worker: int
    task_id: int
    sandbox_name: str
    is_missing: bool = False
    content: bytes = field(default=b"", repr=False)
    message: str = ""


@dataclass(frozen=True, slots=True)
class OfferFailed:
    """An environment was not offered to a worker, because its archive cannot be read here."""

    worker: int
    environment: str
    message: str


@dataclass(frozen=True, slots=True)
class TransferEnded:
    """One of the layers that `SendLayers` asked for has left: `size` bytes."""

    worker: int
    size: int = 0


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passes: `now` never jumps, `epoch` is what the wall clock shows."""

    now: float
    epoch: float


Event = (
    Submitted
    | Refused
    | Cancelled
    | WorkerConnected
    | WorkerGone
    | Received
    | DispatchSent
    | DispatchFailed
    | OutputFetched
    | OfferFailed
    | TransferEnded
    | Tick
)
"""Everything that can happen."""

"""What is run and what comes of it: tasks, their files, their environment and their results (value module).

Knows nothing of the wire, of archives or of how anything is carried out. To this room an environment is a digest and
the file that has it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

__all__ = [
    "Call",
    "CallMode",
    "Environment",
    "Excess",
    "Function",
    "InputFile",
    "Measurement",
    "OutputFile",
    "Resources",
    "ResultCode",
    "Task",
    "TaskResult",
]


@dataclass(frozen=True, slots=True)
class Resources:
    """What a task declares that it needs, or what a worker has. `None` means not declared."""

    cores: float | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    gpus: int | None = None


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file, folder or literal text that a task finds in its sandbox.

    Exactly one of `path` and `content` is given. `sandbox_name` is relative to the sandbox and may have folders in it.
    A cached input stays on the worker under its content digest and is never sent to it twice.
    """

    sandbox_name: str
    path: str | None = None
    content: bytes | None = None
    cache: bool = True


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file or folder that a task leaves in its sandbox and that is fetched to `path` when it ends."""

    sandbox_name: str
    path: str


class CallMode(enum.Enum):
    """How a warm interpreter runs a call."""

    IN_PLACE = "in-place"
    """In the interpreter itself: fastest; what the call leaves behind, the next one sees."""
    FORK = "fork"
    """In a fork of it: isolated, measured, limited."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment archive on the manager's side.

    Attributes:
        digest: hex sha256 of the ordered layers; the environment's only name on the wire.
        archive: path of the archive file.
        imports: module names to import once, before the first call.
    """

    digest: str
    archive: str
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Function:
    """A pickled callable, sent once per worker under its digest (hex sha256 of `body`)."""

    digest: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A function call in a warm interpreter; `arguments` is a pickle of `(args, kwargs)`."""

    function: Function
    arguments: bytes = field(repr=False)
    mode: CallMode = CallMode.IN_PLACE


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of work: a shell command or a call, never both.

    Attributes:
        wall_time: seconds that it may run, or `None`.
        running_time_min: seconds that it needs at least: no worker that has to leave before is given it.
        end_time: epoch seconds at which it must have ended, or `None`.
        enforce_limits: whether it is ended when it uses more memory or disk than the box that it was given, and kept on
            as many cores as that has. A worker that is not ours does not know of this.
        max_retries: how often it is tried again after losing its worker; `None` means for ever.
        variables: environment variables as pairs.
    """

    command: str | None = None
    call: Call | None = None
    environment: Environment | None = None
    inputs: tuple[InputFile, ...] = ()
    outputs: tuple[OutputFile, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    resources: Resources = Resources()
    category: str = "default"
    priority: float = 0.0
    max_retries: int | None = 3
    wall_time: float | None = None
    running_time_min: float | None = None
    end_time: float | None = None
    tag: str = ""
    enforce_limits: bool = False


class ResultCode(enum.Enum):
    """How a task ended, from the queue's point of view; the task's own exit code is beside it."""

    SUCCESS = "success"
    INPUT_MISSING = "input missing"
    OUTPUT_MISSING = "output missing"
    STDOUT_MISSING = "standard output missing"
    RESOURCE_EXHAUSTION = "resource exhaustion"
    END_TIME = "end time reached"
    WALL_TIME = "wall time exceeded"
    FORSAKEN = "no worker can run it"
    MAX_RETRIES = "retries exhausted"
    DISK_FULL = "disk full"
    MONITOR_ERROR = "resource monitor failed"
    CANCELLED = "cancelled"
    ENVIRONMENT_FAILED = "environment cannot be used"
    INTERPRETER_LOST = "the call ended its interpreter"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a task used. Times in seconds, sizes in MB (2**20 bytes); `None` where it was not measured.

    How each figure is found, and what it leaves out, stands in `docs/reference-measuring.md`.

    Attributes:
        cpu_time: user and system time of all of its processes.
        memory_mb: the most that its processes held at one time.
        disk_mb: the most that its sandbox held, inputs included.
        cores: the most that it kept busy, between two looks or over all of its time.
        read_mb, written_mb: what its processes read and wrote, from wherever.
        processes: the most that ran at one time.
        is_approximate: the figures are differences within an interpreter that other calls use too, or of the largest
            process only.
    """

    wall_time: float | None = None
    cpu_time: float | None = None
    memory_mb: float | None = None
    disk_mb: float | None = None
    cores: float | None = None
    read_mb: float | None = None
    written_mb: float | None = None
    processes: int | None = None
    is_approximate: bool = False

    @property
    def average_cores(self) -> float | None:
        """How many cores it kept busy on average."""
        if self.cpu_time is None or not self.wall_time:
            return None
        return self.cpu_time / self.wall_time


@dataclass(frozen=True, slots=True)
class Excess:
    """A limit that a task went over.

    Attributes:
        resource: `memory`, `disk` (both in MB) or `wall_time` (in seconds).
        limit: what it was given.
        measured: what it was seen to use; it may have been on its way to more.
    """

    resource: str
    limit: float
    measured: float

    def __str__(self) -> str:
        unit = "s" if self.resource == "wall_time" else "MB"
        what = {"memory": " of memory", "disk": " of disk"}.get(self.resource, "")
        return f"used {self.measured:g} {unit}{what}, and its limit is {self.limit:g} {unit}"


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What came of a task.

    Attributes:
        exit_code: of the command; for a call 0 if it returned and 1 if it raised.
        signal: the signal that ended the process, or `None`.
        output: standard output and error of a command (merged), or what a call printed.
        value: for a call, what the warm interpreter answered: a pickle of `(True, value)` if it returned, of
            `(False, exception_bundle)` if it raised; empty otherwise. See `wq_package/archive/scripts/run_call.py`.
        message: one sentence for people, empty on success.
        worker: host name and id of the worker that ran it.
        excess: the limit that it went over, if limits were enforced. With `SUCCESS`, it was over before it could be
            caught and came to its own end.
    """

    task_id: int
    code: ResultCode
    exit_code: int = 0
    signal: int | None = None
    output: bytes = field(default=b"", repr=False)
    value: bytes = field(default=b"", repr=False)
    message: str = ""
    missing_outputs: tuple[str, ...] = ()
    measured: Measurement = Measurement()
    worker: str = ""
    tag: str = ""
    excess: Excess | None = None

    @property
    def is_success(self) -> bool:
        """Whether the task ran to its end with exit code 0 and left every output."""
        return self.code is ResultCode.SUCCESS and self.exit_code == 0 and self.signal is None

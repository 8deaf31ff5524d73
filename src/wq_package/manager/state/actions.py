"""What the manager's state machine wants done (value module).

The shell carries actions out in the order in which they come; those for one worker reach its connection in that order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wq_package.manager.state.events import StagedInput
from wq_package.protocol.messages import CallTask, TaskDescription, ToWorker
from wq_package.task import Environment, Function, TaskResult

LARGE_BODY = 64 * 1024
"""Larger arguments and functions are sent in pieces, and awaited."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send one message that has no body."""

    worker: int
    message: ToWorker


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Send a task and, before it, what its worker lacks; nothing of it if one input cannot be read.

    Answered by `DispatchSent` or `DispatchFailed` if it `is_large`. A task is held back too when an
    earlier transfer of one of its inputs to this worker has failed.
    """

    worker: int
    message: TaskDescription | CallTask
    body: bytes = field(default=b"", repr=False)
    function: Function | None = None
    puts: tuple[StagedInput, ...] = ()

    @property
    def is_large(self) -> bool:
        """Whether sending it takes a while, and is answered."""
        return bool(
            self.puts
            or len(self.body) > LARGE_BODY
            or (self.function is not None and len(self.function.body) > LARGE_BODY)
        )


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get an output and store it at `path`, or hand it over in the event if `path` is `None`."""

    worker: int
    task_id: int
    cache_name: str
    sandbox_name: str
    path: str | None


@dataclass(frozen=True, slots=True)
class Abandon:
    """Store nothing more of a task's outputs: it was cancelled while they were on their way."""

    worker: int
    task_id: int


@dataclass(frozen=True, slots=True)
class OfferEnvironment:
    """Tell a worker of ours what an environment consists of."""

    worker: int
    environment: Environment


@dataclass(frozen=True, slots=True)
class SendLayers:
    """Send these layers of an environment; each answered by `TransferEnded`."""

    worker: int
    environment: Environment
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection; the state has already forgotten the worker."""

    worker: int
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """A task has ended."""

    result: TaskResult


@dataclass(frozen=True, slots=True)
class Warn:
    """Tell the people who run this queue."""

    text: str


Action = Send | Dispatch | Fetch | Abandon | OfferEnvironment | SendLayers | Drop | Finish | Warn
"""Everything that can be asked for."""

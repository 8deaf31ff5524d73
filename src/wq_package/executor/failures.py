"""How a failed task looks to Parsl: exceptions that are both ours and Parsl's, and which result becomes which.

Knows results of tasks and Parsl's exception classes; knows nothing of how tasks run (logic module).
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from typing import Any

from parsl.app.errors import AppException, AppTimeout, BashExitFailure
from parsl.serialize.errors import DeserializationError, SerializationError

from wq_package import errors
from wq_package.task import Excess, ResultCode, TaskResult

__all__ = [
    "EnvironmentUnavailableError",
    "InterpreterLostError",
    "ManagerStoppedError",
    "RemoteTraceback",
    "ResourcesExhaustedError",
    "TaskCancelledError",
    "TaskFailedError",
    "TaskWorkerLostError",
    "UnreadableAnswerError",
    "UnsendableError",
    "WallTimeExceededError",
    "explain_missing",
    "explain_no_environment",
    "read_answer",
]


class TaskFailedError(errors.QueueError, AppException):  # type: ignore[misc]  # Parsl is not followed
    """A task did not run to its end, for a reason that is not the app's own exception.

    Args:
        code: how it ended.
        worker: where it ran, if it did.
        output: the end of what it printed.
    """

    def __init__(
        self,
        message: str,
        *,
        code: ResultCode = ResultCode.UNKNOWN,
        worker: str = "",
        output: str = "",
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.worker = worker
        self.output = output

    def __str__(self) -> str:
        place = f" (on {self.worker})" if self.worker else ""
        printed = f"\nit printed: {self.output}" if self.output else ""
        hint = f"\nhint: {self.hint}" if self.hint else ""
        return f"{self.message}{place}{printed}{hint}"


class TaskWorkerLostError(TaskFailedError, errors.WorkerLostError):
    """Its workers went away, as often as it may be tried."""


class ResourcesExhaustedError(TaskFailedError):
    """It used more than its memory or disk.

    Attributes:
        excess: which limit, how much it allows and how much was measured; `None` if the worker does not say.
    """

    excess: Excess | None = None


class WallTimeExceededError(TaskFailedError, AppTimeout):  # type: ignore[misc]  # Parsl is not followed
    """It ran longer than it may.

    Attributes:
        excess: as in `ResourcesExhaustedError`.
    """

    excess: Excess | None = None


class TaskCancelledError(TaskFailedError):
    """It was cancelled."""


class InterpreterLostError(TaskFailedError):
    """The call ended the interpreter that it ran in."""


class ManagerStoppedError(TaskFailedError):
    """The executor shut down before the task ended."""


class EnvironmentUnavailableError(TaskFailedError):
    """The app's environment could not be made, or cannot be used on the worker; `__cause__` says why."""


class UnsendableError(errors.WQPackageError, SerializationError):  # type: ignore[misc]  # Parsl is not followed
    """The app or its arguments cannot be pickled."""

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class UnreadableAnswerError(TaskFailedError, DeserializationError):  # type: ignore[misc]  # Parsl is not followed
    """What the app returned or raised cannot be pickled there, or unpickled here."""


class RemoteTraceback(Exception):  # noqa: N818 - it is shown as the cause of the user's own exception
    """Shows, as the cause of an exception, where on the worker it was raised."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


_KINDS: dict[ResultCode, type[TaskFailedError]] = {
    ResultCode.MAX_RETRIES: TaskWorkerLostError,
    ResultCode.RESOURCE_EXHAUSTION: ResourcesExhaustedError,
    ResultCode.DISK_FULL: ResourcesExhaustedError,
    ResultCode.WALL_TIME: WallTimeExceededError,
    ResultCode.END_TIME: WallTimeExceededError,
    ResultCode.CANCELLED: TaskCancelledError,
    ResultCode.INTERPRETER_LOST: InterpreterLostError,
    ResultCode.ENVIRONMENT_FAILED: EnvironmentUnavailableError,
}

_HINTS: dict[ResultCode, str] = {
    ResultCode.MAX_RETRIES: "raise `max_retries`, or see the workers' logs for why they went away",
    ResultCode.RESOURCE_EXHAUSTION: "declare more in `parsl_resource_specification`",
    ResultCode.FORSAKEN: "no worker is as large as what `parsl_resource_specification` declares",
    ResultCode.INPUT_MISSING: "relative input files are staged from the folder where the program was started",
}

_OPTION = re.compile(r"(?<!\w)--[a-z]")
_OUTPUT_SHOWN = 2000
_NOT_FOUND = 127
"""What a shell ends with that does not find a command."""


def read_answer(result: TaskResult, app: str) -> tuple[Any, BaseException | None]:
    """Turn a result into `(value, None)` or `(None, exception)`.

    A call that answered counts, even when an output file is missing: whether that matters, the app decides.
    """
    if not result.value:
        return None, _explain(result, app)
    try:
        returned, content = pickle.loads(result.value)
    except BaseException as error:  # noqa: BLE001 - whatever the objects in it raise, `SystemExit` too
        unreadable = _make_unreadable(
            app, f"what app `{app}` returned cannot be unpickled here: {error}", result
        )
        unreadable.__cause__ = error
        return None, unreadable
    if returned:
        return content, None
    return None, _restore_exception(content, result, app)


def explain_missing(error: BaseException, problems: Sequence[str], given: str | None) -> None:
    """Add to an app's failed import why the module is not there, and to a command that was not found how it gets there.

    Args:
        error: what the app raised.
        problems: what the analysis had to say.
        given: the environment that the user named; empty for one that was made for the app, `None` for the worker's own Python.
    """
    if isinstance(error, BashExitFailure) and error.exitcode == _NOT_FOUND and given == "":
        error.add_note(
            "wq-package: 127 mostly means that a command was not found; "
            "`extra_pkgs` takes along the package that has it"
        )
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return
    if given is None:
        error.add_note(
            f"wq-package: the app ran in the worker's own Python, which has no `{error.name}`; "
            "with `pack=True` what an app imports comes along"
        )
    elif given:
        error.add_note(
            f"wq-package: the environment `{given}` has no `{error.name}`; add it to what that was made from"
        )
    for problem in problems:
        if f"`{error.name.partition('.')[0]}" in problem:
            error.add_note(f"wq-package: {problem}")


def explain_no_environment(app: str, error: BaseException | None) -> EnvironmentUnavailableError:
    """Say that an app has no environment, and why."""
    hint = getattr(error, "hint", None)
    if hint and _OPTION.search(hint):
        hint += "; `wq-package build` has these options, and `environment` takes the archive that it makes"
    explained = EnvironmentUnavailableError(f"app `{app}` has no environment: {error}", hint=hint)
    explained.__cause__ = error
    return explained


def _explain(result: TaskResult, app: str) -> TaskFailedError:
    kind = _KINDS.get(result.code, TaskFailedError)
    reason = result.message or result.code.value
    error = kind(
        f"app `{app}` failed: {reason}",
        code=result.code,
        worker=result.worker,
        output=result.output[-_OUTPUT_SHOWN:].decode(errors="replace").strip(),
        hint=_HINTS.get(result.code),
    )
    if isinstance(error, ResourcesExhaustedError | WallTimeExceededError):
        error.excess = result.excess
    return error


def _restore_exception(bundle: dict[str, Any], result: TaskResult, app: str) -> BaseException:
    cause: BaseException | None = RemoteTraceback(bundle["traceback"]) if bundle.get("traceback") else None
    error = _load_exception(bundle)
    raised = f"app `{app}` raised `{bundle['type']}`: {bundle['text']}"
    if error is None:
        error = make_stand_in(str(bundle["type"]), raised, result.code, result.worker)
    elif not isinstance(error, Exception):
        error.__cause__ = cause
        cause, error = error, _make_uncatchable(raised, result)
    if error.__cause__ is None:
        error.__cause__ = cause
    return error


def _load_exception(bundle: dict[str, Any]) -> BaseException | None:
    if bundle.get("pickle") is None:
        return None
    try:
        error = pickle.loads(bundle["pickle"])
    except BaseException:  # noqa: BLE001 - an exception class may do anything; its type and text are in the bundle
        return None
    return error if isinstance(error, BaseException) else None


def make_stand_in(name: str, message: str, code: ResultCode, worker: str) -> UnreadableAnswerError:
    """Make an exception that bears the name of one that cannot be had here."""
    kind = type(
        name,
        (_StandInError,),
        {"__module__": __name__, "__doc__": "Stands in for an exception of the app's."},
    )
    error: UnreadableAnswerError = kind(message, code=code, worker=worker)
    error.reason = message
    return error


class _StandInError(UnreadableAnswerError):
    """Bears the name of an exception whose class cannot be had here, or that cannot be pickled there."""

    def __reduce__(self) -> tuple[Any, ...]:
        return make_stand_in, (type(self).__name__, self.message, self.code, self.worker), self.__dict__


def _make_unreadable(app: str, message: str, result: TaskResult) -> UnreadableAnswerError:
    error = UnreadableAnswerError(message, code=result.code, worker=result.worker)
    error.reason = f"answer of `{app}`"
    return error


def _make_uncatchable(message: str, result: TaskResult) -> TaskFailedError:
    """Wrap a `SystemExit` or its like: raised here, it would end the thread that meets it, Parsl's or ours."""
    hint = "raise an `Exception` to say that an app failed"
    return TaskFailedError(message, code=result.code, worker=result.worker, hint=hint)

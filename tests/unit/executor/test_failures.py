from __future__ import annotations

import pickle
import sys
import traceback
from typing import Any

import pytest
from parsl.app.errors import AppException, AppTimeout, BashExitFailure
from parsl.serialize.errors import DeserializationError

from wq_package.errors import BuildError, QueueError, WorkerLostError
from wq_package.executor.failures import (
    EnvironmentUnavailableError,
    InterpreterLostError,
    ResourcesExhaustedError,
    TaskFailedError,
    TaskWorkerLostError,
    UnreadableAnswerError,
    WallTimeExceededError,
    explain_missing,
    explain_no_environment,
    read_answer,
)
from wq_package.task import Excess, ResultCode, TaskResult


def make_raised(error: bytes | None, **changes: Any) -> TaskResult:
    bundle = {"pickle": error, "type": "own.Error", "text": "no", "traceback": "Traceback: line 7", **changes}
    return TaskResult(1, ResultCode.SUCCESS, exit_code=1, value=pickle.dumps((False, bundle)))


def test_read_answer__value__is_given() -> None:
    assert read_answer(TaskResult(1, ResultCode.SUCCESS, value=pickle.dumps((True, [1]))), "f") == ([1], None)


def test_read_answer__missing_output__does_not_hide_the_value() -> None:
    result = TaskResult(1, ResultCode.OUTPUT_MISSING, value=pickle.dumps((True, 2)), missing_outputs=("x",))
    assert read_answer(result, "f") == (2, None)


def test_read_answer__returned_exception__is_a_value() -> None:
    value, error = read_answer(
        TaskResult(1, ResultCode.SUCCESS, value=pickle.dumps((True, ValueError("x")))), "f"
    )
    assert isinstance(value, ValueError)
    assert error is None


def test_read_answer__raised__keeps_its_type_and_shows_the_remote_traceback() -> None:
    _, error = read_answer(make_raised(pickle.dumps(KeyError("k"))), "f")
    assert isinstance(error, KeyError)
    assert "Traceback: line 7" in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("error", [None, b"not a pickle", pickle.dumps("not an exception")])
def test_read_answer__unreadable_exception__gives_type_text_and_traceback(error: bytes | None) -> None:
    _, raised = read_answer(make_raised(error), "f")
    assert isinstance(raised, UnreadableAnswerError)
    assert isinstance(raised, DeserializationError)
    assert str(raised) == "app `f` raised `own.Error`: no"
    assert "line 7" in str(raised.__cause__)
    assert type(raised).__name__ == "own.Error"
    back = pickle.loads(pickle.dumps(raised))
    assert (type(back).__name__, str(back), back.code) == ("own.Error", str(raised), raised.code)


@pytest.mark.parametrize("error", [SystemExit("bye"), KeyboardInterrupt("bye"), GeneratorExit("bye")])
def test_read_answer__exception_that_ends_threads__is_wrapped(error: BaseException) -> None:
    bundle = {"type": type(error).__name__, "text": "bye"}
    _, raised = read_answer(make_raised(pickle.dumps(error), **bundle), "f")
    assert type(raised) is TaskFailedError
    assert str(raised).startswith(f"app `f` raised `{type(error).__name__}`: bye\nhint: ")
    assert type(raised.__cause__) is type(error)
    assert "line 7" in "".join(traceback.format_exception(raised))


def test_read_answer__unreadable_value__says_so() -> None:
    _, raised = read_answer(TaskResult(1, ResultCode.SUCCESS, value=b"garbage", worker="node7"), "f")
    assert isinstance(raised, UnreadableAnswerError)
    assert "cannot be unpickled here" in str(raised)
    assert "node7" in str(raised)
    assert raised.__cause__ is not None


class _Leaves:
    """Ends whatever unpickles it."""

    def __reduce__(self) -> tuple[object, ...]:
        return sys.exit, ("bye",)


def test_read_answer__value_that_exits_when_it_is_unpickled__says_so() -> None:
    _, raised = read_answer(TaskResult(1, ResultCode.SUCCESS, value=pickle.dumps((True, _Leaves()))), "f")
    assert isinstance(raised, UnreadableAnswerError)
    assert isinstance(raised.__cause__, SystemExit)


def test_read_answer__exception_that_exits_when_it_is_unpickled__gives_type_and_text() -> None:
    _, raised = read_answer(make_raised(pickle.dumps(_Leaves())), "f")
    assert str(raised) == "app `f` raised `own.Error`: no"


@pytest.mark.parametrize(
    ("code", "kinds"),
    [
        (ResultCode.MAX_RETRIES, (TaskWorkerLostError, WorkerLostError)),
        (ResultCode.INTERPRETER_LOST, (InterpreterLostError,)),
        (ResultCode.WALL_TIME, (WallTimeExceededError, AppTimeout)),
        (ResultCode.ENVIRONMENT_FAILED, (EnvironmentUnavailableError,)),
        (ResultCode.FORSAKEN, (TaskFailedError,)),
    ],
)
def test_read_answer__no_answer__is_ours_and_parsls(
    code: ResultCode, kinds: tuple[type[Exception], ...]
) -> None:
    _, error = read_answer(
        TaskResult(1, code, message="it went", output=b"last words\n", worker="node7"), "f"
    )
    assert isinstance(error, TaskFailedError)
    for kind in (AppException, QueueError, *kinds):
        assert isinstance(error, kind)
    assert str(error).startswith("app `f` failed: it went (on node7)\nit printed: last words")
    assert error.code is code


def test_explain_missing__missing_module__gets_what_the_analysis_said() -> None:
    error = ModuleNotFoundError("No module named 'absent'", name="absent.part")
    explain_missing(
        error,
        ["app.py:3: nothing here provides `absent.part`", "app.py:4: nothing here provides `other`"],
        "",
    )
    assert error.__notes__ == ["wq-package: app.py:3: nothing here provides `absent.part`"]


@pytest.mark.parametrize(
    ("given", "note"),
    [(None, "the worker's own Python, which has no `absent`"), ("my.yml", "`my.yml` has no `absent`")],
)
def test_explain_missing__in_what_was_not_made_for_the_app__names_it(given: str | None, note: str) -> None:
    error = ModuleNotFoundError("No module named 'absent'", name="absent")
    explain_missing(error, [], given)
    (told,) = error.__notes__
    assert note in told


@pytest.mark.parametrize(
    ("code", "given", "count"), [(127, "", 1), (127, None, 0), (127, "env.yml", 0), (1, "", 0)]
)
def test_explain_missing__command_that_was_not_found__is_hinted_at(
    code: int, given: str | None, count: int
) -> None:
    error = BashExitFailure("app", code)
    explain_missing(error, [], given)
    assert len(getattr(error, "__notes__", ())) == count


def test_explain_missing__other_errors__are_left_alone() -> None:
    error = ValueError("absent")
    explain_missing(error, ["nothing here provides `absent`"], None)
    assert not hasattr(error, "__notes__")


def test_explain_no_environment__names_app_cause_and_what_to_do() -> None:
    cause = BuildError("`numpy` was altered", hint="build with --fresh")
    explained = explain_no_environment("fit", cause)
    assert explained.message == "app `fit` has no environment: `numpy` was altered"
    assert explained.__cause__ is cause
    assert explained.hint is not None
    assert explained.hint.startswith("build with --fresh; `wq-package build` has these options")
    assert explain_no_environment("fit", BuildError("it broke", hint="mend it")).hint == "mend it"
    assert explain_no_environment("fit", None).hint is None


def test_errors__pickle__keep_what_they_say() -> None:
    _, error = read_answer(TaskResult(1, ResultCode.MAX_RETRIES, message="gone", worker="n"), "f")
    assert isinstance(error, TaskFailedError)
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.code) == (type(error), str(error), error.code)


def test_read_answer__over_a_limit__the_exception_has_limit_and_measure() -> None:
    excess = Excess("memory", 100, 212.5)
    message = f"the call {excess}"
    result = TaskResult(1, ResultCode.RESOURCE_EXHAUSTION, message=message, excess=excess)
    _, error = read_answer(result, "f")
    assert isinstance(error, ResourcesExhaustedError)
    assert error.excess == excess
    assert "used 212.5 MB of memory, and its limit is 100 MB" in str(error)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.excess) == (ResourcesExhaustedError, excess)

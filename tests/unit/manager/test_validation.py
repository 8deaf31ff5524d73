from __future__ import annotations

import dataclasses

import pytest

from wq_package.errors import QueueError
from wq_package.manager.validation import check_task
from wq_package.task import Call, Environment, Function, InputFile, OutputFile, Resources, Task

GOOD = Task(command="true")
CALL = Call(Function("f" * 64, b""), b"")


@pytest.mark.parametrize(
    "task",
    [
        GOOD,
        Task(call=CALL),
        dataclasses.replace(GOOD, inputs=(InputFile("a/é b.txt", content=b""),)),
        dataclasses.replace(GOOD, resources=Resources(0.5, 0, 10, 1), wall_time=0.1, priority=-1.0),
        dataclasses.replace(GOOD, variables=(("NAME", "any\nvalue"),)),
    ],
)
def test_check_task__good__passes(task: Task) -> None:
    check_task(task)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"call": CALL}, "a task has either a command or a call"),
        ({"command": None}, "a task has either a command or a call"),
        ({"command": "  "}, "'  ' is not a command"),
        ({"category": "two words"}, "'two words' is not a category"),
        ({"wall_time": 0.0}, "a wall time of 0.0 s means nothing"),
        ({"running_time_min": -1.0}, "a running time of -1.0 s means nothing"),
        ({"priority": float("nan")}, "a task's priority cannot be NaN"),
        ({"resources": Resources(cores=-1)}, "cores of -1 cannot be given"),
        ({"resources": Resources(cores=float("nan"))}, "cores of nan cannot be given"),
        ({"inputs": (InputFile("a"),)}, "input file `a` has either a path or content"),
        ({"inputs": (InputFile("a", "p", b""),)}, "input file `a` has either a path or content"),
        ({"inputs": (InputFile("/etc/a", "p"),)}, "`/etc/a` is not a place inside the sandbox"),
        ({"inputs": (InputFile("../a", "p"),)}, "`../a` is not a place inside the sandbox"),
        ({"inputs": (InputFile("a\tb", "p"),)}, "'a\\tb' has a control character in it"),
        (
            {"inputs": (InputFile("a", "p"), InputFile("a", "q"))},
            "two input files have the same sandbox name",
        ),
        ({"outputs": (OutputFile("", "p"),)}, "`` is not a place inside the sandbox"),
        ({"outputs": (OutputFile(".wq-package/answer", "p"),)}, "`.wq-package/answer` is in the folder"),
        ({"end_time": float("nan")}, "an end time of nan means nothing"),
        ({"end_time": float("inf")}, "an end time of inf means nothing"),
        ({"inputs": (InputFile("a", "p\0q"),)}, "'p\\x00q' is not the path of a file"),
        ({"inputs": (InputFile("a", "\ud800"),)}, "'\\ud800' is not the path of a file"),
        ({"outputs": (OutputFile("a", "p\0q"),)}, "'p\\x00q' is not the path of a file"),
        ({"outputs": (OutputFile("a", ""),)}, "'' is not the path of a file"),
        (
            {"command": None, "call": Call(Function("../f", b""), b"")},
            "'../f' is not the digest of a function",
        ),
        ({"environment": Environment("a/b", "p")}, "'a/b' is not the digest of an environment"),
        ({"variables": (("A=B", ""),)}, "`A=B` is not the name of an environment variable"),
        ({"variables": (("A", "\0"),)}, "the environment variable `A` has a NUL in it"),
    ],
)
def test_check_task__bad__one_sentence_and_a_hint(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(QueueError) as caught:
        check_task(dataclasses.replace(GOOD, **change))  # type: ignore[arg-type]  # fields of Task
    assert str(caught.value).startswith(sentence)
    assert caught.value.hint

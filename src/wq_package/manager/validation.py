"""Refuses tasks that can never run, before they are queued (logic module).

Knows what the wire and a sandbox can carry. Every issue is one sentence with a hint.
"""

from __future__ import annotations

import math
import re

from wq_package.errors import QueueError
from wq_package.protocol.names import is_digest
from wq_package.task import Resources, Task

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CATEGORY = re.compile(r"[!-~]{1,200}")
_DIGEST_HINT = "give the hex sha256"
LONGEST_SANDBOX_NAME = 1000
RESERVED = ".wq-package"
"""The folder of a sandbox that is ours."""


def check_task(task: Task) -> None:
    """Check a task.

    Raises:
        QueueError: it can never run.
    """
    if (task.command is None) == (task.call is None):
        raise QueueError("a task has either a command or a call", hint="give exactly one of them")
    if task.command is not None and (not task.command.strip() or "\0" in task.command):
        raise QueueError(f"{task.command!r} is not a command", hint="give a line for `/bin/sh -c`")
    if task.category != "default" and not _CATEGORY.fullmatch(task.category):
        raise QueueError(f"{task.category!r} is not a category", hint="use letters, digits, `-` and `_`")
    if math.isnan(task.priority):
        raise QueueError("a task's priority cannot be NaN", hint="give a number; larger runs earlier")
    _check_times(task)
    _check_digests(task)
    if task.resources is not _NOTHING:
        _check_resources(task.resources)
    if task.inputs or task.outputs:
        _check_files(task)
    for name, value in task.variables:
        _check_variable(name, value)


_NOTHING = Resources()


def _check_times(task: Task) -> None:
    if task.end_time is not None and not math.isfinite(task.end_time):
        raise QueueError(
            f"an end time of {task.end_time} means nothing", hint="give seconds since 1970, or `None`"
        )
    if task.wall_time is not None and not 0 < task.wall_time < math.inf:
        raise QueueError(
            f"a wall time of {task.wall_time} s means nothing", hint="give seconds above 0, or `None`"
        )
    if task.running_time_min is not None and not 0 <= task.running_time_min < math.inf:
        raise QueueError(
            f"a running time of {task.running_time_min} s means nothing",
            hint="give seconds from 0 on, or `None`",
        )


def _check_digests(task: Task) -> None:
    """Refuse what a worker takes for an attack, and parts from its manager for."""
    if task.call is not None and not is_digest(task.call.function.digest):
        raise QueueError(f"{task.call.function.digest!r} is not the digest of a function", hint=_DIGEST_HINT)
    if task.environment is not None and not is_digest(task.environment.digest):
        raise QueueError(
            f"{task.environment.digest!r} is not the digest of an environment", hint=_DIGEST_HINT
        )


def _check_resources(resources: Resources) -> None:
    for what, amount in (
        ("cores", resources.cores),
        ("memory_mb", resources.memory_mb),
        ("disk_mb", resources.disk_mb),
        ("gpus", resources.gpus),
    ):
        if amount is not None and not 0 <= amount < 2**40:
            raise QueueError(f"{what} of {amount} cannot be given", hint="give a number from 0 on, or `None`")


def _check_files(task: Task) -> None:
    for given in task.inputs:
        if (given.path is None) == (given.content is None):
            raise QueueError(
                f"input file `{given.sandbox_name}` has either a path or content",
                hint="give exactly one of them",
            )
        if given.path is not None:
            _check_path(given.path)
    for output in task.outputs:
        _check_path(output.path)
    names = [given.sandbox_name for given in task.inputs]
    wanted = [output.sandbox_name for output in task.outputs]
    for name in (*names, *wanted):
        _check_sandbox_name(name)
    for kind, given_names in (("input", names), ("output", wanted)):
        if len(set(given_names)) != len(given_names):
            raise QueueError(
                f"two {kind} files have the same sandbox name", hint="give each a name of its own"
            )


def _check_path(path: str) -> None:
    """Refuse what the system cannot even be asked for."""
    try:
        raw = path.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        raw = b""
    if not raw or b"\0" in raw:
        raise QueueError(
            f"{path!r} is not the path of a file", hint="give one without NULs and lone surrogates"
        )


def _check_sandbox_name(name: str) -> None:
    parts = name.split("/")
    if (
        not name
        or "" in parts
        or "." in parts
        or ".." in parts
        or len(name.encode(errors="replace")) > LONGEST_SANDBOX_NAME
    ):
        raise QueueError(
            f"`{name}` is not a place inside the sandbox", hint="give a relative path without `.` or `..`"
        )
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise QueueError(
            f"{name!r} has a control character in it", hint="Work Queue cannot carry it; rename the file"
        )
    if parts[0] == RESERVED:
        raise QueueError(f"`{name}` is in the folder that is kept for the queue", hint="use another name")


def _check_variable(name: str, value: str) -> None:
    if not _NAME.fullmatch(name):
        raise QueueError(
            f"`{name}` is not the name of an environment variable", hint="use letters, digits and `_`"
        )
    if "\0" in value:
        raise QueueError(
            f"the environment variable `{name}` has a NUL in it", hint="no process can be given that"
        )

"""From a task's record to the messages that hand it to a worker (logic module).

Knows the two forms a task can take: our dialect's call, and the command that every Work Queue worker understands. In
command form a call brings its function, its arguments and the scripts that run it as input files, and its answer comes
back as an output file. Cache names are made of `[A-Za-z0-9._-]` only: real workers mangle everything else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import posixpath
import shlex
from collections.abc import Iterator

from wq_package.manager.state.actions import LARGE_BODY, Dispatch
from wq_package.manager.state.events import StagedInput
from wq_package.manager.state.options import StateOptions
from wq_package.manager.state.records import RunRecord, TaskRecord, WorkerRecord
from wq_package.protocol.messages import FILES_FEATURE, CallTask, FileFlags, TaskDescription, TaskFile
from wq_package.task import Call, Environment, Task

ANSWER = ".wq-package/answer"
"""Where a call in command form leaves its answer; a name that no task can ask for itself."""
FUNCTION = ".wq-package/function"
ARGUMENTS = ".wq-package/arguments"
LAUNCHER = ".wq-package/launch.sh"
RUN_CALL = ".wq-package/run_call.py"
LONGEST_VARIABLE = 3800
"""Longer ones go into the command: Work Queue's lines end at 4,096 bytes."""


def describe(record: TaskRecord, worker: WorkerRecord, options: StateOptions) -> Dispatch:
    """Make the action that hands a task to a worker, and note what is now under way."""
    call = record.task.call
    if call is None or not worker.is_dialect:
        return _describe_command(record, worker, options)
    if record.run is None:
        return _describe_plain_call(record, worker, call)
    run = _start_run(record, record.inputs)
    message = _make_call(record, call, _list_inputs(run.inputs), _list_outputs(run))
    function = None if call.function.digest in worker.functions else call.function
    worker.functions.add(call.function.digest)
    return Dispatch(worker.number, message, call.arguments, function, _take_missing(worker, run.inputs))


def _describe_plain_call(record: TaskRecord, worker: WorkerRecord, call: Call) -> Dispatch:
    message = _make_call(record, call, (), ())
    digest = call.function.digest
    if digest in worker.functions:
        return Dispatch(worker.number, message, call.arguments)
    worker.functions.add(digest)
    return Dispatch(worker.number, message, call.arguments, call.function)


def _make_call(
    record: TaskRecord, call: Call, inputs: tuple[TaskFile, ...], outputs: tuple[TaskFile, ...]
) -> CallTask:
    task, box = record.task, record.box
    return CallTask(
        record.task_id,
        task.environment.digest if task.environment else "",
        call.function.digest,
        len(call.arguments),
        call.mode.value,
        task.category,
        box[0] / 1000,
        box[1],
        box[2],
        box[3],
        task.wall_time,
        task.end_time,
        task.variables,
        inputs,
        outputs,
        record.is_limited,
    )


def _describe_command(record: TaskRecord, worker: WorkerRecord, options: StateOptions) -> Dispatch:
    task, box = record.task, record.box
    run = _start_run(record, (*record.inputs, *_iter_command_inputs(task, options)))
    if task.call is not None:
        run.outputs[ANSWER] = (f"out-{record.task_id}-{record.losses}-answer", None)
    message = TaskDescription(
        record.task_id,
        _make_command(task),
        task.category,
        box[0] / 1000,
        box[1],
        box[2],
        box[3],
        task.wall_time,
        task.end_time,
        tuple(pair for pair in task.variables if _is_short(pair)),
        _list_inputs(run.inputs),
        _list_folders(run),
        _list_outputs(run),
        is_enforced=record.is_limited,
    )
    return Dispatch(worker.number, message, puts=_take_missing(worker, run.inputs))


def _list_folders(run: RunRecord) -> tuple[str, ...]:
    """List the folders of outputs: a task writes to where its output is looked for."""
    return tuple(sorted({posixpath.dirname(name) for name in run.outputs} - {""}))


def _start_run(record: TaskRecord, inputs: tuple[StagedInput, ...]) -> RunRecord:
    attempt = f"{record.task_id}-{record.losses}"
    run = record.run = RunRecord(
        tuple(
            staged if staged.cache else dataclasses.replace(staged, cache_name=f"once-{attempt}-{position}")
            for position, staged in enumerate(inputs)
        )
    )
    for position, output in enumerate(record.task.outputs):
        run.outputs[output.sandbox_name] = (f"out-{attempt}-{position}", output.path)
    return run


def _iter_command_inputs(task: Task, options: StateOptions) -> Iterator[StagedInput]:
    if task.environment is not None:
        yield _name_archive(task.environment)
        yield _name_script(LAUNCHER, options.launcher)
    if task.call is not None:
        function = task.call.function
        yield _name_script(RUN_CALL, options.run_call)
        yield StagedInput(
            f"function-{function.digest}", FUNCTION, content=function.body, size=len(function.body)
        )
        arguments = task.call.arguments
        yield StagedInput("", ARGUMENTS, content=arguments, size=len(arguments), cache=False)


def _name_archive(environment: Environment) -> StagedInput:
    name = f"env-{environment.digest}{_find_suffix(environment.archive)}"
    return StagedInput(name, name, path=environment.archive, environment=environment)


def _find_suffix(archive: str) -> str:
    name = posixpath.basename(archive)
    return next((suffix for suffix in (".tar.gz", ".tar.zst", ".tgz") if name.endswith(suffix)), ".tar.gz")


def _name_script(sandbox_name: str, text: bytes) -> StagedInput:
    digest = hashlib.sha256(text).hexdigest()
    return StagedInput(f"file-{digest}-755", sandbox_name, content=text, size=len(text), mode=0o755)


def _make_command(task: Task) -> str:
    command = task.command or ""
    if task.call is not None:
        command = f"python3 {RUN_CALL} {FUNCTION} {ARGUMENTS} {ANSWER}"
    if task.environment is not None:
        inner = command if task.call is not None else f"/bin/sh -c {shlex.quote(command)}"
        command = f"/bin/sh {LAUNCHER} {_name_archive(task.environment).sandbox_name} -- {inner}"
    exports = [
        f"export {name}={shlex.quote(value)}\n"
        for name, value in task.variables
        if not _is_short((name, value))
    ]
    return "".join((*exports, command))


def _is_short(pair: tuple[str, str]) -> bool:
    return len(pair[0]) + len(pair[1].encode(errors="surrogateescape")) < LONGEST_VARIABLE


def _list_inputs(inputs: tuple[StagedInput, ...]) -> tuple[TaskFile, ...]:
    return tuple(
        TaskFile(staged.cache_name, staged.sandbox_name, FileFlags.CACHE if staged.cache else FileFlags.NONE)
        for staged in inputs
    )


def _list_outputs(run: RunRecord) -> tuple[TaskFile, ...]:
    return tuple(TaskFile(cache_name, sandbox_name) for sandbox_name, (cache_name, _) in run.outputs.items())


def _take_missing(worker: WorkerRecord, inputs: tuple[StagedInput, ...]) -> tuple[StagedInput, ...]:
    """Choose the inputs that must be sent, and note that the worker will have those that stay."""
    missing = {staged.cache_name: staged for staged in inputs if staged.cache_name not in worker.files}
    worker.files.update(name for name, staged in missing.items() if staged.cache)
    if not worker.is_dialect or FILES_FEATURE not in worker.features:
        return tuple(missing.values())
    return tuple(
        dataclasses.replace(staged, is_offered=_is_worth_an_offer(staged)) for staged in missing.values()
    )


def _is_worth_an_offer(staged: StagedInput) -> bool:
    """Whether a worker may have a file from before, and asking takes less than sending it."""
    return staged.cache and staged.size > LARGE_BODY and staged.cache_name.startswith("file-")

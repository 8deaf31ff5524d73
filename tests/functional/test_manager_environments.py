"""Calls and commands in a built environment: on our worker by the dialect, on Debian's by the launcher, same results."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from manager_programs import PASSWORD, SECONDS, SMALL, Programs, make_call
from wq_package.build import BuildOptions, build_environment
from wq_package.manager import BlockingManager, ManagerOptions
from wq_package.spec.environment import EnvironmentSpec, WheelRequirement
from wq_package.task import CallMode, Environment, ResultCode, Task, TaskResult

KINDS = [pytest.param("debian", marks=pytest.mark.workqueue), "ours"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    import cloudpickle

    folder = tmp_path_factory.mktemp("environment")
    python = ".".join(map(str, sys.version_info[:3]))
    wheels = (WheelRequirement(f"cloudpickle=={cloudpickle.__version__}"),)
    spec = EnvironmentSpec(name="small", python=python, wheels=wheels)
    built = build_environment(spec, folder / "env.tar.gz", BuildOptions(cache=folder / "cache"))
    return Environment(built.digest, str(built.path), ("cloudpickle",))


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path)
    yield programs
    programs.stop()


@pytest.fixture
def manager() -> Iterator[BlockingManager]:
    with BlockingManager(ManagerOptions(password=PASSWORD)) as manager:
        yield manager


def run_tasks(manager: BlockingManager, *tasks: Task) -> list[TaskResult]:
    task_ids = manager.submit_many(tasks)
    results = {}
    for _ in tasks:
        result = manager.wait(SECONDS)
        assert result is not None, "no result came"
        results[result.task_id] = result
    return [results[task_id] for task_id in task_ids]


def find_prefix(number: int) -> tuple[int, str, str]:
    import sys

    print("printed")  # noqa: T201 - what a call prints is its output
    return number, sys.prefix, sys.executable


def fail() -> None:
    raise ValueError("no luck")


def leave() -> None:
    os._exit(7)


def join(first: bytes, second: bytes) -> bytes:
    return first + second


def make_unpicklable() -> Any:
    return (number for number in range(3))


@pytest.mark.parametrize("kind", KINDS)
def test_call__in_environment__same_results_on_every_worker(
    kind: str, environment: Environment, manager: BlockingManager, programs: Programs
) -> None:
    programs.start(kind, manager.port)
    tasks = [make_call(function, environment=environment) for function in (fail, leave, make_unpicklable)]
    first = make_call(find_prefix, 5, environment=environment)
    returned, raised, left, unpicklable = run_tasks(manager, first, *tasks)
    assert (returned.code, returned.exit_code, returned.output) == (ResultCode.SUCCESS, 0, b"printed\n"), (
        returned
    )
    is_returned, (number, prefix, executable) = pickle.loads(returned.value)
    assert (is_returned, number) == (True, 5)
    assert prefix != sys.prefix
    assert executable.startswith(prefix)
    assert (raised.code, raised.exit_code) == (ResultCode.SUCCESS, 1)
    assert pickle.loads(raised.value)[1]["text"] == "no luck"
    assert (left.code, left.value) == (ResultCode.INTERPRETER_LOST, b"")
    assert "7" in left.message
    assert (unpicklable.code, unpicklable.exit_code) == (ResultCode.SUCCESS, 1)
    assert "cannot be pickled" in pickle.loads(unpicklable.value)[1]["text"]


def hold_memory(megabytes: int) -> int:
    import time

    area = bytearray(megabytes << 20)
    area[:: 1 << 12] = b"x" * (len(area) >> 12)
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    return len(area)


@pytest.mark.parametrize("kind", KINDS)
def test_call__on_every_worker__is_measured(
    kind: str, environment: Environment, manager: BlockingManager, programs: Programs
) -> None:
    programs.start(kind, manager.port)
    (result,) = run_tasks(manager, make_call(hold_memory, 100, environment=environment))
    assert pickle.loads(result.value) == (True, 100 << 20)
    assert result.measured.memory_mb is not None
    assert 95 <= result.measured.memory_mb <= 150  # on Debian's worker with its interpreter
    assert result.measured.cpu_time is not None
    assert result.measured.cpu_time >= 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_environment__many_tasks__travels_once(
    kind: str, environment: Environment, manager: BlockingManager, programs: Programs
) -> None:
    programs.start(kind, manager.port)
    results = run_tasks(
        manager, *[make_call(find_prefix, number, environment=environment) for number in range(20)]
    )
    assert [pickle.loads(result.value)[1][0] for result in results] == list(range(20))
    assert len({pickle.loads(result.value)[1][1] for result in results}) == 1
    size = Path(environment.archive).stat().st_size
    assert size * 0.9 < manager.statistics().bytes_sent < size * 1.1


@pytest.mark.parametrize("kind", KINDS)
def test_command__in_environment__finds_its_python(
    kind: str, environment: Environment, manager: BlockingManager, programs: Programs
) -> None:
    programs.start(kind, manager.port)
    command = "python3 -c 'import cloudpickle, sys; print(sys.prefix)'; exit 4"
    (result,) = run_tasks(manager, Task(command=command, environment=environment, resources=SMALL))
    assert (result.code, result.exit_code) == (ResultCode.SUCCESS, 4), result
    assert result.output.decode().strip() not in ("", sys.prefix)


@pytest.mark.parametrize("kind", KINDS)
def test_environment__damaged_or_absent_archive__only_its_tasks_fail(
    kind: str, environment: Environment, manager: BlockingManager, programs: Programs, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes(Path(environment.archive).read_bytes()[:-1000])
    other = tmp_path / "other.tar.gz"
    other.write_bytes(Path(environment.archive).read_bytes())
    programs.start(kind, manager.port)
    wrong = (
        Environment("1" * 64, str(damaged)),
        Environment("2" * 64, str(tmp_path / "absent.tar.gz")),
        Environment("3" * 64, str(other)),
    )
    tasks = [make_call(divmod, 7, 2, environment=each) for each in (*wrong, environment)]
    *failed, fine = run_tasks(manager, *tasks)
    assert [result.code for result in failed] == [ResultCode.ENVIRONMENT_FAILED] * 3
    for result, words in zip(failed, ("damaged", "cannot be opened", "has environment"), strict=True):
        assert words in result.message
    assert fine.is_success


def test_call__fork_mode__runs_in_a_process_of_its_own(
    environment: Environment, manager: BlockingManager, programs: Programs
) -> None:
    programs.start("ours", manager.port)
    tasks = [make_call(os.getpid, environment=environment, mode=CallMode.FORK) for _ in range(4)]
    pids = [pickle.loads(result.value)[1] for result in run_tasks(manager, *tasks)]
    assert len(set(pids)) == 4


def test_call__large_arguments_and_results__arrive_whole(
    manager: BlockingManager, programs: Programs
) -> None:
    programs.start("ours", manager.port)
    body = os.urandom(30_000_000)
    large, small = run_tasks(manager, make_call(join, body, b"end"), make_call(divmod, 7, 2))
    assert small.is_success
    is_returned, value = pickle.loads(large.value)
    assert (is_returned, value) == (True, body + b"end")

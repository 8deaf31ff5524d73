"""One archive, every kind of worker: ours and Debian's run calls and commands in it, with no Python of their own."""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cloudpickle
import pytest

from installed import Installed
from wq_package.archive.reader import ArchiveReader
from wq_package.manager import BlockingManager, ManagerOptions
from wq_package.task import Call, CallMode, Environment, Function, OutputFile, ResultCode, Task, TaskResult

_PASSWORD = b"sesame\n"
_WAIT = 240.0

StartWorker = Callable[[int], list[str]]


@pytest.fixture(scope="module")
def environment(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("environment")
    (folder / "app.py").write_text("import cloudpickle, numpy\n")
    for arguments in (["analyze", "app.py", "-o", "env.yml"], ["build", "env.yml", "-o", "env.tar.gz"]):
        done = installed.run(*arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
    with ArchiveReader(folder / "env.tar.gz") as reader:
        return Environment(reader.index.environment, str(folder / "env.tar.gz"))


@pytest.fixture(
    params=[
        pytest.param("ours", id="our worker"),
        pytest.param("debian", marks=pytest.mark.workqueue, id="debian's"),
    ]
)
def manager(
    request: pytest.FixtureRequest, installed: Installed, tmp_path: Path
) -> Iterator[BlockingManager]:
    """A manager with one worker of either kind, whose path has no Python."""
    secret = tmp_path / "secret"
    secret.write_bytes(_PASSWORD)
    (tmp_path / "work").mkdir()
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "tar", "gzip", "mkdir", "rm", "mv", "cat", "sleep", "flock"):
        (tools / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
    with BlockingManager(ManagerOptions(password=_PASSWORD)) as started:
        if request.param == "ours":
            command = [str(installed.command), "worker", "127.0.0.1", str(started.port), "--password-file", str(secret),
                       "--store", str(tmp_path / "store"), "--workdir", str(tmp_path / "work"), "--cores", "2"]  # fmt: skip
        else:
            command = ["work_queue_worker", "127.0.0.1", str(started.port), "-P", str(secret), "-s",
                       str(tmp_path / "work"), "--cores", "2", "-t", "600", "--single-shot"]  # fmt: skip
            command[0] = "/usr/bin/work_queue_worker"
        with _process(command, tools):
            yield started


@contextmanager
def _process(command: list[str], path: Path) -> Iterator[None]:
    variables = {"PATH": str(path), "CATALOG_HOST": "127.0.0.1", "CATALOG_PORT": "9"}
    process = subprocess.Popen(command, env=variables, start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _make_call(
    function: Callable[..., object], *arguments: object, mode: CallMode = CallMode.IN_PLACE
) -> Call:
    body = cloudpickle.dumps(function)
    return Call(Function(hashlib.sha256(body).hexdigest(), body), pickle.dumps((arguments, {})), mode)


def _run(manager: BlockingManager, *tasks: Task) -> list[TaskResult]:
    for task in tasks:
        manager.submit(task)
    results = [manager.wait(_WAIT) for _ in tasks]
    assert None not in results, "a task did not end"
    return sorted((result for result in results if result), key=lambda result: result.task_id)


def test_calls__both_modes__return_values_computed_in_the_environment(
    manager: BlockingManager, environment: Environment
) -> None:
    def where(count: int) -> tuple[float, str, str]:
        import sys

        import numpy

        return float(numpy.ones(count).sum()), numpy.__file__, sys.executable

    where.__module__ = "__main__"
    modes = [CallMode.IN_PLACE, CallMode.FORK] * 3
    results = _run(
        manager,
        *(
            Task(call=_make_call(where, n, mode=mode), environment=environment)
            for n, mode in enumerate(modes)
        ),
    )

    for count, result in enumerate(results):
        assert result.is_success, result
        has_returned, (total, numpy_file, executable) = pickle.loads(result.value)
        assert has_returned
        assert total == count
        prefix = Path(executable).parents[1]
        assert Path(numpy_file).is_relative_to(prefix)


def test_calls__that_raise__bring_the_exception_back(
    manager: BlockingManager, environment: Environment
) -> None:
    def fail() -> None:
        raise LookupError("nothing here")

    fail.__module__ = "__main__"
    (result,) = _run(manager, Task(call=_make_call(fail), environment=environment))

    has_returned, bundle = pickle.loads(result.value)
    assert not has_returned
    assert isinstance(pickle.loads(bundle["pickle"]), LookupError)
    assert "nothing here" in bundle["text"]
    assert "fail" in bundle["traceback"]


def test_commands__in_the_environment__find_its_python_first(
    manager: BlockingManager, environment: Environment, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.txt"
    command = (
        'python -c \'import numpy, sys; open("out.txt", "w").write(numpy.__version__); print(sys.prefix)\''
    )
    (result,) = _run(
        manager,
        Task(command=command, environment=environment, outputs=(OutputFile("out.txt", str(kept)),)),
    )

    assert result.is_success, result
    assert kept.read_text()[0].isdigit()
    assert "/usr" not in result.output.decode()


def test_calls__one_that_kills_its_interpreter__fails_alone(
    manager: BlockingManager, environment: Environment
) -> None:
    def die() -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGSEGV)

    def live() -> int:
        return 7

    die.__module__ = live.__module__ = "__main__"
    dead, *alive = _run(
        manager,
        Task(call=_make_call(die), environment=environment),
        *(Task(call=_make_call(live), environment=environment) for _ in range(4)),
    )

    assert dead.code is ResultCode.INTERPRETER_LOST
    assert dead.signal == signal.SIGSEGV
    assert [pickle.loads(result.value) for result in alive] == [(True, 7)] * 4

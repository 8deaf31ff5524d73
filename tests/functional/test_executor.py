"""The executor's life: starting and stopping, blocks, files, demands, environments that are given or cannot be had."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import parsl
import psutil  # type: ignore[import-untyped]  # it has no stubs
import pytest
from parsl import Config, File, bash_app, python_app
from parsl.executors.errors import BadStateException, InvalidResourceSpecification
from parsl.jobs.states import JobState, JobStatus
from parsl.providers import LocalProvider
from parsl.utils import RepresentationMixin

from loaded_executor import loaded, make_executor
from processes import wait_until_ended
from wq_package.errors import QueueError, WorkerLostError, WQPackageError
from wq_package.executor import WQPackageExecutor
from wq_package.executor.failures import (
    EnvironmentUnavailableError,
    InterpreterLostError,
    ManagerStoppedError,
    TaskFailedError,
    TaskWorkerLostError,
)
from wq_package.report import read_run
from wq_package.report.run import TryEnd

pytestmark = pytest.mark.parsl

SECONDS = 180


@python_app
def double(x: int, parsl_resource_specification: Any = None) -> int:
    return x * 2


@python_app
def find_place() -> tuple[str, int]:
    return sys.prefix, os.getpid()


@python_app
def dies() -> None:
    os.abort()


@python_app
def waits(path: str) -> None:
    while not os.path.exists(path):  # noqa: PTH110 - the same on the worker
        time.sleep(0.01)


@bash_app
def copy(inputs: Any = (), outputs: Any = (), stdout: Any = None) -> str:
    return f"cat {inputs[0]} > {outputs[0]}; echo done"


def find_workers(executor: WQPackageExecutor) -> list[psutil.Process]:
    """Find the processes that were started for this executor."""
    mark = f"/{executor.label}/password"
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(
            word.endswith(mark) and word.startswith(executor.run_dir)
            for word in process.info["cmdline"] or ()
        )
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program is started."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- without packing -----------------------------------------------------------------------------------------------------


def test_no_pack__runs_in_the_workers_own_python_at_once(folder: Path) -> None:
    with loaded(folder, make_executor(folder)):
        assert [double(x).result() for x in range(20)] == [2 * x for x in range(20)]
        prefix, process = find_place().result()
    assert prefix == sys.prefix
    assert process != os.getpid()


def test_shutdown__leaves_no_process_no_password_and_no_unfinished_future(folder: Path) -> None:
    executor = make_executor(folder, provider=LocalProvider(init_blocks=2, min_blocks=2, max_blocks=2))
    config = Config(
        executors=[executor], run_dir=str(folder / "runinfo"), strategy="none", initialize_logging=False
    )
    dfk = parsl.load(config)
    try:
        assert double(1).result() == 2
        workers = find_workers(executor)
        password = Path(executor.run_dir) / executor.label / "password"
        assert stat.S_IMODE(password.stat().st_mode) == 0o600
        unfinished = waits(str(folder / "never"))
    finally:
        dfk.cleanup()
    assert workers
    wait_until_ended(workers)
    assert not password.exists()
    assert isinstance(unfinished.exception(timeout=SECONDS), ManagerStoppedError)


def test_files__travel_both_ways_and_leave_no_litter(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data/in").write_text("words\n")
    with loaded(folder, make_executor(folder)) as executor:
        future = copy(inputs=[File("data/in")], outputs=[File("results/out")], stdout="log")
        assert future.result() == 0
        litter = list((Path(executor.run_dir) / executor.label).iterdir())
    assert (folder / "results/out").read_text() == "words\n"
    assert (folder / "log").read_text() == "done\n"
    assert [path.name for path in litter] == ["password"]


def test_shared_file_system__nothing_is_staged(folder: Path) -> None:
    (folder / "in").write_text("words\n")
    with loaded(folder, make_executor(folder, shared_fs=True)):
        assert copy(inputs=[File("in")], outputs=[File("out")]).result() == 0
    assert (folder / "out").read_text() == "words\n"


def test_resource_specification__wrong_keys_are_named_and_right_ones_taken(folder: Path) -> None:
    with loaded(folder, make_executor(folder)):
        with pytest.raises(InvalidResourceSpecification, match="cpus"):
            double(1, parsl_resource_specification={"cpus": 1}).result()
        full = {"cores": 1, "memory": 10, "disk": 10, "priority": 5, "running_time_min": 1}
        assert double(1, parsl_resource_specification=full).result() == 2


@pytest.mark.parametrize("mode", ["in-place", "fork"])
def test_call_that_kills_its_interpreter__fails_alone(folder: Path, mode: str) -> None:
    with loaded(folder, make_executor(folder, call_mode=mode)):
        error = dies().exception()
        assert isinstance(error, InterpreterLostError)
        assert double(2).result() == 4


def test_autolabel__calls_run_where_they_are_measured(folder: Path) -> None:
    with loaded(folder, make_executor(folder, autolabel=True)):
        places = {find_place().result()[1] for _ in range(3)}
        assert len(places) == 3


def test_retries__lost_calls_are_parsls_to_repeat(folder: Path) -> None:
    costs: list[str] = []

    def handle(error: Exception, record: Any) -> float:
        costs.append(type(error).__name__)
        return 1.0

    with loaded(folder, make_executor(folder), retries=2, retry_handler=handle):
        assert isinstance(dies().exception(), InterpreterLostError)
    assert costs == ["InterpreterLostError"] * 3


# -- blocks --------------------------------------------------------------------------------------------------------------


def test_blocks__start_before_the_first_strategy_tick_and_not_twice(folder: Path) -> None:
    executor = make_executor(folder, provider=LocalProvider(init_blocks=2, min_blocks=0, max_blocks=3))
    with loaded(folder, executor):
        assert sorted(executor.blocks_to_job_id) == ["0", "1"]
        executor.scale_out_facade(2)  # what the strategy asks for first
        assert sorted(executor.blocks_to_job_id) == ["0", "1"]
        executor.scale_out_facade(1)
        assert sorted(executor.blocks_to_job_id) == ["0", "1", "2"]


def test_scale_in__spares_the_block_that_is_busy(folder: Path) -> None:
    executor = make_executor(folder, provider=LocalProvider(init_blocks=3, min_blocks=0, max_blocks=3))
    with loaded(folder, executor):
        path = folder / "go"
        future = waits(str(path))
        busy = wait_for_busy_block(executor, 3)
        ended = executor.scale_in_facade(3)
        assert sorted([*ended, busy]) == ["0", "1", "2"]
        path.touch()
        assert future.result() is None


def wait_for_busy_block(executor: WQPackageExecutor, blocks: int) -> str:
    """Wait until all workers are connected and one of them has the task; tell its block."""
    deadline = time.monotonic() + SECONDS
    counts: dict[str, int] = {}
    while time.monotonic() < deadline:
        counts = executor.count_tasks_by_block()
        if len(counts) == blocks and sum(counts.values()) == 1:
            return next(block for block, count in counts.items() if count)
        time.sleep(0.02)
    raise AssertionError(counts)


def test_worker_that_cannot_start__puts_the_executor_in_bad_state(folder: Path) -> None:
    executor = make_executor(folder, worker_executable="echo no worker here >&2; exit 7;")
    with loaded(folder, executor, strategy_period=0.2):
        error = double(1).exception(timeout=SECONDS)
        assert isinstance(error, BadStateException)
        assert "no worker here" in str(error)
        with pytest.raises(BadStateException):
            double(1).result()


def test_scale_in__block_that_a_task_waits_for__stays(folder: Path) -> None:
    executor = make_executor(folder, init_command=f"while [ ! -e {folder}/go ]; do sleep 0.05; done")
    with loaded(folder, executor):
        future = double(2)
        while not executor.outstanding():  # Parsl submits in a thread of its own
            time.sleep(0.01)
        assert executor.scale_in_facade(1) == []
        (folder / "go").touch()
        assert future.result(timeout=SECONDS) == 4


def test_block_error_handler__of_the_users_own__decides(folder: Path) -> None:
    seen: list[str] = []

    def handle(executor: WQPackageExecutor, status: dict[str, JobStatus]) -> None:
        failed = [block for block, each in status.items() if each.state is JobState.FAILED]
        if failed:
            seen.extend(failed)
            executor.set_bad_state_and_fail_all(RuntimeError("two failed blocks are too many"))

    executor = make_executor(folder, worker_executable="exit 7;", block_error_handler=handle)
    with loaded(folder, executor, strategy_period=0.2):
        error = double(1).exception(timeout=SECONDS)
    assert isinstance(error, BadStateException)
    assert "two failed blocks" in str(error)
    assert "0" in seen


def test_outstanding__counts_cores(folder: Path) -> None:
    with loaded(folder, make_executor(folder)) as executor:
        path = folder / "go"
        futures = [waits(str(path)) for _ in range(3)]
        futures.append(double(1, parsl_resource_specification={"cores": 4}))
        deadline = time.monotonic() + SECONDS
        while executor.outstanding() != 7 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert executor.outstanding() == 7
        path.touch()
        for future in futures[:3]:
            future.result()
        assert executor.outstanding() == 4  # no worker is that large


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from the web")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@python_app
def read(inputs: Any = ()) -> str:
    return Path(inputs[0].filepath).read_text()


def test_staging_as_a_task_of_its_own__needs_no_shared_file_system(folder: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with loaded(folder, make_executor(folder)):
            url = f"http://127.0.0.1:{server.server_port}/page.txt"
            assert read(inputs=[File(url)]).result() == "from the web"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@python_app
def total(numbers: Any) -> tuple[float, str]:
    return float(np.sum(numbers)), sys.prefix


OTHER_ADDRESS = "127.0.0.2"
"""Of this machine, but not the one that the manager takes for loopback: it listens on all."""


def test_address__other_than_loopback__workers_connect_by_tls(folder: Path) -> None:
    executor = make_executor(folder, address=OTHER_ADDRESS)
    with loaded(folder, executor):
        assert double(2).result(timeout=SECONDS) == 4
        assert "--tls-fingerprint" in executor.worker_command
    assert "--tls-fingerprint" not in make_started_command(folder, tls=False, address=OTHER_ADDRESS)
    assert "--tls-fingerprint" in make_started_command(folder, tls=True)


def make_started_command(folder: Path, **options: Any) -> str:
    executor = make_executor(folder, provider=LocalProvider(init_blocks=0, min_blocks=0), **options)
    with loaded(folder, executor):
        return str(executor.worker_command)


@pytest.mark.workqueue
def test_address__real_worker__is_served_without_tls_and_with_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = "--cores 1 --memory 1000 --disk 2000 -t 600"
    executor = make_executor(
        folder,
        pack=True,
        address=OTHER_ADDRESS,
        worker_executable="work_queue_worker",
        worker_options=options,
    )
    with loaded(folder, executor):
        assert do_nothing().result(timeout=SECONDS) == 0
    assert "cannot speak TLS" in caplog.text


@bash_app
def do_nothing() -> str:
    return "true"


@pytest.mark.workqueue
def test_real_work_queue_worker__runs_packaged_apps(folder: Path) -> None:
    (folder / "in").write_text("words\n")
    executor = make_executor(
        folder,
        pack=True,
        worker_executable="work_queue_worker",
        worker_options="--cores 1 --memory 1000 --disk 2000 -t 600",
    )
    with loaded(folder, executor):
        value, prefix = total([1, 2]).result()
        assert value == 3
        assert prefix != sys.prefix
        assert copy(inputs=[File("in")], outputs=[File("results/out")], stdout="log").result() == 0
        with pytest.raises(ZeroDivisionError):
            divide(1, 0).result()
    assert (folder / "results/out").read_text() == "words\n"
    assert (folder / "log").read_text() == "done\n"


@python_app
def divide(x: int, y: int) -> float:
    return x / y


def test_worker_that_is_killed__its_tasks_are_lost_and_another_block_goes_on(folder: Path) -> None:
    executor = make_executor(folder, max_retries=0)
    with loaded(folder, executor):
        future = waits(str(folder / "never"))
        wait_for_busy_block(executor, 1)
        for process in find_workers(executor):
            process.kill()
        error = future.exception(timeout=SECONDS)
        assert isinstance(error, TaskWorkerLostError)
        assert isinstance(error, WorkerLostError)
        executor.scale_out_facade(2)  # the first of them is the strategy's
        assert double(1).result() == 2


KILLED_PROGRAM = """
import sys, time
import parsl
from parsl import Config, python_app
from wq_package.executor import WQPackageExecutor

@python_app
def double(x):
    return 2 * x

executor = WQPackageExecutor(worker_options="--cores 1 --connect-timeout 1 --store " + sys.argv[1])
parsl.load(Config(executors=[executor], run_dir=sys.argv[2], strategy="none", initialize_logging=False))
print(double(1).result(), flush=True)
time.sleep(600)
"""


def test_program_that_is_killed__its_workers_end_by_themselves(folder: Path) -> None:
    (folder / "program.py").write_text(KILLED_PROGRAM)
    command = [sys.executable, "program.py", str(folder / "store"), str(folder / "runs")]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "2\n"
        workers = [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(word.startswith(str(folder / "runs")) for word in process.info["cmdline"] or ())
        ]
        assert workers
    finally:
        program.kill()
        program.communicate()
    _, alive = psutil.wait_procs(workers, timeout=120)
    assert alive == []


# -- configuration -------------------------------------------------------------------------------------------------------


def test_representation__every_argument_is_an_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RepresentationMixin, "_validate_repr", True)
    assert "extra_pkgs=['rich']" in repr(WQPackageExecutor(extra_pkgs=["rich"]))


def test_provider__is_never_shared() -> None:
    assert WQPackageExecutor().provider is not WQPackageExecutor().provider


def test_wrong_argument__is_refused_at_once() -> None:
    with pytest.raises(Exception, match="pack"):
        WQPackageExecutor(pack="yes")  # type: ignore[arg-type]  # what is tested
    with pytest.raises(WQPackageError, match="sometimes"):
        WQPackageExecutor(call_mode="sometimes")


def test_blanks_in_the_run_folder__are_refused_with_a_hint(tmp_path: Path) -> None:
    config = Config(executors=[WQPackageExecutor()], run_dir=str(tmp_path / "my runs"))

    with pytest.raises(WQPackageError, match="blanks") as caught:
        parsl.load(config)

    assert caught.value.hint is not None
    parsl.clear()


def test_missing_password_file__is_named(folder: Path) -> None:
    executor = make_executor(folder, project_password_file="absent")
    executor.run_dir = str(folder)
    with pytest.raises(WQPackageError, match="absent"):
        executor.start()


def test_own_password_file__is_used_and_kept(folder: Path) -> None:
    password = folder / "secret"
    password.write_text("correct horse")
    with loaded(folder, make_executor(folder, project_password_file=str(password))):
        assert double(1).result() == 2
    assert password.exists()


# -- environments --------------------------------------------------------------------------------------------------------


def test_given_environment__is_built_from_its_spec_and_used_for_all(folder: Path) -> None:
    spec = folder / "environment.yml"
    version = ".".join(map(str, sys.version_info[:3]))
    spec.write_text(f"name: mine\ndependencies:\n- python={version}\n- pip\n- pip:\n  - cloudpickle\n")
    with loaded(folder, make_executor(folder, environment=str(spec))) as executor:
        prefix, _ = find_place().result()
        assert double(4).result() == 8
        packed = executor.list_packed()
    assert {each.name for each in packed} == {"find_place", "double"}
    (digest,) = {each.environment.digest for each in packed}
    assert digest in prefix


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("absent.yml", None, "absent.yml"),
        ("broken.yml", "dependencies: 7\n", "broken.yml"),
        ("x.tar.gz", "", "x.tar.gz"),
    ],
)
def test_given_environment__that_cannot_be_had__fails_the_app_with_the_reason(
    folder: Path, name: str, content: str | None, reason: str
) -> None:
    if content is not None:
        (folder / name).write_text(content)
    executor = make_executor(folder, environments={"double": str(folder / name)})
    with loaded(folder, executor):
        error = double(1).exception()
        assert isinstance(error, EnvironmentUnavailableError)
        assert isinstance(error, TaskFailedError)
        assert reason in str(error)
        assert find_place().result()[0] == sys.prefix  # other apps go on


@python_app
def find_version_of_one() -> str:
    from packaging import __version__

    return __version__


@python_app
def find_version_of_other() -> str:
    from packaging import __version__

    return __version__


def test_two_apps__may_need_conflicting_versions(folder: Path) -> None:
    environments = {}
    for name, version in (("one", "23.2"), ("other", "24.1")):
        (folder / name).mkdir()
        spec = folder / name / "requirements.txt"
        spec.write_text(f"packaging=={version}\n")
        environments[f"find_version_of_{name}"] = str(spec)
    with loaded(folder, make_executor(folder, environments=environments)):
        one, other = find_version_of_one(), find_version_of_other()
        assert (one.result(), other.result()) == ("23.2", "24.1")


def test_log__parsls_own_tells_what_is_built(folder: Path) -> None:
    executor = make_executor(folder, pack=True)
    with loaded(folder, executor, initialize_logging=True):
        assert double(1).result() == 2
    log = (Path(executor.run_dir) / "parsl.log").read_text()
    assert log.count("app double: environment ") == 1
    assert log.count("building an environment, because none is kept that has just this: Python 3.") == 1


def test_transaction_log__is_what_the_report_reads(folder: Path) -> None:
    with loaded(folder, make_executor(folder, transaction_log="run.log")):
        assert double(1).result() == 2
        assert isinstance(dies().exception(), InterpreterLostError)
    run = read_run((folder / "run.log").read_text().splitlines())
    assert (run.submitted, len(run.workers)) == (2, 1)
    assert sorted((attempt.category, attempt.end) for attempt in run.tries) == [
        ("dies", TryEnd.FAILED),
        ("double", TryEnd.DONE),
    ]
    report = [sys.executable, "-m", "wq_package_cli", "report", "run.log", "-o", "report.html"]
    done = subprocess.run(report, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "double" in (folder / "report.html").read_text()


def test_transaction_log__that_cannot_be_written__is_told_at_once(folder: Path) -> None:
    executor = make_executor(folder, transaction_log="no/folder/run.log")
    executor.run_dir = str(folder)
    with pytest.raises(QueueError, match=r"`no/folder/run\.log` cannot be written"):
        executor.start()


def test_prepare__makes_environments_before_there_are_tasks(folder: Path) -> None:
    with loaded(folder, make_executor(folder, pack=True)) as executor:
        executor.prepare(double, copy)
        deadline = time.monotonic() + SECONDS
        while len(executor.list_packed()) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert {packed.name for packed in executor.list_packed()} == {"double", "copy"}
        assert double(1).result() == 2
        assert len(executor.list_packed()) == 2


PROGRAM = """
import sys, time
import parsl
from parsl import Config, python_app
from wq_package.executor import WQPackageExecutor

LIMIT = 10

def clip(x):
    return min(x, LIMIT)

@python_app
def total(numbers):
    import sys
    return clip(sum(numbers)), sys.prefix

if __name__ == "__main__":
    executor = WQPackageExecutor(pack=True, cache_dir=sys.argv[1], worker_options="--store " + sys.argv[2])
    with parsl.load(Config(executors=[executor], strategy="none", initialize_logging=False)):
        value, prefix = total([1, 20]).result()
        built = executor.list_packed()[0].built.layers_built
    print(value, "/envs/" in prefix, built)
"""


def test_script__app_in_main__second_run_builds_nothing(folder: Path) -> None:
    (folder / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", str(folder / "cache"), str(folder / "store")]
    outputs = []
    for _ in range(2):
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=folder
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout.split())
    assert outputs[0][:2] == ["10", "True"]
    assert int(outputs[0][2]) > 0
    assert outputs[1] == ["10", "True", "0"]

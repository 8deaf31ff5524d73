"""Our worker, run as a process, with Debian's Work Queue manager."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.workqueue

SECONDS = 180
NEWER = os.environ.get("WQ_PACKAGE_NEWER_WORK_QUEUE", "")
"""A folder with the programs of a newer Work Queue, and a `python3` that can import it: see `recipes/newer-work-queue`."""


@dataclass(frozen=True)
class Kind:
    """A manager's Python, and how many workers it loses because it refuses the first number that ours greets with."""

    python: str = "/usr/bin/python3"
    lost: int = 0


kind = Kind()


@pytest.fixture(autouse=True, params=["debian", *["newer"] * bool(NEWER)])
def _kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test run with Debian's manager, and with a newer one if there is any here."""
    if request.param == "newer":
        monkeypatch.setattr(f"{__name__}.kind", Kind(f"{NEWER}/python3", 1))


MANAGER = """
import json, os, sys
import work_queue as wq

folder, script = sys.argv[1:3]
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # newer managers print warnings
queue = wq.WorkQueue(port=0)
queue.tune("proportional-resources", 0)  # a newer manager gives tasks more than they declare
if os.path.exists(folder + "/password"):
    assert queue.specify_password_file(folder + "/password")
print(queue.port, file=answers, flush=True)
results = []

def submit(command, cores=1, **options):
    task = wq.Task(command)
    for place, name, cache in options.get("inputs", ()):
        task.specify_input_file(place, name, cache=cache)
    for place, name in options.get("folders", ()):
        task.specify_directory(place, name, type=wq.WORK_QUEUE_INPUT, recursive=True)
    for text, name in options.get("buffers", ()):
        task.specify_buffer(text, name)
    for place, name in options.get("outputs", ()):
        task.specify_output_file(place, name)
    for name, value in options.get("variables", {}).items():
        task.specify_environment_variable(name, value)
    if cores is not None:
        task.specify_cores(cores); task.specify_memory(10); task.specify_disk(10); task.specify_gpus(0)
    if "end_time" in options:
        task.specify_end_time(options["end_time"])
    if "tag" in options:
        task.specify_tag(options["tag"])
    return queue.submit(task)

def collect(count, seconds=700, sign=""):
    import time
    limit = time.time() + seconds
    while count and time.time() < limit and not os.path.exists(sign):
        task = queue.wait(1)
        if task:
            count -= 1
            results.append({"tag": task.tag, "result": task.result, "code": task.return_status,
                            "output": task.output, "usec": task.cmd_execution_time})

exec(script)
stats = queue.stats
print(json.dumps({"results": results, "removed": stats.workers_removed, "joined": stats.workers_joined,
                  "sent": stats.bytes_sent,
                  "lost": stats.workers_lost}), file=answers, flush=True)
sys.stdin.read()
queue.shutdown_workers(0)
"""


@dataclass
class Outcome:
    """What the manager saw, and how the worker ended."""

    results: list[dict[str, Any]]
    told: dict[str, Any]
    worker_code: int
    worker_errors: str
    workdir: Path


class Pair:
    """A manager with a script of its own, and our workers."""

    def __init__(self, folder: Path, script: str, password: bytes | None = None) -> None:
        if password is not None:
            (folder / "password").write_bytes(password)
        self.folder = folder
        self.manager = subprocess.Popen(
            [kind.python, "-c", MANAGER, str(folder), script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        assert self.manager.stdout is not None
        self.port = self.manager.stdout.readline().strip()
        self.workers: list[subprocess.Popen[str]] = []

    def start_worker(self, *options: str) -> subprocess.Popen[str]:
        resources = ["--cores", "4", "--memory", "1000", "--disk", "1000", "--single-shot", "-t", "200"]
        place = ["--workdir", str(self.folder / "workdir")]
        command = [
            sys.executable,
            "-m",
            "wq_package_cli",
            "worker",
            "127.0.0.1",
            self.port,
            *resources,
            *place,
            *options,
        ]
        worker = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, "BASE": "inherited"}
        )
        self.workers.append(worker)
        return worker

    def finish(self) -> Outcome:
        """Wait until the script, the manager and the last worker have ended."""
        assert self.manager.stdin is not None
        assert self.manager.stdout is not None
        told = json.loads(self.manager.stdout.readline())
        self.manager.stdin.close()
        _, errors = self.workers[-1].communicate(timeout=SECONDS)
        assert self.manager.wait(timeout=SECONDS) == 0
        return Outcome(told["results"], told, self.workers[-1].returncode, errors, self.folder / "workdir")

    def close(self) -> None:
        for process in (self.manager, *self.workers):
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


def run_pair(folder: Path, script: str, *options: str, password: bytes | None = None) -> Outcome:
    """Run a manager with a script of its own and our worker, until the script has ended."""
    pair = Pair(folder, script, password)
    try:
        pair.start_worker(*options)
        return pair.finish()
    finally:
        pair.close()


def run_pair_without_success(folder: Path, *options: str, password: bytes | None = None) -> Outcome:
    """Run a manager with a task and our worker, until the worker has ended."""
    sign = folder / "the worker has ended"
    pair = Pair(folder, f"submit('echo in'); collect(1, sign={str(sign)!r})", password)
    try:
        pair.start_worker(*options).wait(SECONDS)
        sign.touch()
        return pair.finish()
    finally:
        pair.close()


def wait_for(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def assert_left_well(outcome: Outcome) -> None:
    assert outcome.worker_code == 0, outcome.worker_errors
    assert "Traceback" not in outcome.worker_errors
    assert outcome.told["lost"] == kind.lost
    assert outcome.told["removed"] - outcome.told["lost"] in (0, -kind.lost)
    assert list(outcome.workdir.iterdir()) == []


def test_task__every_kind_of_file__arrives_and_comes_back(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("hello input\n")
    (tmp_path / "with space.txt").write_text("spaced\n")
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (tmp_path / "folder" / "run.sh").chmod(0o755)
    (tmp_path / "folder" / "sub" / "b c.txt").write_text("BBBB")
    script = """
submit("cat in.txt 'in/sp.txt' buffer.dat 'dir_in/sub/b c.txt'; dir_in/run.sh; echo out > out.txt; "
       "mkdir -p outd/deep; echo one > outd/1; echo two > outd/deep/2; ln -s ../out.txt outd/link",
       inputs=[("in.txt", "in.txt", True), ("with space.txt", "in/sp.txt", False)],
       folders=[("folder", "dir_in")], buffers=[("literal ", "buffer.dat")],
       outputs=[("back.txt", "out.txt"), ("back", "outd")])
collect(1)
"""
    outcome = run_pair(tmp_path, script)

    assert outcome.results[0]["result"] == 0
    assert outcome.results[0]["output"] == "hello input\nspaced\nliteral BBBBran\n"
    assert (tmp_path / "back.txt").read_text() == "out\n"
    assert (tmp_path / "back" / "1").read_text() == "one\n"
    assert (tmp_path / "back" / "deep" / "2").read_text() == "two\n"
    assert (tmp_path / "back" / "link").read_text() == "out\n"
    assert_left_well(outcome)


def test_task__writes_to_its_input__does_not_alter_it_for_others(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("clean\n")
    (tmp_path / "big.bin").write_bytes(bytes(1 << 20))
    script = """
for _ in range(4):
    submit("echo dirty >> in.txt; cat in.txt; chmod 0 in.txt; echo x >> big.bin; wc -c < big.bin",
           inputs=[("in.txt", "in.txt", True), ("big.bin", "big.bin", True)])
collect(4)
"""
    outcome = run_pair(tmp_path, script)

    assert {result["output"] for result in outcome.results} == {"clean\ndirty\n1048578\n"}
    assert_left_well(outcome)


def test_task__variables__are_those_that_work_queue_promises(tmp_path: Path) -> None:
    script = """
submit('echo "$FOO|$BASE|$CORES|$OMP_NUM_THREADS|$MEMORY|$DISK|$GPUS|${DISPLAY-unset}"; pwd; '
       'echo $WORK_QUEUE_SANDBOX; touch $TMPDIR/x && [ "$TMPDIR" = "$TMP" ] && echo temporary; cat; ulimit -n >/dev/null; '
       'ls /proc/self/fd', variables={"FOO": "bar 'baz'"}, cores=2)
submit('echo $CORES', cores=None, tag="whole")
collect(2)
"""
    outcome = run_pair(tmp_path, script)

    by_tag = {result["tag"]: result["output"] for result in outcome.results}
    first, folder, sandbox, temporary, *descriptors = by_tag[None].splitlines()
    assert first == "bar 'baz'|inherited|2|2|10|10||unset"
    assert folder.startswith(sandbox + "/t.")
    assert sandbox.startswith(str(outcome.workdir))
    assert temporary == "temporary"
    assert descriptors == ["0", "1", "2", "3"]  # the last is that of `ls` itself
    assert by_tag["whole"] == "4\n"
    assert_left_well(outcome)


def test_task__any_end__is_told_as_work_queue_does(tmp_path: Path) -> None:
    script = """
import time
open("plain", "w").write("#!/bin/sh\\n")
submit("exit 3", tag="fails")
submit("true", inputs=[("absent.txt", "absent.txt", True)], tag="no input")
submit("./plain", inputs=[("plain", "plain", True)], tag="not executable")
submit("no-such-command", tag="not found")
submit("kill -9 $$", tag="killed")
submit("true", outputs=[("never.txt", "never.txt")], tag="no output")
submit("sleep 60", end_time=int((time.time() + 1) * 1e6), tag="late")
submit("head -c 300000 /dev/zero | tr '\\\\0' x", tag="much")
submit("sleep 60 & echo started", tag="leaves a child")
submit("setsid sh -c 'echo $$ > %s/daemon; sleep 600' & while [ ! -s %s/daemon ]; do :; done" % (folder, folder))
collect(10)
"""
    outcome = run_pair(tmp_path, script)

    ends = {result["tag"]: (result["result"], result["code"]) for result in outcome.results}
    assert ends["fails"] == (0, 3)
    assert ends["not found"] == (0, 127)
    assert ends["no input"][0] == 1
    assert ends["not executable"] == (0, 126)
    assert ends["killed"] == (0, 9)
    assert ends["no output"] == (2, 0)
    assert ends["late"][0] == 24
    assert ends["leaves a child"] == ends[None] == (0, 0)
    assert not Path(f"/proc/{(tmp_path / 'daemon').read_text().strip()}").exists()
    assert {result["tag"]: len(result["output"] or "") for result in outcome.results}["much"] == 300_000
    assert_left_well(outcome)


def test_task__wall_time_over__is_killed_with_its_children(tmp_path: Path) -> None:
    script = """
task = wq.Task("sh -c 'echo $$ > %s/pid; sleep 60' ; true" % folder)
task.specify_cores(1); task.specify_memory(1); task.specify_disk(1); task.specify_gpus(0)
task.specify_running_time(1)
queue.submit(task)
collect(1)
"""
    outcome = run_pair(tmp_path, script)

    assert [result["result"] for result in outcome.results] == [56]
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    assert_left_well(outcome)


def test_task__cancelled_while_it_runs__is_gone_and_its_place_is_free(tmp_path: Path) -> None:
    script = """
import time
number = submit("echo $$ > %s/pid; sleep 60" % folder, cores=4)
while not os.path.exists(folder + "/pid"):
    queue.wait(1)
queue.cancel_by_taskid(number)
submit("echo next", cores=4)
collect(1)
"""
    outcome = run_pair(tmp_path, script)

    assert [result["output"] for result in outcome.results] == ["next\n"]
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    assert_left_well(outcome)


def test_tasks__thousand__each_comes_back_once(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("shared")
    script = """
for index in range(1000):
    submit("cat in.txt; echo -%d" % index, inputs=[("in.txt", "in.txt", True)], tag=str(index))
collect(1000)
"""
    outcome = run_pair(tmp_path, script)

    assert {result["tag"]: result["output"] for result in outcome.results} == {
        str(index): f"shared-{index}\n" for index in range(1000)
    }
    assert_left_well(outcome)


def test_environment_archive__many_tasks__travels_once(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").write_text("#!/bin/sh\necho tool $1\n")
    (tmp_path / "bin" / "tool").chmod(0o755)
    (tmp_path / "bin" / "ballast").write_bytes(os.urandom(1_000_000))
    subprocess.run(["tar", "-czf", "env.tar.gz", "bin"], cwd=tmp_path, check=True)
    script = """
for index in range(20):
    submit("tar -xzf env.tar.gz && bin/tool %d" % index, inputs=[("env.tar.gz", "env.tar.gz", True)])
collect(20)
"""
    outcome = run_pair(tmp_path, script)

    assert {result["output"] for result in outcome.results} == {f"tool {index}\n" for index in range(20)}
    assert 1_000_000 < outcome.told["sent"] < 1_200_000
    assert_left_well(outcome)


def test_task__long_command_and_many_variables__runs(tmp_path: Path) -> None:
    script = """
submit("echo " + "x" * 100_000 + " | wc -c", variables={"V%d" % i: "y" * 3000 for i in range(40)})
collect(1)
"""
    outcome = run_pair(tmp_path, script)

    assert outcome.results[0]["output"] == "100001\n"
    assert_left_well(outcome)


def test_worker__killed_with_a_task_running__the_task_runs_elsewhere_and_nothing_stays(
    tmp_path: Path,
) -> None:
    script = """
submit("echo $$ >> %s/pids; [ -e %s/go ] || sleep 600; echo done" % (folder, folder))
collect(1)
"""
    pids = tmp_path / "pids"
    pair = Pair(tmp_path, script)
    try:
        first = pair.start_worker()
        wait_for(lambda: pids.exists() and pids.read_text())
        (tmp_path / "go").touch()
        first.kill()
        wait_for(lambda: not Path(f"/proc/{pids.read_text().split()[0]}").exists())
        pair.start_worker()
        outcome = pair.finish()
    finally:
        pair.close()

    assert [result["output"] for result in outcome.results] == ["done\n"]
    assert len(pids.read_text().split()) == 2
    assert outcome.worker_code == 0


def test_task__words_and_names_beyond_ascii__do_not_hurt_the_worker(tmp_path: Path) -> None:
    (tmp_path / "caf\u00e9.txt").write_text("x")
    script = """
submit("echo caf\u00e9 $NAME; ls | wc -l", inputs=[("caf\u00e9.txt", "caf\u00e9.txt", True)], variables={"NAME": "\u00fcber"})
collect(1)
"""
    outcome = run_pair(tmp_path, script)

    assert outcome.results[0]["output"] == "caf\u00e9 \u00fcber\n1\n"
    assert_left_well(outcome)


def test_task__input_made_by_a_command_at_the_worker__is_there(tmp_path: Path) -> None:
    script = """
task = wq.Task("cat made.txt made.txt")
words = ("echo made > %%", "made.txt")
newer = hasattr(wq.Task, "specify_coprocess")
task.specify_file_command(*words if newer else reversed(words), type=wq.WORK_QUEUE_INPUT, cache=True)
queue.submit(task)
collect(1)
"""
    outcome = run_pair(tmp_path, script)

    assert outcome.results[0]["output"] == "made\nmade\n"
    assert_left_well(outcome)


def test_task__watched_output__is_seen_while_it_runs(tmp_path: Path) -> None:
    script = """
task = wq.Task("echo first > log; while [ ! -e %s/go ]; do sleep 0.05; done; echo second >> log" % folder)
task.specify_cores(1); task.specify_memory(10); task.specify_disk(10); task.specify_gpus(0)
task.specify_file("log.txt", "log", wq.WORK_QUEUE_OUTPUT, wq.WORK_QUEUE_WATCH)
queue.submit(task)
while not (os.path.exists("log.txt") and open("log.txt").read() == "first\\n"):
    assert queue.wait(1) is None
open("go", "w").close()
collect(1)
"""
    outcome = run_pair(tmp_path, script)

    assert outcome.results[0]["result"] == 0
    assert (tmp_path / "log.txt").read_text() == "first\nsecond\n"
    assert_left_well(outcome)


def test_task__features__are_found(tmp_path: Path) -> None:
    script = """
task = wq.Task("echo featured")
task.specify_feature("my feat")
queue.submit(task)
collect(1)
"""
    outcome = run_pair(tmp_path, script, "--feature", "my feat")

    assert outcome.results[0]["output"] == "featured\n"
    assert_left_well(outcome)


@pytest.mark.parametrize("password", [b"sesame\n", b"\xff\xfe raw \r\n\n"], ids=["line", "raw bytes"])
def test_password__right__is_let_in(tmp_path: Path, password: bytes) -> None:
    options = ("--password-file", str(tmp_path / "password"))
    outcome = run_pair(tmp_path, "submit('echo in'); collect(1)", *options, password=password)

    assert outcome.results[0]["output"] == "in\n"
    assert_left_well(outcome)


@pytest.mark.parametrize("given", [b"wrong\n", b"sesame", None], ids=["wrong", "no newline", "missing"])
def test_password__not_right__one_sentence_and_code_6(tmp_path: Path, given: bytes | None) -> None:
    options: tuple[str, ...] = ()
    if given is not None:
        (tmp_path / "mine").write_bytes(given)
        options = ("--password-file", str(tmp_path / "mine"))
    outcome = run_pair_without_success(tmp_path, *options, password=b"sesame\n")

    assert outcome.results == []
    assert outcome.worker_code == 6
    assert "password" in outcome.worker_errors
    assert "hint:" in outcome.worker_errors
    assert "Traceback" not in outcome.worker_errors


def test_password__offered_to_a_manager_without__one_sentence_and_code_6(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"sesame\n")
    outcome = run_pair_without_success(tmp_path, "--password-file", str(tmp_path / "mine"))

    assert outcome.results == []
    assert outcome.worker_code == 6
    assert "password" in outcome.worker_errors
    assert "Traceback" not in outcome.worker_errors


def test_task__over_its_memory_or_disk__is_a_resource_exhaustion_if_the_worker_enforces(
    tmp_path: Path,
) -> None:
    script = """
hold = "python3 -c 'import time; area = bytes([1]) * (60 << 20); time.sleep(600)'"
submit(hold, tag="memory")
submit("head -c 30m /dev/zero > large; sleep 600", tag="disk")
submit("echo small", tag="neither")
collect(3)
"""
    outcome = run_pair(
        tmp_path, script.replace("python3 -c", f"{sys.executable} -I -S -c"), "--enforce-limits"
    )

    results = {result["tag"]: result["result"] for result in outcome.results}
    assert results == {"memory": 16, "disk": 16, "neither": 0}
    assert_left_well(outcome)


def test_task__under_the_monitor_of_its_manager__is_measured_by_it(tmp_path: Path) -> None:
    script = """
queue.enable_monitoring(folder + "/measured", False)
submit("echo watched", tag="watched")
collect(1)
"""
    outcome = run_pair(tmp_path, script)

    assert [(result["result"], result["output"]) for result in outcome.results] == [(0, "watched\n")]
    assert list((tmp_path / "measured").iterdir())

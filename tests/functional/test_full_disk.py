"""A disk that is full, on either side: the task whose files it cannot hold fails with a sentence, others go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SECONDS = 240

_PROGRAM = """
import json, subprocess, sys
from pathlib import Path
from wq_package.manager import BlockingManager, ManagerOptions
from wq_package.task import OutputFile, Resources, Task

disk, fine = sys.argv[1:3]
small = Resources(1, 10, 30)
with BlockingManager(ManagerOptions(password=None)) as manager:
    command = [sys.executable, "-m", "wq_package_cli", "worker", "127.0.0.1", str(manager.port), "--single-shot", "--cores", "1"]
    command += ["--memory", "100", "--disk", "100", "--workdir", fine, "--store", fine + "/store"]
    worker = subprocess.Popen(command)
    output = (OutputFile("out", disk + "/out"),)
    results = []
    for command in ("head -c 20000000 /dev/zero > out", "echo fine > out"):
        manager.submit(Task(command=command, resources=small, outputs=output))
        results.append(manager.wait(200))
    told = [[result.code.name, result.message] for result in results if result]
    left = [[path.name, path.read_text()] for path in Path(disk).iterdir()]
    print(json.dumps([told, left, manager.statistics().workers_lost]))
worker.wait(60)
"""


_WORKER_PROGRAM = """
import json, os, subprocess, sys
from pathlib import Path
from wq_package.manager import BlockingManager, ManagerOptions
from wq_package.task import InputFile, Resources, Task

disk, fine = sys.argv[1:3]
large, folder = Path(fine, "large"), Path(fine, "folder")
large.write_bytes(os.urandom(20_000_000))
folder.mkdir()
(folder / "first").write_text("small")
os.link(large, folder / "large")
(folder / "the last").mkdir()
inputs = [InputFile("in", str(large), cache=False), InputFile("in", str(large)), InputFile("in", str(folder))]
with BlockingManager(ManagerOptions(password=None)) as manager:
    command = [sys.executable, "-m", "wq_package_cli", "worker", "127.0.0.1", str(manager.port), "--single-shot", "--cores", "4"]
    command += ["--memory", "100", "--disk", "100", "--workdir", disk, "--store", disk + "/store"]
    worker = subprocess.Popen(command)
    waits = f"while ! test -e {fine}/go; do sleep 0.1; done"
    first = manager.submit(Task(command=waits, resources=Resources(1, 10, 1)))
    told = []
    for number, given in enumerate(inputs):
        small = Resources(1, 11 + number, 1)
        manager.submit(Task(command="cat in", resources=small, inputs=(given,), max_retries=0))
        result = manager.wait(200)
        told.append([result.code.name, result.message])
    Path(fine, "go").touch()
    told.append(manager.wait(200).code.name)
    manager.submit(Task(command="cat in", resources=Resources(1, 20, 1), inputs=(InputFile("in", content=b"room"),)))
    told.append(manager.wait(200).output.decode())
    print(json.dumps([told, [], manager.statistics().workers_lost]))
worker.wait(60)
"""


@pytest.mark.root
def test_disk__full_at_the_worker__the_task_fails_alone(tmp_path: Path) -> None:
    told, _, lost = run_with_small_disk(_WORKER_PROGRAM, tmp_path)
    refused = ["DISK_FULL", "the worker's disk is full"]
    assert told == [refused, refused, refused, "SUCCESS", "room"]
    assert lost == 0


@pytest.mark.root
def test_disk__full__its_task_fails_alone_and_nothing_is_left(tmp_path: Path) -> None:
    told, left, lost = run_with_small_disk(_PROGRAM, tmp_path)
    message = f"output file `{tmp_path}/disk/out` cannot be stored: No space left on device"
    assert told == [["OUTPUT_MISSING", message], ["SUCCESS", ""]]
    assert (left, lost) == ([["out", "fine\n"]], 0)


def run_with_small_disk(program: str, tmp_path: Path) -> list[Any]:
    """Run a program with the paths of a disk of 8 MB and of one that has room, and read what it prints."""
    disk, fine = tmp_path / "disk", tmp_path / "fine"
    disk.mkdir()
    fine.mkdir()
    # A file system of its own, which goes with the process that mounted it.
    script = f'mount -t tmpfs -o size=8m none {disk} && "$0" -c "$1" {disk} {fine}'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable, program],
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * SECONDS,
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr}")
    assert "Traceback" not in done.stderr, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found

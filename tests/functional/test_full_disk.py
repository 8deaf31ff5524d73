"""A disk that is full on the manager's side: the task whose output it cannot hold fails with a sentence, others go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.root
def test_disk__full__its_task_fails_alone_and_nothing_is_left(tmp_path: Path) -> None:
    disk, fine = tmp_path / "disk", tmp_path / "fine"
    disk.mkdir()
    fine.mkdir()
    # A file system of its own, which goes with the process that mounted it.
    script = f'mount -t tmpfs -o size=8m none {disk} && "$0" -c "$1" {disk} {fine}'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable, _PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * SECONDS,
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr}")
    assert "Traceback" not in done.stderr, done.stderr
    told, left, lost = json.loads(done.stdout)
    message = f"output file `{disk}/out` cannot be stored: No space left on device"
    assert told == [["OUTPUT_MISSING", message], ["SUCCESS", ""]]
    assert (left, lost) == ([["out", "fine\n"]], 0)

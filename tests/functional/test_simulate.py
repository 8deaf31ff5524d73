"""The simulator runs a transaction log or a trace of others again, with every strategy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from manager_programs import SECONDS

SIMULATE = Path(__file__).parents[2] / "benchmarks" / "simulate.py"
BOX = {"cores": 4, "memory_mb": 1000, "disk_mb": 1000, "gpus": 0}


def write_log(path: Path, memories: list[int]) -> None:
    """Write the log of a run in which each task used one core and so much memory for ten seconds."""
    records: list[dict[str, object]] = [
        {"event": "log-started", "version": 1, "host": "h", "port": 1, "project": ""}
    ]
    for task, memory in enumerate(memories, 1):
        used = {"wall_time": 10.0, "cpu_time": 10.0, "cores": 1.0, "memory_mb": memory, "disk_mb": 1}
        records.append({"event": "task-submitted", "task": task, "category": "c"})
        records.append({"event": "task-sent", "task": task, "worker": 1, "try": 1, "box": BOX})
        records.append({"event": "task-ended", "task": task, "code": "success", "exit_code": 0, "used": used})
    path.write_text(
        "".join(json.dumps({**record, "time": 1.0 + at}) + "\n" for at, record in enumerate(records))
    )


def simulate(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SIMULATE), "--workers", "1", "--cores", "4", "--memory", "1000"]
    command += [str(option) for option in options]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def read_seconds(printed: str) -> dict[str, float]:
    """Read how long each strategy took."""
    return {line.split()[1]: float(line.split()[2]) for line in printed.splitlines()[2:]}


def test_simulate__transaction_log__runs_its_tasks_with_every_strategy(tmp_path: Path) -> None:
    write_log(tmp_path / "run.log", [100] * 40)

    done = simulate("--log", tmp_path / "run.log")

    assert done.returncode == 0, done.stderr
    seconds = read_seconds(done.stdout)
    assert seconds["oracle"] == seconds["maximum"] == 100
    assert seconds["unmanaged"] == 400
    assert 100 <= seconds["adaptive"] < 200


def test_simulate__nothing_measured__says_so(tmp_path: Path) -> None:
    write_log(tmp_path / "run.log", [])

    done = simulate("--log", tmp_path / "run.log")

    assert done.returncode == 1
    assert done.stderr.endswith("no task of its last run ended and was measured\n")


def test_simulate__trace__keeps_categories_and_times_the_untimed(tmp_path: Path) -> None:
    tasks = [*["small,1,100,1,9,10"] * 20, *["small,1,90.5,1,0,0"] * 20, *["large,2,400,5,9,20"] * 4]
    (tmp_path / "tasks.csv").write_text("\n".join(["category,cores,memory,disk,cpu_time,wall_time", *tasks]))

    done = simulate("--trace", tmp_path / "tasks.csv")

    assert done.returncode == 0, done.stderr
    seconds = read_seconds(done.stdout)
    assert seconds["oracle"] == seconds["maximum"] == 40 * 10 / 4 + 4 * 20 / 2
    assert seconds["guess"] == 40 * 10 / 4 + 4 * 20  # 600 MB for each of the large
    assert seconds["unmanaged"] == 40 * 10 + 4 * 20


HEADING = "category,cores,memory,disk,wall_time\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("category,cores,memory,disk\na,1,2,3\n", "its first line names no column 'wall_time'"),
        (HEADING + "a,1,2,3,4\na,1,many,3,4\n", "line 3: memory is 'many', not a number from 0 on"),
        (HEADING + "a,1,2\n", "line 2: disk is '', not a number from 0 on"),
        (HEADING + "a,1,2,3,4\nb,1,2,3,0\n", "no task of category 'b' has a wall_time above 0"),
        (HEADING + "a,1,2000,3,4\n", "more than a worker has; give more with --cores, --memory and --disk"),
    ],
)
def test_simulate__unusable_trace__says_why(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "tasks.csv").write_text(text)

    done = simulate("--trace", tmp_path / "tasks.csv")

    assert done.returncode == 1
    assert done.stderr.endswith(f"{said}\n")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--strategies", "oracle,adaptiv", "there is no 'adaptiv'; there are oracle, adaptive, "),
        ("--shapes", "normal,", "there is no ''; there are normal, "),
        ("--tasks", "0", "'0' is not a whole number from 1 on"),
        ("--peak", "1.5", "'1.5' is not a number from 0 to 1"),
    ],
)
def test_simulate__option_that_makes_no_sense__is_refused_before_anything_runs(
    option: str, value: str, said: str
) -> None:
    done = simulate(option, value)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(f"simulate.py: error: argument {option}: {said}")


def test_simulate__no_such_trace__says_so(tmp_path: Path) -> None:
    done = simulate("--trace", tmp_path / "none.csv")

    assert done.returncode == 1
    assert done.stderr == f"{tmp_path / 'none.csv'}: No such file or directory\n"

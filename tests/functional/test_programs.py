"""Programs that work for us end with us, together with what they started."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress

import psutil  # type: ignore[import-untyped]  # it has no stubs
import pytest

from processes import wait_until_ended
from wq_package.programs import run_program, start_program


def test_run_program__fails_and_writes_what_is_no_text__is_told() -> None:
    done = run_program(["sh", "-c", r'printf "\377a"; echo "$VALUE" >&2; exit 3'], environ={"VALUE": "b"})

    assert (done.returncode, done.stdout, done.stderr) == (3, "\ufffda", "b\n")


def test_run_program__takes_too_long__is_killed() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run_program(["sleep", "100000"], seconds=0.1)


def test_start_program__has_a_session_of_its_own() -> None:
    with start_program(["cat"]) as program:
        assert os.getsid(program.pid) == program.pid
    assert program.returncode == 0  # its standard input ended


def test_start_program__left_by_an_exception__is_killed_with_what_it_started() -> None:
    with suppress(KeyError), start_program(["sh", "-c", "sleep 100000 & echo $!; wait"]) as program:
        assert program.stdout is not None
        started = psutil.Process(int(program.stdout.readline()))
        raise KeyError

    wait_until_ended([started])
    assert program.returncode == -9

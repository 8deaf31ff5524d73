"""Tasks that write where they should not: what one does to its environment, no other task sees."""

from __future__ import annotations

import asyncio
import errno
import importlib
import subprocess
from pathlib import Path

import pytest

from worker_peers import make_environment, pair
from wq_package.protocol import messages as m
from wq_package.worker.process import Program, ProgramEnd, Spawner


def deface(prefix: str) -> list[int]:
    """Try to change an environment in every way; give the numbers of the errors."""
    root = Path(prefix)
    numbers = []
    for change in (
        lambda: (root / "site/one.py").chmod(0o666),
        lambda: (root / "site/one.py").write_text("x = 7\n"),
        lambda: (root / "site/new.py").write_text("x = 7\n"),
        lambda: (root / "site/one.py").unlink(),
        lambda: root.rename(f"{prefix}.gone"),
    ):
        try:
            change()
            numbers.append(0)
        except OSError as error:
            numbers.append(error.errno or -1)
    return numbers


def find_prefix() -> str:
    place = importlib.import_module("one").__file__
    assert place is not None
    return str(Path(place).parents[1])


def can_mount() -> bool:
    """Whether this user may have mounts of its own: not in most containers."""
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="this kernel or container gives us no mounts of our own")
@pytest.mark.parametrize("mode", ["in-place", "fork"])
def test_call__that_writes_into_its_environment__cannot(tmp_path: Path, mode: str) -> None:
    async def run() -> None:
        environment = make_environment({"one.py": b"x = 1\n"})
        async with pair(tmp_path) as (manager, _):
            assert isinstance(await manager.offer(environment), m.EnvironmentReady)
            prefix = (await manager.run(find_prefix, environment=environment.digest, mode=mode)).value
            answer = await manager.run(deface, prefix, environment=environment.digest, mode=mode)
            assert answer.value == [errno.EROFS] * 5, answer
            layers = Path(prefix).parents[1] / "layers"
            paths = [str(path) for path in layers.iterdir() if path.is_dir()]
            for path in paths:  # nor what other environments are made of
                answer = await manager.run(deface, path, environment=environment.digest, mode=mode)
                assert set(answer.value) <= {errno.EROFS, errno.ENOENT}
            other = make_environment({"two.py": b"x = 2\n"})
            assert isinstance(await manager.offer(other), m.EnvironmentReady)  # the worker still writes there

    asyncio.run(run())


async def _run_in(spawner: Spawner, folder: Path, command: str) -> ProgramEnd:
    ended: asyncio.Future[ProgramEnd] = asyncio.get_running_loop().create_future()
    spawner.start(Program(("/bin/sh", "-c", command), str(folder)), ended.set_result)
    return await ended


async def _protect(spawner: Spawner, folder: Path) -> int:
    told: asyncio.Future[ProgramEnd] = asyncio.get_running_loop().create_future()
    spawner.protect((str(folder),), told.set_result)
    return (await told).errno


@pytest.mark.skipif(not can_mount(), reason="this kernel or container gives us no mounts of our own")
@pytest.mark.parametrize("by_user", [False, True])
def test_protect__programs__see_the_folder_read_only_and_we_do_not(tmp_path: Path, by_user: bool) -> None:
    async def run() -> None:
        kept = tmp_path / "kept"
        kept.mkdir()
        spawner = Spawner(tmp_path, by_user=by_user)
        try:
            assert await _protect(spawner, kept) == 0
            assert (await _run_in(spawner, tmp_path, "echo > kept/one 2>/dev/null")).exit_code != 0
            assert (await _run_in(spawner, tmp_path, "echo > other")).exit_code == 0
            (kept / "two").touch()
            assert (await _run_in(spawner, tmp_path, "test -e kept/two")).exit_code == 0
        finally:
            spawner.close()
        assert sorted(path.name for path in kept.iterdir()) == ["two"]

    asyncio.run(run())


def test_protect__folder_that_is_not_there__is_told_and_programs_run_on(tmp_path: Path) -> None:
    async def run() -> None:
        spawner = Spawner(tmp_path)
        try:
            assert await _protect(spawner, tmp_path / "absent") != 0
            assert (await _run_in(spawner, tmp_path, "true")).exit_code == 0
        finally:
            spawner.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "program",
    [
        Program(("/bin/echo", "one\0two"), "/"),
        Program(("/bin/true",), "/", variables={"NAME": "one\0two"}),
        Program(("/bin/true",), "/", variables={"NA\0ME": "one"}),
    ],
    ids=["argument", "value", "name"],
)
def test_start__nul_in_a_word__is_told_and_others_run_on(tmp_path: Path, program: Program) -> None:
    async def run() -> None:
        spawner = Spawner(tmp_path)
        try:
            ended: asyncio.Future[ProgramEnd] = asyncio.get_running_loop().create_future()
            spawner.start(program, ended.set_result)
            assert (await ended).errno == errno.EINVAL
            assert (await _run_in(spawner, tmp_path, "exit 3")).exit_code == 3
        finally:
            spawner.close()

    asyncio.run(run())

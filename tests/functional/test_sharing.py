"""The examples of the Work Queue and Parsl talk, with a real worker of 8 cores: who shares it, and who may not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from manager_programs import PASSWORD, SECONDS, Programs
from wq_package.manager import BlockingManager, ManagerOptions
from wq_package.task import Resources, Task

CORES = (4, 3, 1)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[BlockingManager]:
    programs = Programs(tmp_path)
    try:
        with BlockingManager(ManagerOptions(password=PASSWORD)) as manager:
            programs.start("ours", manager.port, cores=8)
            yield manager
    finally:
        programs.stop()


def run(manager: BlockingManager, commands: list[str], disk: int | None) -> list[int]:
    """Run one task of each number of cores; give their exit codes."""
    for cores, command in zip(CORES, commands, strict=True):
        manager.submit(Task(command=command, resources=Resources(cores, 100, disk)))
    results = [manager.wait(SECONDS) for _ in CORES]
    return [result.exit_code if result is not None else -1 for result in results]


def test_worker__all_declared__4_and_3_cores_run_together_and_1_more_fits(
    manager: BlockingManager, tmp_path: Path
) -> None:
    met = tmp_path / "met"
    met.mkdir()
    # Each waits until all three are there: without the others beside it, none would end.
    wait = f'cd "{met}"; while [ "$(ls | wc -l)" -lt 3 ]; do sleep 0.05; done'

    assert run(manager, [f'touch "{met}/{cores}"; {wait}' for cores in CORES], disk=100) == [0, 0, 0]


def test_worker__disk_not_declared__nobody_shares_it(manager: BlockingManager, tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    # Each has the folder while it runs: one that met another there would end with 9.
    alone = f'mkdir "{lock}" || exit 9; sleep 0.2; rmdir "{lock}"'

    assert run(manager, [alone] * len(CORES), disk=None) == [0, 0, 0]

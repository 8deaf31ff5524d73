"""Managers that stop while others submit, cancel, ask and wait: every task ends once, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from pathlib import Path

import pytest

from wq_package.errors import QueueError
from wq_package.manager import BlockingManager, Manager, ManagerOptions
from wq_package.task import InputFile, ResultCode, Task, TaskResult

PATIENCE = 120.0
COMMAND = Task(command="true", tag="mine")


def test_submit__while_the_manager_stops__the_task_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    results: list[TaskResult] = []
    manager = BlockingManager()
    manager.start()
    stopper = threading.Thread(target=manager.stop)
    reserve = manager._manager.reserve_id

    def stop_meanwhile() -> int:
        stopper.start()
        stopper.join(0.5)  # longer than it takes, if it does not wait for us
        return reserve()

    monkeypatch.setattr(manager._manager, "reserve_id", stop_meanwhile)
    manager.submit(COMMAND, results.append)
    stopper.join(PATIENCE)
    assert [(result.code, result.tag) for result in results] == [(ResultCode.CANCELLED, "mine")]


def test_submit__from_many_threads_while_the_manager_stops__each_is_refused_or_ends() -> None:
    ends: Counter[int] = Counter()
    taken: list[int] = []
    manager = BlockingManager()
    manager.start()
    begun = threading.Barrier(5)

    def submit() -> None:
        begun.wait(PATIENCE)
        for _ in range(2000):
            try:
                taken.append(manager.submit(COMMAND, lambda result: ends.update((result.task_id,))))
            except QueueError:
                return

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait(PATIENCE)
    manager.stop()
    for thread in threads:
        thread.join(PATIENCE)
    assert ends == Counter(taken)


def test_blocking_manager__has_stopped__answers_and_refuses() -> None:
    manager = BlockingManager()
    with manager:
        task_id = manager.submit(COMMAND)
    manager.stop()
    manager.cancel(task_id)
    assert manager.statistics().tasks_cancelled == 1
    assert manager.wait(PATIENCE) == TaskResult(
        task_id, ResultCode.CANCELLED, message="the task was cancelled", tag="mine"
    )
    assert manager.wait(PATIENCE) is None
    with pytest.raises(QueueError, match="does not run"):
        manager.submit(COMMAND)


def test_blocking_manager__port_is_taken__refuses_like_one_that_was_never_started() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        manager = BlockingManager(ManagerOptions(port=taken.getsockname()[1]))
        with pytest.raises(QueueError, match="cannot listen"):
            manager.start()
    with pytest.raises(QueueError, match="does not run"):
        manager.submit(COMMAND)
    manager.cancel(1)
    manager.stop()


def test_on_done__asks_and_stops__is_answered_and_told() -> None:
    answers: list[object] = []
    is_done = threading.Event()
    with BlockingManager() as manager:

        def ask(_result: TaskResult) -> None:
            answers.append(manager.statistics().tasks_submitted)
            with pytest.raises(QueueError, match="`on_done` cannot stop"):
                manager.stop()
            is_done.set()

        manager.cancel(manager.submit(COMMAND, ask))
        assert is_done.wait(PATIENCE)
    assert answers == [1]


def test_wait__two_at_once__both_are_told() -> None:
    async def test() -> list[TaskResult | None]:
        async with Manager() as manager:
            task_id = manager.submit(COMMAND)
            waiting = [asyncio.create_task(manager.wait()) for _ in range(3)]
            await asyncio.sleep(0)
            manager.cancel(task_id)
            return await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE)

    results = asyncio.run(test())
    assert [result.task_id for result in results if result is not None] == [1]


def test_manager__stopped__refuses_and_may_be_stopped_again(tmp_path: Path) -> None:
    async def test() -> None:
        manager = Manager(ManagerOptions(transaction_log=tmp_path / "log"))
        async with manager:
            pass
        await manager.stop()
        with pytest.raises(QueueError, match="has stopped"):
            manager.submit(COMMAND)

    asyncio.run(test())
    assert (tmp_path / "log").read_text().count("log-ended") == 1


def test_manager__log_cannot_be_written__does_not_listen(tmp_path: Path) -> None:
    async def test() -> None:
        manager = Manager(ManagerOptions(transaction_log=tmp_path / "none" / "log"))
        with pytest.raises(QueueError, match="transaction log"):
            await manager.start()
        with pytest.raises(QueueError, match="has not been started"):
            _ = manager.port
        await manager.stop()

    asyncio.run(test())


@pytest.mark.parametrize("cancels", [True, False])
def test_staging__fails_or_is_cut_short__the_task_ends(
    cancels: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    is_looked_at = threading.Event()
    may_go_on = threading.Event()

    def stumble(*_: object) -> None:
        is_looked_at.set()
        may_go_on.wait(PATIENCE)
        raise RuntimeError("nobody has foreseen this")

    monkeypatch.setattr("wq_package.manager.server.stage_inputs", stumble)
    (tmp_path / "in").touch()

    async def test() -> TaskResult | None:
        async with Manager() as manager:
            task_id = manager.submit(Task(command="true", inputs=(InputFile("in", str(tmp_path / "in")),)))
            await asyncio.to_thread(is_looked_at.wait, PATIENCE)
            if cancels:
                manager.cancel(task_id)
                manager.cancel(task_id)
            else:
                may_go_on.set()
            result = await asyncio.wait_for(manager.wait(), PATIENCE)
            may_go_on.set()
            assert manager.statistics().tasks_submitted == 1
            return result

    result = asyncio.run(test())
    assert result is not None
    expected = ResultCode.CANCELLED if cancels else ResultCode.INPUT_MISSING
    assert (result.task_id, result.code) == (1, expected)
    assert bool(cancels) != ("nobody has foreseen this" in result.message)

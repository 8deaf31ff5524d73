from __future__ import annotations

import os
import threading
from pathlib import Path

from wq_package.worker.store.locks import Lease, hold_lock, try_lock


def test_try_lock__held__is_not_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with try_lock(path) as first, try_lock(path) as second:
        assert (first, second) == (True, False)
    with try_lock(path) as again:
        assert again


def test_hold_lock__held_by_another_thread__waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    order: list[str] = []

    def wait() -> None:
        with hold_lock(path):
            order.append("second")

    thread = threading.Thread(target=wait)
    with hold_lock(path):
        thread.start()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_lease__several__keep_the_lock_until_the_last_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    one, two = Lease([path]), Lease([path, tmp_path / "other"])
    one.close()
    one.close()
    with try_lock(path) as is_free:
        assert not is_free
    with two:
        pass
    with try_lock(path) as is_free:
        assert is_free


def test_lease__kept_over_exec__is_inherited(tmp_path: Path) -> None:
    with Lease([tmp_path / "lock"]) as lease:
        lease.keep_over_exec()
        files = [Path(file) for file in Path("/proc/self/fd").iterdir()]
        ours = [int(file.name) for file in files if file.exists() and file.readlink() == tmp_path / "lock"]
        assert [os.get_inheritable(file) for file in ours] == [True]

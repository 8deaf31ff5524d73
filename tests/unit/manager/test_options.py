from __future__ import annotations

import dataclasses

import pytest

from wq_package.errors import QueueError
from wq_package.manager import ManagerOptions


def test_password__left_out__is_a_new_one_each_time_and_is_not_shown() -> None:
    first, second = ManagerOptions(), ManagerOptions()

    assert first.password is not None
    assert len(first.password) >= 32
    assert first.password != second.password
    assert first.password.decode() not in repr(first)
    assert dataclasses.replace(first, port=1).password == first.password


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_password__none_on_loopback__is_accepted(host: str) -> None:
    options = ManagerOptions(host=host, password=None)

    assert options.is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "login1.cluster", "127.0.0.1.example.org"])
def test_password__none_beyond_loopback__is_refused_unless_asked_for(host: str) -> None:
    with pytest.raises(QueueError, match="without a password") as caught:
        ManagerOptions(host=host, password=None)

    assert "is_open=True" in str(caught.value.hint)
    assert ManagerOptions(host=host, password=None, is_open=True).password is None
    assert ManagerOptions(host=host).password


def test_password__empty__is_refused() -> None:
    with pytest.raises(QueueError, match="empty"):
        ManagerOptions(password=b"")

from __future__ import annotations

import tempfile

import pytest

from wq_package.manager import bodies
from wq_package.manager.bodies import BodyGatherer


@pytest.mark.parametrize(
    "pieces", [(), (b"abc",), (b"ab", b"c"), (b"x" * bodies.KEPT_IN_MEMORY, b"y", b"z" * 9)]
)
def test_body__any_pieces__come_back_whole_and_the_next_begins_empty(pieces: tuple[bytes, ...]) -> None:
    gatherer = BodyGatherer()
    for piece in pieces:
        gatherer.add(piece)
    assert gatherer.finish() == (b"".join(pieces), False)
    gatherer.add(b"next")
    assert gatherer.finish() == (b"next", False)


def test_body__larger_than_allowed__is_cut_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LARGEST_BODY", 10)
    gatherer = BodyGatherer()
    for _ in range(3):
        gatherer.add(b"12345")
    assert gatherer.finish() == (b"1234512345", True)


def test_body__disk_is_full__is_lost_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    gatherer = BodyGatherer()
    gatherer.add(bytes(bodies.KEPT_IN_MEMORY))
    gatherer.add(b"more")
    body, is_truncated = gatherer.finish()
    assert is_truncated
    assert len(body) <= bodies.KEPT_IN_MEMORY


def test_body__large__takes_little_memory_until_it_is_complete() -> None:
    gatherer = BodyGatherer()
    for _ in range(64):
        gatherer.add(bytes(bodies.KEPT_IN_MEMORY))
    assert gatherer._pieces == []
    gatherer.discard()
    assert gatherer.finish() == (b"", False)

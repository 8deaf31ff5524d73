from __future__ import annotations

from wq_package.worker.protocols import ProtocolChoice


def test_choice__nobody_says_anything__every_number_is_tried_once() -> None:
    choice = ProtocolChoice()
    tried = [choice.number]
    while choice.note_silence():
        tried.append(choice.number)
    assert tried == [9, 11, 10]
    assert choice.number == 9


def test_choice__manager_was_heard__its_number_stays_and_all_others_may_follow() -> None:
    choice = ProtocolChoice()
    assert choice.note_silence()
    choice.note_heard()
    assert choice.number == 11
    tried = [choice.number]
    while choice.note_silence():
        tried.append(choice.number)
    assert tried == [11, 9, 10]


def test_choice__number_that_a_catalog_knows__is_taken() -> None:
    choice = ProtocolChoice()
    choice.take(10)
    assert choice.number == 10

from __future__ import annotations

import pytest

from wq_package.errors import ProtocolError
from wq_package.protocol import messages as m
from wq_package.protocol.conversation import MAX_OPEN_EXCHANGES, Conversation


def make_conversation(version: int = 9, *, is_dialect: bool = False) -> Conversation:
    conversation = Conversation()
    conversation.say_to_manager(m.Workqueue(version, "host", "Linux", "x86_64", "8.0.0"))
    if is_dialect:
        conversation.say_to_manager(m.Feature(m.DIALECT_FEATURE))
        conversation.say_to_worker(m.Hello(1, "session"))
    return conversation


@pytest.mark.parametrize("version", [8, 12, 13])
def test_greeting__unknown_protocol__is_refused(version: int) -> None:
    with pytest.raises(ProtocolError, match=rf"protocol {version} is not spoken here \(known: 9, 10, 11\)"):
        make_conversation(version)


def test_greeting__twice__is_refused() -> None:
    with pytest.raises(ProtocolError, match="second greeting"):
        make_conversation().say_to_manager(m.Workqueue(9, "host", "Linux", "x86_64", "8.0.0"))


@pytest.mark.parametrize("message", [m.Alive(), m.Info("a", "b"), m.Feature("x"), m.CacheUpdate("a", 1, 1)])
def test_worker__before_its_greeting__may_not_speak(message: m.ToManager) -> None:
    with pytest.raises(ProtocolError, match="before the worker's greeting"):
        Conversation().say_to_manager(message)


@pytest.mark.parametrize(
    "message",
    [
        m.Check(),
        m.Get("a"),
        m.SendResults(),
        m.Dir("a"),
        m.Url("a", "b", 0),
        m.Thirdput(m.TransferMode.COPY, "a", "b"),
    ],
)
def test_manager__before_the_greeting__may_not_speak(message: m.ToWorker) -> None:
    with pytest.raises(ProtocolError, match="before the worker's greeting"):
        Conversation().say_to_worker(message)


@pytest.mark.parametrize("message", [m.Check(), m.Kill(1), m.Get("a"), m.TaskDescription(1, "true")])
def test_folder__open__nothing_but_its_entries_may_be_said(message: m.ToWorker) -> None:
    conversation = make_conversation()
    conversation.say_to_worker(m.Dir("a"))
    with pytest.raises(ProtocolError, match="inside a folder"):
        conversation.say_to_worker(message)


def test_folder__nested__closes_as_often_as_it_opened() -> None:
    conversation = make_conversation()
    for message in (
        m.Dir("a"),
        m.Put("b", 0, 0),
        m.Dir("c"),
        m.Symlink("d", "e"),
        m.End(),
        m.End(),
        m.Check(),
    ):
        conversation.say_to_worker(message)
    with pytest.raises(ProtocolError, match="not opened"):
        conversation.say_to_worker(m.End())


def test_symlink__outside_a_folder__is_refused() -> None:
    with pytest.raises(ProtocolError, match="outside a folder"):
        make_conversation().say_to_worker(m.Symlink("a", "b"))


@pytest.mark.parametrize(
    "answer",
    [
        m.Result(0, 0, 0, 0, 1),
        m.Update(1, "a", 0, 0),
        m.File("a", 0),
        m.Dir("a"),
        m.Missing("a", 2),
        m.ThirdputComplete(is_done=True),
    ],
)
def test_answer__not_asked_for__is_refused(answer: m.ToManager) -> None:
    with pytest.raises(ProtocolError, match="was not asked for"):
        make_conversation().say_to_manager(answer)


def test_answers__several_requests__come_in_order() -> None:
    conversation = make_conversation()
    for request in (m.SendResults(), m.Get("a"), m.Thirdput(m.TransferMode.COPY, "a", "b")):
        conversation.say_to_worker(request)
    with pytest.raises(ProtocolError, match="not asked for"):
        conversation.say_to_manager(m.File("a", 0))
    for answer in (m.Result(0, 0, 0, 0, 1), m.Info("tasks_running", "0"), m.End(), m.File("a", 0), m.End()):
        conversation.say_to_manager(answer)
    with pytest.raises(ProtocolError, match="end of an answer"):
        conversation.say_to_manager(m.End())
    conversation.say_to_manager(m.ThirdputComplete(is_done=True))
    assert not conversation.exchanges


def test_end__nothing_asked__is_refused() -> None:
    with pytest.raises(ProtocolError, match="end of an answer"):
        make_conversation().say_to_manager(m.End())


def test_requests__endless__are_bounded() -> None:
    conversation = make_conversation()
    for _ in range(MAX_OPEN_EXCHANGES):
        conversation.say_to_worker(m.SendResults())
    with pytest.raises(ProtocolError, match="too many requests"):
        conversation.say_to_worker(m.SendResults())


@pytest.mark.parametrize("message", [m.ProjectName("a"), m.StatusAnswer("[]")])
def test_answer_of_manager__not_asked_for__is_refused(message: m.ToWorker) -> None:
    with pytest.raises(ProtocolError, match="not asked for"):
        Conversation().say_to_worker(message)


def test_name_and_status__before_the_greeting__are_answered_once() -> None:
    conversation = Conversation()
    conversation.say_to_manager(m.Name())
    conversation.say_to_worker(m.ProjectName("mine"))
    conversation.say_to_manager(m.StatusQuery("queue_status"))
    conversation.say_to_worker(m.StatusAnswer("[]"))
    assert (conversation.names_asked, conversation.queries_asked) == (0, 0)


def test_status__from_a_worker__is_refused() -> None:
    with pytest.raises(ProtocolError, match="from a worker"):
        make_conversation().say_to_manager(m.StatusQuery("queue_status"))


@pytest.mark.parametrize(
    ("message", "version"),
    [
        (m.Url("a", "b", 0), 11),
        (m.Thirdget(m.TransferMode.COPY, "a", "b"), 11),
        (m.Thirdput(m.TransferMode.COPY, "a", "b"), 11),
        (m.Puturl("a", "b", 0, 0), 9),
        (m.Putcmd("a", "b", 0, 0), 10),
    ],
)
def test_to_worker__message_of_another_version__is_refused(message: m.ToWorker, version: int) -> None:
    with pytest.raises(ProtocolError, match=f"protocol {version} has no"):
        make_conversation(version).say_to_worker(message)


@pytest.mark.parametrize("message", [m.CacheUpdate("a", 0, 0), m.CacheInvalid("a", "b")])
def test_to_manager__message_of_another_version__is_refused(message: m.ToManager) -> None:
    with pytest.raises(ProtocolError, match="protocol 10 has no"):
        make_conversation(10).say_to_manager(message)


def test_hello__to_a_real_worker__is_refused() -> None:
    conversation = make_conversation()
    conversation.say_to_manager(m.Feature("gpu"))
    with pytest.raises(ProtocolError, match="did not offer"):
        conversation.say_to_worker(m.Hello(1, "session"))


@pytest.mark.parametrize("message", [m.EnvironmentReady("a"), m.CallResult(1, "success", 0, 0, 0, 0)])
def test_dialect__before_hello__is_refused(message: m.ToManager) -> None:
    conversation = make_conversation()
    conversation.say_to_manager(m.Feature(m.DIALECT_FEATURE))
    with pytest.raises(ProtocolError, match="does not speak our dialect"):
        conversation.say_to_manager(message)


def test_dialect__after_hello__may_be_spoken_both_ways() -> None:
    conversation = make_conversation(is_dialect=True)
    conversation.say_to_worker(m.CallTask(1, "", "f", 0))
    conversation.say_to_manager(m.CallResult(1, "success", 0, 0, 0, 0))
    assert conversation.is_dialect_spoken

"""When a message may be said: everything that affects order lives here (logic module).

Knows messages, nothing of bytes, and does not know which side we are: both sides follow the same conversation, the
sender to refuse its own mistakes, the receiver to refuse the peer's. So every rule here raises the plain
`ProtocolError`, and the connection says whose fault it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from wq_package.errors import ProtocolError
from wq_package.protocol import messages as m

VERSIONS = (9, 10, 11)
"""The protocol numbers that we speak: Debian's and conda's Work Queue before 2022, and upstream's since."""

MAX_OPEN_EXCHANGES = 100_000


class Conversation:
    """What has been said so far, as far as it decides what may be said next."""

    def __init__(self) -> None:
        self.version: int | None = None
        self.is_dialect_offered = False
        self.is_dialect_spoken = False
        self.folder_depth = 0
        self.exchanges: deque[type[m.Get | m.SendResults | m.Thirdput]] = deque()
        self.names_asked = 0
        self.queries_asked = 0

    def say_to_manager(self, message: m.ToManager) -> None:
        """Follow a message of the worker.

        Raises:
            ProtocolError: it may not be said now.
        """
        rule = _TO_MANAGER.get(type(message))
        if rule is None:
            self.check_greeted(message)
        else:
            rule(self, message)

    def say_to_worker(self, message: m.ToWorker) -> None:
        """Follow a message of the manager.

        Raises:
            ProtocolError: it may not be said now.
        """
        if self.folder_depth and type(message) not in _INSIDE_FOLDER:
            raise ProtocolError(f"{_name(message)} inside a folder that is being put")
        rule = _TO_WORKER.get(type(message))
        if rule is None:
            self.check_greeted(message)
        else:
            rule(self, message)

    def check_greeted(self, message: m.Message) -> None:
        """Refuse a message before the greeting."""
        if self.version is None:
            raise ProtocolError(f"{_name(message)} before the worker's greeting")

    def check_dialect(self, message: m.Message) -> None:
        """Refuse a message of our dialect that the peer does not speak."""
        if not self.is_dialect_spoken:
            raise ProtocolError(f"{_name(message)} to a peer that does not speak our dialect")

    def check_version(self, message: m.Message, first: int, last: int) -> None:
        """Refuse a message that the version spoken does not have."""
        self.check_greeted(message)
        if self.version is None or not first <= self.version <= last:
            raise ProtocolError(f"protocol {self.version} has no {_name(message)}")

    def open_exchange(self, kind: type[m.Get | m.SendResults | m.Thirdput]) -> None:
        """Expect an answer."""
        if len(self.exchanges) >= MAX_OPEN_EXCHANGES:
            raise ProtocolError("too many requests that are not answered")
        self.exchanges.append(kind)

    def check_exchange(self, message: m.Message, kind: type[m.Get | m.SendResults | m.Thirdput]) -> None:
        """Refuse an answer that was not asked for, or not yet."""
        if not self.exchanges or self.exchanges[0] is not kind:
            raise ProtocolError(f"{_name(message)} was not asked for")


def _greet(conversation: Conversation, message: m.Message) -> None:
    assert isinstance(message, m.Workqueue)
    if conversation.version is not None:
        raise ProtocolError("a second greeting")
    if message.version not in VERSIONS:
        known = ", ".join(map(str, VERSIONS))
        raise ProtocolError(f"Work Queue protocol {message.version} is not spoken here (known: {known})")
    conversation.version = message.version


def _offer_feature(conversation: Conversation, message: m.Message) -> None:
    assert isinstance(message, m.Feature)
    conversation.check_greeted(message)
    if message.name == m.DIALECT_FEATURE:
        conversation.is_dialect_offered = True


def _ask_name(conversation: Conversation, _message: m.Message) -> None:
    conversation.names_asked += 1


def _ask_status(conversation: Conversation, message: m.Message) -> None:
    if conversation.version is not None:
        raise ProtocolError(f"{_name(message)} from a worker")
    conversation.queries_asked += 1


def _answer_name(conversation: Conversation, _message: m.Message) -> None:
    if not conversation.names_asked:
        raise ProtocolError("a project name that was not asked for")
    conversation.names_asked -= 1


def _answer_status(conversation: Conversation, _message: m.Message) -> None:
    if not conversation.queries_asked:
        raise ProtocolError("a status that was not asked for")
    conversation.queries_asked -= 1


def _tell_result(conversation: Conversation, message: m.Message) -> None:
    if not conversation.is_dialect_spoken:  # which lets a worker say it as soon as it is there
        conversation.check_exchange(message, m.SendResults)


def _answer_results(conversation: Conversation, message: m.Message) -> None:
    conversation.check_exchange(message, m.SendResults)


def _answer_get(conversation: Conversation, message: m.Message) -> None:
    conversation.check_exchange(message, m.Get)


def _answer_thirdput(conversation: Conversation, message: m.Message) -> None:
    conversation.check_exchange(message, m.Thirdput)
    conversation.exchanges.popleft()


def _end_answer(conversation: Conversation, _message: m.Message) -> None:
    if not conversation.exchanges or conversation.exchanges[0] is m.Thirdput:
        raise ProtocolError("the end of an answer that was not asked for")
    conversation.exchanges.popleft()


def _open_get(conversation: Conversation, message: m.Message) -> None:
    conversation.check_greeted(message)
    conversation.open_exchange(m.Get)


def _open_results(conversation: Conversation, message: m.Message) -> None:
    conversation.check_greeted(message)
    conversation.open_exchange(m.SendResults)


def _open_thirdput(conversation: Conversation, message: m.Message) -> None:
    conversation.check_version(message, 9, 10)
    conversation.open_exchange(m.Thirdput)


def _open_folder(conversation: Conversation, message: m.Message) -> None:
    conversation.check_greeted(message)
    conversation.folder_depth += 1


def _link(conversation: Conversation, _message: m.Message) -> None:
    if not conversation.folder_depth:
        raise ProtocolError("a symbolic link outside a folder that is being put")


def _close_folder(conversation: Conversation, _message: m.Message) -> None:
    if not conversation.folder_depth:
        raise ProtocolError("the end of a folder that was not opened")
    conversation.folder_depth -= 1


def _say_hello(conversation: Conversation, _message: m.Message) -> None:
    if not conversation.is_dialect_offered:
        raise ProtocolError("a greeting in our dialect to a worker that did not offer it")
    conversation.is_dialect_spoken = True


def _need_until_10(conversation: Conversation, message: m.Message) -> None:
    conversation.check_version(message, 9, 10)


def _need_11(conversation: Conversation, message: m.Message) -> None:
    conversation.check_version(message, 11, 11)


def _name(message: m.Message) -> str:
    return f"`{type(message).__name__}`"


_Rule = Callable[[Conversation, m.Message], None]

_INSIDE_FOLDER = frozenset({m.Put, m.Dir, m.Symlink, m.End})

_TO_MANAGER: dict[type, _Rule] = {
    m.Workqueue: _greet,
    m.Feature: _offer_feature,
    m.Name: _ask_name,
    m.StatusQuery: _ask_status,
    m.Result: _tell_result,
    m.Update: _answer_results,
    m.Dir: _answer_get,
    m.File: _answer_get,
    m.Missing: _answer_get,
    m.ThirdputComplete: _answer_thirdput,
    m.End: _end_answer,
    m.CacheUpdate: _need_11,
    m.CacheInvalid: _need_11,
    m.LayersWanted: Conversation.check_dialect,
    m.EnvironmentReady: Conversation.check_dialect,
    m.EnvironmentFailed: Conversation.check_dialect,
    m.PeerAddress: Conversation.check_dialect,
    m.LayerStored: Conversation.check_dialect,
    m.FetchFailed: Conversation.check_dialect,
    m.FileAnswer: Conversation.check_dialect,
    m.LayerRequest: Conversation.check_dialect,
    m.CallResult: Conversation.check_dialect,
    m.Recalled: Conversation.check_dialect,
}

_TO_WORKER: dict[type, _Rule] = {
    m.ProjectName: _answer_name,
    m.StatusAnswer: _answer_status,
    m.Get: _open_get,
    m.SendResults: _open_results,
    m.Thirdput: _open_thirdput,
    m.Dir: _open_folder,
    m.Symlink: _link,
    m.End: _close_folder,
    m.Url: _need_until_10,
    m.Thirdget: _need_until_10,
    m.Puturl: _need_11,
    m.Putcmd: _need_11,
    m.Hello: _say_hello,
    m.EnvironmentOffer: Conversation.check_dialect,
    m.Layer: Conversation.check_dialect,
    m.ServePeers: Conversation.check_dialect,
    m.FetchLayer: Conversation.check_dialect,
    m.FileOffer: Conversation.check_dialect,
    m.FunctionDefinition: Conversation.check_dialect,
    m.CallTask: Conversation.check_dialect,
    m.Recall: Conversation.check_dialect,
}

"""Two sans-I/O connections back to back, for tests."""

from __future__ import annotations

from collections.abc import Iterable

from wq_package.protocol import messages as m
from wq_package.protocol.connection import Connection, Role
from wq_package.protocol.password import NONCE_MARKER

MANAGER_NONCE = NONCE_MARKER + b"m" * 58
WORKER_NONCE = NONCE_MARKER + b"w" * 58

BODY_HEADERS = (m.Put, m.Result, m.Update, m.File, m.Layer, m.FunctionDefinition, m.CallTask, m.CallResult)


def greeting(version: int = 9) -> m.Workqueue:
    return m.Workqueue(version, "host", "Linux", "x86_64", "8.0.0")


class ConnectionPair:
    """A manager's and a worker's side; what one sends, the other receives at once.

    Args:
        version: protocol that the worker greets with; `None` to let the test greet.
        is_dialect: whether both speak our dialect.
    """

    def __init__(
        self,
        version: int | None = 9,
        *,
        is_dialect: bool = False,
        passwords: tuple[bytes, bytes] | None = None,
    ) -> None:
        ours, theirs = passwords or (None, None)
        self.manager = Connection(Role.MANAGER, password=ours, nonce=MANAGER_NONCE)
        self.worker = Connection(Role.WORKER, password=theirs, nonce=WORKER_NONCE)
        if version is not None:
            assert self.to_manager(greeting(version)) == [greeting(version)]
        if is_dialect:
            self.to_manager(m.Feature(m.DIALECT_FEATURE))
            self.to_worker(m.Hello(1, "session"))

    def to_manager(self, *messages: m.Message | bytes) -> list[m.Event]:
        return self._say(self.worker, self.manager, messages)

    def to_worker(self, *messages: m.Message | bytes) -> list[m.Event]:
        return self._say(self.manager, self.worker, messages)

    def carry(self) -> tuple[list[m.Event], list[m.Event]]:
        """Exchange what waits until both sides are silent; give what the manager and the worker met."""
        met: tuple[list[m.Event], list[m.Event]] = ([], [])
        while (out := self.worker.data_to_send()) or (back := self.manager.data_to_send()):
            self.manager.receive_data(out)
            met[0].extend(self.manager.next_events())
            back = self.manager.data_to_send()
            self.worker.receive_data(back)
            met[1].extend(self.worker.next_events())
        return met

    def _say(
        self, sender: Connection, receiver: Connection, messages: Iterable[m.Message | bytes]
    ) -> list[m.Event]:
        for message in messages:
            if isinstance(message, bytes):
                sender.send_body(message)
            else:
                sender.send(message)
        receiver.receive_data(sender.data_to_send())
        return receiver.next_events()


def open_exchange(pair: ConnectionPair, message: m.Message) -> None:
    """Say what must come before a message, so that it may be said."""
    match message:
        case m.Result() | m.Update():
            pair.to_worker(m.SendResults())
        case m.File() | m.Missing():
            pair.to_worker(m.Get("name"))
        case m.ThirdputComplete():
            pair.to_worker(m.Thirdput(m.TransferMode.COPY, "name", "/path"))
        case m.Symlink():
            pair.to_worker(m.Dir("folder"))
        case m.ProjectName():
            pair.to_manager(m.Name())
        case _:
            pass


def join_bodies(events: Iterable[m.Event]) -> list[m.Event]:
    """Make one `Data` of neighbouring ones: how a body is cut is no part of its meaning."""
    joined: list[m.Event] = []
    pieces: list[bytes] = []
    for event in events:
        if isinstance(event, m.Data):
            pieces.append(event.body)
            continue
        if pieces:
            joined.append(m.Data(b"".join(pieces)))
            pieces = []
        joined.append(event)
    return [*joined, m.Data(b"".join(pieces))] if pieces else joined

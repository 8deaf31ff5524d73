"""The desk for what workers say about themselves, and for their silence (logic module)."""

from __future__ import annotations

from wq_package.manager.state import events as e
from wq_package.manager.state import greeting
from wq_package.manager.state.actions import Send, Warn
from wq_package.manager.state.ledger import Ledger
from wq_package.manager.state.records import WorkerRecord
from wq_package.protocol import messages as m
from wq_package.protocol.printing import escape_controls

HOSTS_KEPT = 10_000
_CHECK = m.Check()
NUDGE_SECONDS = 0.25
"""Without a result from a worker that has tasks; the next nudges come after twice as long each time."""
MOST_NUDGES = 5


class WorkerDesk:
    """Connections, greetings, resources and keepalives."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def on_connected(self, event: e.WorkerConnected) -> None:
        """Remember a new connection."""
        self._ledger.workers[event.worker] = WorkerRecord(
            event.worker,
            event.address,
            self._ledger.now,
            last_heard=self._ledger.now,
            last_check=self._ledger.now,
        )

    def on_gone(self, event: e.WorkerGone) -> None:
        """Take the tasks of a lost worker back."""
        worker = self._ledger.workers.get(event.worker)
        if worker is not None:
            self._ledger.lose(worker, event.reason)

    def on_transfer_ended(self, event: e.TransferEnded) -> None:
        """Count a transfer as over."""
        worker = self._ledger.workers.get(event.worker)
        if worker is not None:
            self._ledger.end_transfer(worker)

    def receive_greeting(self, worker: WorkerRecord, message: m.Workqueue, _event: e.Received) -> None:
        """Remember what a peer is, or turn it away."""
        try:
            greeting.note_greeting(worker, message)
        except greeting.Lie as lie:
            self._ledger.counters.refused += 1
            host = escape_controls(message.hostname)
            if host not in self._ledger.refused_hosts and len(self._ledger.refused_hosts) < HOSTS_KEPT:
                self._ledger.refused_hosts.add(host)
                self._ledger.actions.append(Warn(f"a worker on `{host}` is turned away: {lie}"))
            raise

    def receive_info(self, worker: WorkerRecord, message: m.Info, _event: e.Received) -> None:
        """Remember a fact about the worker."""
        greeting.note_info(worker, message)
        if worker.is_leaving:
            self._ledger.placement.remove_worker(worker)
        elif message.key == "end_of_resource_update":
            self._take_resources(worker)
        self._welcome(worker)

    def receive_feature(self, worker: WorkerRecord, message: m.Feature, _event: e.Received) -> None:
        """Remember a feature of the worker."""
        greeting.note_feature(worker, message)

    def receive_resource(self, worker: WorkerRecord, message: m.Resource, _event: e.Received) -> None:
        """Remember one of the worker's resources."""
        greeting.note_resource(worker, message)
        self._welcome(worker)

    def receive_name(self, worker: WorkerRecord, _message: m.Name, _event: e.Received) -> None:
        """Tell the project name."""
        greeting.note_name(worker)
        self._ledger.actions.append(Send(worker.number, m.ProjectName(self._ledger.options.name)))

    def _take_resources(self, worker: WorkerRecord) -> None:
        before = worker.total
        greeting.sum_up(worker)
        if worker.is_ready and worker.total != before:
            worker.refused.clear()
            self._ledger.placement.note_total(worker)

    def _welcome(self, worker: WorkerRecord) -> None:
        """Let a worker take tasks once its greeting is complete."""
        if worker.is_ready or worker.is_leaving or not greeting.is_greeting_complete(worker):
            return
        worker.is_ready = True
        worker.joined_epoch = self._ledger.epoch
        greeting.sum_up(worker)
        self._ledger.counters.joined += 1
        if worker.is_dialect:
            self._ledger.actions.append(Send(worker.number, m.Hello(1, self._ledger.options.session)))
            if self._ledger.options.peers:
                self._ledger.actions.append(Send(worker.number, m.ServePeers()))
        self._ledger.placement.add_worker(worker)

    def receive_cache_invalid(
        self, worker: WorkerRecord, message: m.CacheInvalid, _event: e.Received
    ) -> None:
        """Remember that a file is not in the worker's cache after all."""
        worker.files.discard(message.name)

    def nudge(self, worker: WorkerRecord) -> None:
        """Wake a worker of Work Queue that may sleep though a task has ended.

        It waits for 5 s for a message or for the signal that a process has ended, and the signal is lost if it comes just before.
        """
        if worker.is_dialect or not worker.tasks or worker.nudges >= MOST_NUDGES:
            return
        if self._ledger.now - worker.last_result >= NUDGE_SECONDS * 2**worker.nudges:
            worker.nudges += 1
            self._ledger.actions.append(Send(worker.number, _CHECK))

    def check_worker(self, worker: WorkerRecord) -> None:
        """Ask a silent peer whether it is there, and drop one that does not answer."""
        options, now = self._ledger.options, self._ledger.now
        if not worker.version:
            if now - worker.connected > options.greeting_timeout:
                self._ledger.drop(worker, "it did not say what it is")
            return
        if worker.transfers:
            worker.last_heard = worker.last_check = now
        elif worker.last_heard < worker.last_check:
            if now - worker.last_check > options.keepalive_timeout:
                self._ledger.drop(worker, f"it has not answered for {now - worker.last_heard:.0f} s")
        elif now - max(worker.last_check, worker.last_heard) > options.keepalive_interval:
            worker.last_check = now
            self._ledger.actions.append(Send(worker.number, _CHECK))

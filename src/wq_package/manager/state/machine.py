"""The manager's state machine: events in, actions out (logic module).

Knows tasks, workers, environments by name, and what each worker has. Knows no socket, clock, file or archive: the
shell beside it (`wq_package.manager.server`) tells what happened and carries out what is decided here.

A task is *ready* (in the queue), *running* (at a worker), *fetching* (its outputs are on their way) or *done*. It goes
back to ready when its worker is lost; it is done exactly once, with one `Finish`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wq_package.manager.state import events as e
from wq_package.manager.state import greeting, summary
from wq_package.manager.state.actions import Action, Warn
from wq_package.manager.state.answers import AnswerDesk
from wq_package.manager.state.categories import Categories
from wq_package.manager.state.environments import EnvironmentDesk
from wq_package.manager.state.ledger import Ledger
from wq_package.manager.state.options import StateOptions
from wq_package.manager.state.placement import Placement
from wq_package.manager.state.records import Lane, TaskRecord, WorkerRecord
from wq_package.manager.state.slowness import SlownessDesk
from wq_package.manager.state.statistics import Counters, Statistics
from wq_package.manager.state.tasks import TaskDesk
from wq_package.manager.state.workers import WorkerDesk
from wq_package.protocol import messages as m

WARN_AFTER = 10.0
"""Seconds after which people are told that nobody can run a task."""

_Receiver = Callable[[WorkerRecord, Any, e.Received], None]


class ManagerState:
    """Everything the manager knows, and how it decides."""

    def __init__(self, options: StateOptions | None = None) -> None:
        self._ledger = ledger = Ledger(options or StateOptions())
        self._tasks = TaskDesk(ledger)
        self._answers = AnswerDesk(ledger)
        self._workers = WorkerDesk(ledger)
        self._environments = EnvironmentDesk(ledger)
        self._slowness = SlownessDesk(ledger)
        self._tries_all_lanes = False
        self._handlers = self._make_handlers()
        self._receivers = self._make_receivers()

    def _make_handlers(self) -> dict[type, Callable[[Any], None]]:
        return {
            e.Submitted: self._tasks.on_submitted,
            e.Refused: self._tasks.on_refused,
            e.Cancelled: self._tasks.on_cancelled,
            e.DispatchSent: self._tasks.on_dispatch_sent,
            e.DispatchFailed: self._tasks.on_dispatch_failed,
            e.OutputFetched: self._answers.on_output_fetched,
            e.WorkerConnected: self._workers.on_connected,
            e.WorkerGone: self._workers.on_gone,
            e.TransferEnded: self._workers.on_transfer_ended,
            e.OfferFailed: self._environments.on_offer_failed,
            e.Received: self._on_received,
            e.Tick: self._on_tick,
        }

    def _make_receivers(self) -> dict[type, _Receiver]:
        return {
            m.CallResult: self._answers.receive_call_result,
            m.Result: self._answers.receive_result,
            m.AvailableResults: self._answers.receive_available,
            m.Workqueue: self._workers.receive_greeting,
            m.Info: self._workers.receive_info,
            m.Feature: self._workers.receive_feature,
            m.Resource: self._workers.receive_resource,
            m.Name: self._workers.receive_name,
            m.CacheInvalid: self._workers.receive_cache_invalid,
            m.Recalled: self._slowness.receive_recalled,
            m.LayersWanted: self._environments.receive_layers_wanted,
            m.EnvironmentReady: self._environments.receive_ready,
            m.EnvironmentFailed: self._environments.receive_failed,
            m.PeerAddress: self._environments.receive_peer_address,
            m.LayerStored: self._environments.receive_layer_stored,
            m.FetchFailed: self._environments.receive_fetch_failed,
        }

    # -- what is known --------------------------------------------------------------------------------------------------

    @property
    def tasks(self) -> dict[int, TaskRecord]:
        """Every task that has no result yet."""
        return self._ledger.tasks

    @property
    def workers(self) -> dict[int, WorkerRecord]:
        """Every connection, greeted or not."""
        return self._ledger.workers

    @property
    def placement(self) -> Placement:
        """The queue, and the workers that may be given tasks."""
        return self._ledger.placement

    @property
    def category_counts(self) -> dict[str, Counters]:
        """How the tasks of each category have ended."""
        return self._ledger.category_counts

    @property
    def categories(self) -> Categories:
        """What is kept of each category: statistics and labels."""
        return self._ledger.categories

    @property
    def refused_hosts(self) -> set[str]:
        """Hosts whose workers were turned away."""
        return self._ledger.refused_hosts

    def summarise(self, *, bytes_sent: int = 0, bytes_received: int = 0) -> Statistics:
        """Count everything."""
        return summary.summarise(self._ledger, bytes_sent, bytes_received)

    def count_hungry(self) -> int:
        """Count how many more tasks would be of use now."""
        return summary.count_hungry(self._ledger)

    def check(self) -> None:
        """Assert what must always hold; for tests."""
        summary.check(self._ledger)

    # -- what happens -----------------------------------------------------------------------------------------------------

    def handle(self, *events: e.Event) -> list[Action]:
        """Take in what happened, and tell what to do about it.

        Several events at once cost less than one by one, and let urgent tasks overtake others in the same batch.
        """
        ledger = self._ledger
        ledger.categories.relabelled.clear()
        for event in events:
            self._handlers[type(event)](event)
        ledger.placement.place(
            self._tasks.dispatch, self._environments.offer, all_lanes=self._tries_all_lanes
        )
        self._tries_all_lanes = False
        actions, ledger.actions = ledger.actions, []
        return actions

    def _on_received(self, event: e.Received) -> None:
        worker = self._ledger.workers.get(event.worker)
        if worker is None:
            return
        worker.last_heard = self._ledger.now
        receive = self._receivers.get(type(event.message))
        if receive is None:
            return
        try:
            receive(worker, event.message, event)
        except greeting.Lie as lie:
            self._ledger.drop(worker, str(lie))

    def _on_tick(self, event: e.Tick) -> None:
        self._ledger.now, self._ledger.epoch = event.now, event.epoch
        self._ledger.placement.epoch = event.epoch
        self._tasks.check_deadlines()

    def nudge(self) -> list[Action]:
        """Wake workers that may have missed the end of a task; to be called some times a second, after a `Tick`."""
        for worker in self._ledger.workers.values():
            self._workers.nudge(worker)
        return self.handle()

    def sweep(self) -> list[Action]:
        """Look at every worker and every waiting kind of task; to be called every second or so, after a `Tick`."""
        for worker in list(self._ledger.workers.values()):
            self._workers.check_worker(worker)
            self._answers.forget_refusals(worker)
            if worker.number in self._ledger.placement.workers:
                self._slowness.check_worker(worker)
        for lane in self._ledger.placement.iter_waiting():
            self._check_lane(lane)
        self._environments.check_transfers()
        self._tasks.forget_deadlines()
        self._ledger.placement.release_overdue()
        self._ledger.placement.reconsider()
        self._tries_all_lanes = True
        return self.handle()

    def _check_lane(self, lane: Lane) -> None:
        head = lane.find_head()
        if head is not None and head.avoided:
            self._slowness.release_head(head)
        workers = self._ledger.placement.workers.values()
        if not workers or any(self._ledger.placement.could_fit(lane, worker) for worker in workers):
            lane.unservable_since = None
        elif lane.unservable_since is None:
            lane.unservable_since = self._ledger.now
            self._ledger.categories.release(lane)
        elif not lane.is_warned and self._ledger.now - lane.unservable_since >= WARN_AFTER:
            lane.is_warned = True
            self._ledger.actions.append(Warn(summary.describe_unservable(lane)))

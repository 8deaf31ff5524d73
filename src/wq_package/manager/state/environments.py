"""The desk for how far environments have come on workers of ours (logic module)."""

from __future__ import annotations

from wq_package.manager.state import events as e
from wq_package.manager.state.actions import OfferEnvironment, SendLayers, Warn
from wq_package.manager.state.ledger import Ledger
from wq_package.manager.state.records import EnvironmentRecord, EnvironmentStage, WorkerRecord
from wq_package.protocol import messages as m


class EnvironmentDesk:
    """Offers and what workers answer to them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def offer(self, worker: WorkerRecord, environment: EnvironmentRecord) -> None:
        """Let a worker be offered an environment."""
        self._ledger.actions.append(OfferEnvironment(worker.number, environment.environment))

    def _find_offered(self, worker: WorkerRecord, digest: str) -> EnvironmentRecord | None:
        """Find an environment that the worker was offered; drop a worker that makes one up."""
        environment = worker.environments.get(digest)
        if environment is None:
            self._ledger.drop(worker, "it answers about an environment that it was not offered")
        return environment

    def _find_staging(self, worker: WorkerRecord, digest: str) -> EnvironmentRecord | None:
        environment = self._find_offered(worker, digest)
        if environment is None or environment.told[worker.number] is not EnvironmentStage.STAGING:
            return None
        return environment

    def receive_layers_wanted(
        self, worker: WorkerRecord, message: m.LayersWanted, _event: e.Received
    ) -> None:
        """Send the layers that the worker lacks."""
        environment = self._find_staging(worker, message.environment)
        if environment is not None and message.digests:
            worker.transfers += 1
            self._ledger.actions.append(SendLayers(worker.number, environment.environment, message.digests))

    def receive_ready(self, worker: WorkerRecord, message: m.EnvironmentReady, _event: e.Received) -> None:
        """Let the worker take tasks that need this environment."""
        environment = self._find_staging(worker, message.environment)
        if environment is not None:
            environment.told[worker.number] = EnvironmentStage.READY
            self._ledger.placement.free(worker)

    def receive_failed(self, worker: WorkerRecord, message: m.EnvironmentFailed, _event: e.Received) -> None:
        """Look for another worker, or fail the tasks if none is left."""
        environment = self._find_offered(worker, message.environment)
        if environment is None:
            return
        environment.told[worker.number] = EnvironmentStage.FAILED
        environment.failure = f"{message.message} (on worker {worker.label})"
        self._ledger.actions.append(
            Warn(f"an environment cannot be used on {worker.label}: {message.message}")
        )
        self._ledger.check_environments([environment])
        for lane in environment.lanes:
            if lane.count:
                self._ledger.placement.want_environment(lane)

    def on_offer_failed(self, event: e.OfferFailed) -> None:
        """Fail the tasks of an environment whose archive cannot be read."""
        environment = self._ledger.placement.environments.get(event.environment)
        if environment is None:
            return
        worker = self._ledger.workers.get(event.worker)
        if worker is not None:
            environment.told.pop(worker.number, None)
            worker.environments.pop(event.environment, None)
        self._ledger.fail_environment(environment, event.message)

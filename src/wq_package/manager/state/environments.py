"""The desk for how far environments have come on workers of ours, and the layers on their way (logic module)."""

from __future__ import annotations

from wq_package.manager.state import events as e
from wq_package.manager.state.actions import OfferEnvironment, Send, SendLayers, Warn
from wq_package.manager.state.ledger import Ledger
from wq_package.manager.state.records import EnvironmentRecord, EnvironmentStage, WorkerRecord
from wq_package.manager.state.transfers import MOST_WANTED, PeerPlace
from wq_package.protocol import messages as m
from wq_package.task import Environment


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
        environment = self._find_offered(worker, message.environment)
        if environment is None or not message.digests:
            return
        if environment.told[worker.number] is EnvironmentStage.FAILED:
            return
        # One that was ready may have been unused for so long that the worker's store has lost it.
        environment.told[worker.number] = EnvironmentStage.STAGING
        if self._ledger.transfers.has_peer(worker.number):
            transfers = self._ledger.transfers
            if not all(
                transfers.want(worker.number, digest, environment.environment) for digest in message.digests
            ):
                self._ledger.drop(worker, "it wants more layers than any environment has")
            self._assign_transfers()
        elif worker.transfers + len(message.digests) > MOST_WANTED:
            self._ledger.drop(worker, "it wants more layers than any environment has")
        else:
            self._send_layers(worker, environment.environment, message.digests)

    def _send_layers(self, worker: WorkerRecord, environment: Environment, digests: tuple[str, ...]) -> None:
        worker.transfers += len(digests)
        self._ledger.actions.append(SendLayers(worker.number, environment, digests))

    def _assign_transfers(self) -> None:
        """Let begin what the sources have room for."""
        for transfer in self._ledger.transfers.assign(self._ledger.now):
            place = transfer.place
            if place is None:
                target = self._ledger.workers[transfer.target]
                self._send_layers(target, transfer.environment, (transfer.digest,))
            else:
                message = m.FetchLayer(
                    transfer.digest, place.host, place.port, place.secret, place.fingerprint
                )
                self._ledger.actions.append(Send(transfer.target, message))

    def receive_peer_address(self, worker: WorkerRecord, message: m.PeerAddress, _event: e.Received) -> None:
        """Let a worker exchange layers with others; on no other host than it connects from."""
        if not self._ledger.options.peers or self._ledger.transfers.has_peer(worker.number):
            self._ledger.drop(worker, "it tells of a server that it was not asked for")
            return
        host = worker.address.rpartition(":")[0].strip("[]")
        place = PeerPlace(host, message.port, message.secret, message.fingerprint)
        self._ledger.transfers.add_peer(worker.number, place)

    def receive_layer_stored(self, worker: WorkerRecord, message: m.LayerStored, _event: e.Received) -> None:
        """Let others fetch the layer from there."""
        self._ledger.transfers.note_stored(worker.number, message.digest, is_served=message.is_served)
        self._assign_transfers()

    def receive_fetch_failed(self, worker: WorkerRecord, message: m.FetchFailed, _event: e.Received) -> None:
        """Let the layer come from elsewhere."""
        banned = self._ledger.transfers.note_failed(
            worker.number, message.digest, is_damaged=message.is_damaged
        )
        if banned is not None:
            source = self._ledger.workers[banned].label
            self._ledger.actions.append(
                Warn(
                    f"{source} served a damaged layer to {worker.label}, and is not asked again: {message.message}"
                )
            )
        self._assign_transfers()

    def check_transfers(self) -> None:
        """Look elsewhere for layers that take too long, and use what lost workers have left free."""
        self._ledger.transfers.expire(self._ledger.now)
        self._assign_transfers()

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
        self._ledger.transfers.forget_wants(worker.number, message.environment)
        self._assign_transfers()
        environment.failure = f"{message.message} (on worker {worker.label})"
        self._ledger.actions.append(
            Warn(f"an environment cannot be used on {worker.label}: {message.message}")
        )
        self._ledger.check_environments([environment])
        for lane in environment.lanes.values():
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

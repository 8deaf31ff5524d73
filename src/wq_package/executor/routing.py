"""The way of each call from Parsl to the manager (shell module).

Knows the seams of the parts that do the work. Decides little: which bytes a function becomes stands in `functions`, what an
environment needs in `requirements`. Nothing slow happens here: a task of an app whose environment is not ready yet waits in
the packer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from wq_package.executor.app_book import AppBook
from wq_package.executor.delivery import Delivery, Pending
from wq_package.executor.demands import parse_demand
from wq_package.executor.failures import UnsendableError, explain_no_environment
from wq_package.executor.functions import AppKind
from wq_package.executor.packing import Packer
from wq_package.executor.pickling import can_travel, pack_value
from wq_package.executor.shipments import AppKey, Shipment
from wq_package.executor.staging import Cargo, StagingOptions, stage_files
from wq_package.manager import BlockingManager
from wq_package.task import Call, CallMode, Environment, Task

__all__ = ["RoutingOptions", "TaskRouter"]


@dataclass(frozen=True, slots=True)
class RoutingOptions:
    """What all tasks of an executor have in common; see `WQPackageExecutor`."""

    pack: bool
    environment: str | None
    environments: Mapping[str, str]
    variables: tuple[tuple[str, str], ...]
    mode: CallMode
    shared_fs: bool
    use_cache: bool
    autocategory: bool
    max_retries: int | None
    enforce_limits: bool


class TaskRouter:
    """Makes tasks of calls, and sends them once their environments are there."""

    def __init__(
        self, options: RoutingOptions, packer: Packer, delivery: Delivery, manager: BlockingManager
    ) -> None:
        self._options = options
        self._packer = packer
        self._delivery = delivery
        self._manager = manager
        self._apps = AppBook()
        self._uncalled = set(options.environments)
        self._staging = {
            is_bash: StagingOptions(shared_fs=options.shared_fs, is_bash=is_bash, cache=options.use_cache)
            for is_bash in (False, True)
        }

    def submit(
        self,
        func: Callable[..., Any],
        specification: dict[str, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Future[Any]:
        """Send one call on its way; see `WQPackageExecutor.submit`."""
        demand = parse_demand(specification)
        shipment = self._apps.find_shipment(func)
        cargo = stage_files(args, kwargs, self._staging[shipment.kind is AppKind.BASH])
        sent = (cargo.args, cargo.kwargs)
        if shipment.wrapper:
            sent = ((shipment.wrapper, *sent), {})
        try:
            arguments, modules = pack_value(sent)
        except Exception as error:  # whatever the arguments' own pickling raises
            raise UnsendableError(
                f"{_find_culprit(cargo)} of app `{shipment.name}` cannot be pickled: {error}"
            ) from error
        pending = self._delivery.add(shipment, demand)
        call = Call(shipment.function, arguments, self._options.mode)
        self._route(pending, self._choose_environment(shipment, modules), call, cargo)
        return pending.future

    def prepare(self, func: Callable[..., Any]) -> None:
        """Begin to make the environment of an app before its first task is there."""
        shipment = self._apps.find_shipment(func)
        key = self._choose_environment(shipment, frozenset())
        if key is not None:
            self._packer.request(shipment.name, key, self._apps.get_roots(shipment))

    def identify_environment(self, func: Callable[..., Any]) -> str:
        """Name what is in the environment that an app runs in; see `WQPackageExecutor.identify_environment`."""
        shipment = self._apps.find_shipment(func)
        key = self._choose_environment(shipment, frozenset())
        if key is None:
            return ""
        return self._packer.identify(shipment.name, key, self._apps.get_roots(shipment))

    def list_uncalled(self) -> list[str]:
        """List the apps that an environment was named for and that nobody called: their names may be wrong."""
        return sorted(self._uncalled)

    def _choose_environment(self, shipment: Shipment, modules: frozenset[str]) -> AppKey | None:
        """Tell which environment a call needs: that of its app, or a larger one if its arguments bring other modules."""
        self._uncalled.discard(shipment.name)
        given = self._options.environments.get(shipment.name, self._options.environment)
        if given is None and not self._options.pack:
            return None
        key = shipment.key
        if not modules <= shipment.modules:
            key = replace(key, modules=tuple(sorted(shipment.modules | modules)))
        return key if given is None else replace(key, given=given)

    def _route(self, pending: Pending, key: AppKey | None, call: Call, cargo: Cargo) -> None:
        if key is None:
            self._send(pending, call, cargo, None)
            return
        entry = self._packer.find(key)
        if entry is None:
            entry = self._packer.request(pending.shipment.name, key, self._apps.get_roots(pending.shipment))
        pending.entry = entry
        if entry.environment is not None:
            self._send(pending, call, cargo, entry.environment)
            return

        def go_on(environment: Environment | None, error: BaseException | None) -> None:
            if environment is None:
                self._delivery.fail(pending, explain_no_environment(pending.shipment.name, error))
            else:
                self._send(pending, call, cargo, environment)

        self._packer.wait(entry, go_on)

    def _send(self, pending: Pending, call: Call, cargo: Cargo, environment: Environment | None) -> None:
        demand, options = pending.demand, self._options
        task = Task(
            call=call,
            environment=environment,
            inputs=cargo.inputs,
            outputs=cargo.outputs,
            variables=options.variables,
            resources=demand.resources,
            category=pending.shipment.category if options.autocategory else "parsl-default",
            priority=demand.priority,
            max_retries=options.max_retries,
            running_time_min=demand.running_time_min,
            enforce_limits=options.enforce_limits,
        )
        self._manager.submit(task, functools.partial(self._delivery.deliver, pending))


def _find_culprit(cargo: Cargo) -> str:
    """Name the first argument that cannot be pickled."""
    arguments = {f"argument {number}": value for number, value in enumerate(cargo.args, 1)}
    arguments |= {f"argument `{name}`": value for name, value in cargo.kwargs.items()}
    return next((name for name, value in arguments.items() if not can_travel(value)), "an argument")

"""The manager's state machine: events in, actions out (logic module).

Knows tasks, workers, environments by name, and what each worker has. Knows no socket, clock, file or archive: the
shell beside it (`wq_package.manager.server`) tells what happened and carries out what is decided here.

A task is *ready* (in the queue), *running* (at a worker), *fetching* (its outputs are on their way) or done. It goes back to ready
when its worker is lost; it is done exactly once, with one `Finish`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wq_package.manager.state import events as e
from wq_package.manager.state import greeting, results
from wq_package.manager.state.actions import (
    Action,
    Drop,
    Fetch,
    Finish,
    OfferEnvironment,
    Send,
    SendLayers,
    Warn,
)
from wq_package.manager.state.deadlines import Deadlines
from wq_package.manager.state.descriptions import ANSWER, describe
from wq_package.manager.state.options import StateOptions
from wq_package.manager.state.placement import Placement
from wq_package.manager.state.records import (
    Box,
    EnvironmentRecord,
    EnvironmentStage,
    Lane,
    RunRecord,
    TaskRecord,
    TaskState,
    WorkerRecord,
)
from wq_package.manager.state.statistics import Counters, Statistics
from wq_package.protocol import messages as m
from wq_package.task import ResultCode, TaskResult

WARN_AFTER = 10.0
"""Seconds after which people are told that nobody can run a task."""
CATEGORIES_KEPT = 10_000
_CHECK, _SEND_RESULTS = m.Check(), m.SendResults(-1)


class ManagerState:
    """Everything the manager knows, and how it decides."""

    def __init__(self, options: StateOptions | None = None) -> None:
        self.options = options or StateOptions()
        self.placement = Placement(self.options)
        self.workers: dict[int, WorkerRecord] = {}
        self.tasks: dict[int, TaskRecord] = {}
        self.counters = Counters()
        self.category_counts: dict[str, Counters] = {}
        self._now = 0.0
        self._epoch = 0.0
        self._walls = Deadlines()
        self._ends = Deadlines()
        self.refused_hosts: set[str] = set()
        self._is_tick = False
        self._actions: list[Action] = []
        self._handlers: dict[type, Callable[[Any], None]] = {
            e.Submitted: self._on_submitted,
            e.Refused: self._on_refused,
            e.Cancelled: self._on_cancelled,
            e.WorkerConnected: self._on_connected,
            e.WorkerGone: self._on_gone,
            e.Received: self._on_received,
            e.DispatchSent: self._on_dispatch_sent,
            e.DispatchFailed: self._on_dispatch_failed,
            e.OutputFetched: self._on_output_fetched,
            e.OfferFailed: self._on_offer_failed,
            e.TransferEnded: self._on_transfer_ended,
            e.Tick: self._on_tick,
        }
        self._receivers: dict[type, Callable[[WorkerRecord, Any, e.Received], None]] = {
            m.CallResult: self._receive_call_result,
            m.Result: self._receive_result,
            m.AvailableResults: self._receive_available,
            m.Workqueue: self._receive_greeting,
            m.Info: self._receive_info,
            m.Feature: self._receive_feature,
            m.Resource: self._receive_resource,
            m.Name: self._receive_name,
            m.LayersWanted: self._receive_layers_wanted,
            m.EnvironmentReady: self._receive_ready,
            m.EnvironmentFailed: self._receive_failed,
            m.CacheInvalid: self._receive_cache_invalid,
        }

    def handle(self, *events: e.Event) -> list[Action]:
        """Take in what happened, and tell what to do about it.

        Several events at once cost less than one by one, and let urgent tasks overtake others in the same batch.
        """
        for event in events:
            self._handlers[type(event)](event)
        self.placement.place(self._dispatch, self._offer, all_lanes=self._is_tick)
        self._is_tick = False
        actions, self._actions = self._actions, []
        return actions

    # -- tasks --------------------------------------------------------------------------------------------------------

    def _on_submitted(self, event: e.Submitted) -> None:
        task = event.task
        record = TaskRecord(event.task_id, task, self.placement.find_lane(task), event.inputs)
        self.counters.submitted += 1
        self.tasks[event.task_id] = record
        if task.end_time is not None:
            self._ends.add(task.end_time, event.task_id)
        if task.outputs or task.wall_time is not None or event.inputs:
            record.run = RunRecord()
        environment = record.lane.environment
        if environment is not None and self._is_refused_by_all(record, environment):
            self._end(record, results.make_result(record, ResultCode.ENVIRONMENT_FAILED, environment.failure))
            return
        self.placement.add(record)

    def _is_refused_by_all(self, record: TaskRecord, environment: EnvironmentRecord) -> bool:
        return record.lane.is_call and bool(environment.told) and self.placement.is_hopeless(environment)

    def _on_refused(self, event: e.Refused) -> None:
        self.counters.submitted += 1
        self._count_end(event.task.category, event.code)
        self._actions.append(
            Finish(TaskResult(event.task_id, event.code, message=event.message, tag=event.task.tag))
        )

    def _on_cancelled(self, event: e.Cancelled) -> None:
        record = self.tasks.get(event.task_id)
        if record is not None:
            self._stop(record, ResultCode.CANCELLED, "the task was cancelled")

    def _stop(self, record: TaskRecord, code: ResultCode, message: str) -> None:
        """End a task wherever it is."""
        result = results.make_result(record, code, message)
        if record.state is TaskState.READY:
            record.state = TaskState.DONE
            record.lane.forget_one()
        else:
            worker = self._take_from_worker(record)
            worker.remember_kill(record.task_id)
            self._actions.append(Send(worker.number, m.Kill(record.task_id)))
            self._unlink(worker, record)
        self._end(record, result)

    def _end(self, record: TaskRecord, result: TaskResult) -> None:
        """Let a task be done."""
        record.state = TaskState.DONE
        record.run = record.worker = None
        self.tasks.pop(record.task_id, None)
        self._count_end(record.task.category, result.code)
        self._actions.append(Finish(result))

    def _count_end(self, category: str, code: ResultCode) -> None:
        counts = self.category_counts.get(category)
        if counts is None:
            if len(self.category_counts) >= CATEGORIES_KEPT:
                self.category_counts.clear()
            counts = self.category_counts[category] = Counters()
        for counters in (self.counters, counts):
            if code is ResultCode.SUCCESS:
                counters.done += 1
            elif code is ResultCode.CANCELLED:
                counters.cancelled += 1
            else:
                counters.failed += 1

    def _dispatch(self, record: TaskRecord, worker: WorkerRecord, box: Box) -> None:
        record.state = TaskState.RUNNING
        record.worker = worker
        record.box = box
        worker.take(box)
        worker.tasks[record.task_id] = record
        self.counters.dispatches += 1
        action = describe(record, worker, self.options)
        self._actions.append(action)
        if action.puts:
            worker.transfers += 1
        elif record.task.wall_time is not None:
            self._start_clock(record, record.task.wall_time)

    def _start_clock(self, record: TaskRecord, seconds: float) -> None:
        assert record.run is not None
        record.run.started = self._now
        self._walls.add(self._now + seconds, record.task_id)

    def _on_dispatch_sent(self, event: e.DispatchSent) -> None:
        worker, record = self._find_run(event.worker, event.task_id)
        if worker is not None:
            self._end_transfer(worker)
        if record is not None and record.task.wall_time is not None and record.state is TaskState.RUNNING:
            self._start_clock(record, record.task.wall_time)

    def _on_dispatch_failed(self, event: e.DispatchFailed) -> None:
        worker, record = self._find_run(event.worker, event.task_id)
        if worker is not None:
            worker.files.discard(event.cache_name)
            if event.had_puts:
                self._end_transfer(worker)
        if record is None:
            return
        self._take_from_worker(record)
        if event.is_dependent:
            self._retry(record, event.code, event.message, is_suspect=False)
            return
        is_archive = record.task.environment is not None and event.cache_name.startswith("env-")
        code = ResultCode.ENVIRONMENT_FAILED if is_archive else event.code
        self._end(record, results.make_result(record, code, event.message))

    def _find_run(self, number: int, task_id: int) -> tuple[WorkerRecord | None, TaskRecord | None]:
        worker = self.workers.get(number)
        return worker, worker.tasks.get(task_id) if worker is not None else None

    def _take_from_worker(self, record: TaskRecord) -> WorkerRecord:
        worker = record.worker
        assert worker is not None
        del worker.tasks[record.task_id]
        if record.state is TaskState.RUNNING:
            worker.give_back(record.box)
            self.placement.free(worker)
        return worker

    def _retry(self, record: TaskRecord, code: ResultCode, message: str, *, is_suspect: bool) -> None:
        """Put a task that a worker did not end back into the queue, unless that has happened too often."""
        record.losses += is_suspect
        limit = record.task.max_retries
        if is_suspect and limit is not None and record.losses > limit:
            self._end(record, results.make_result(record, code, message))
            return
        record.state = TaskState.READY
        record.worker = None
        record.run = None if record.run is None else RunRecord()
        self.counters.retries += 1
        self.placement.add(record, at_front=True)

    # -- results ------------------------------------------------------------------------------------------------------

    def _receive_available(
        self, worker: WorkerRecord, _message: m.AvailableResults, _event: e.Received
    ) -> None:
        self._actions.append(Send(worker.number, _SEND_RESULTS))

    def _find_running(self, worker: WorkerRecord, task_id: int) -> TaskRecord | None:
        """Find the task that a worker says has ended; drop the worker if it was never given it."""
        record = worker.tasks.get(task_id)
        if record is not None and record.state is TaskState.RUNNING:
            return record
        if worker.killed.pop(task_id, 0) is None:
            return None
        self._drop(worker, f"it returned task {task_id}, which it was not given")
        return None

    def _receive_call_result(self, worker: WorkerRecord, message: m.CallResult, event: e.Received) -> None:
        record = self._find_running(worker, message.task_id)
        if record is None:
            return
        code = results.find_call_code(message.status)
        if code is None or record.task.call is None or message.output_size > len(event.body):
            self._drop(worker, f"its result of task {message.task_id} makes no sense")
            return
        result = results.make_call_result(record, message, code, event.body, worker.label)
        self._take_result(worker, record, result, message.usec)

    def _receive_result(self, worker: WorkerRecord, message: m.Result, event: e.Received) -> None:
        record = self._find_running(worker, message.task_id)
        if record is None:
            return
        result = results.make_command_result(
            record, message, event.body, is_truncated=event.is_truncated, worker=worker.label
        )
        self._take_result(worker, record, result, message.usec)

    def _take_result(self, worker: WorkerRecord, record: TaskRecord, result: TaskResult, usec: int) -> None:
        code = result.code
        if code is ResultCode.FORSAKEN or code is ResultCode.INPUT_MISSING:
            self._take_back(worker, record, result)
            return
        worker.give_back(record.box)
        worker.tasks_done += 1
        self.counters.seconds += usec / 1_000_000
        self.placement.free(worker)
        record.lane.note_duration(usec / 1_000_000)
        run = record.run
        if run is None:
            del worker.tasks[record.task_id]
            self._end(record, result)
            return
        record.state = TaskState.FETCHING
        run.result = result
        self._fetch(worker, record, run, result)

    def _take_back(self, worker: WorkerRecord, record: TaskRecord, result: TaskResult) -> None:
        """Try a task elsewhere that this worker gives back, or for which it has lost an input."""
        self._take_from_worker(record)
        self._actions.append(Send(worker.number, m.Kill(record.task_id)))
        if result.code is ResultCode.FORSAKEN:
            worker.refused.add(record.lane.key)
        elif record.run is not None:
            worker.files.difference_update(staged.cache_name for staged in record.run.inputs)
        if record.task.call is not None:
            worker.functions.discard(record.task.call.function.digest)
        self._unlink(worker, record)
        sentence = result.message or "the worker gave the task back"
        self._retry(record, result.code, sentence, is_suspect=True)

    def _fetch(self, worker: WorkerRecord, record: TaskRecord, run: RunRecord, result: TaskResult) -> None:
        known_missing = set(result.missing_outputs)
        run.missing.extend(name for name in run.outputs if name in known_missing)
        wanted = {name: where for name, where in run.outputs.items() if name not in known_missing}
        run.awaited = len(wanted)
        for sandbox_name, (cache_name, path) in wanted.items():
            self._actions.append(Fetch(worker.number, record.task_id, cache_name, sandbox_name, path))
        if not wanted:
            self._finish_run(worker, record, run, result)

    def _on_output_fetched(self, event: e.OutputFetched) -> None:
        worker, record = self._find_run(event.worker, event.task_id)
        if worker is None or record is None or record.run is None or record.state is not TaskState.FETCHING:
            return
        run = record.run
        run.awaited -= 1
        if event.is_missing:
            run.missing.append(event.sandbox_name)
        elif event.sandbox_name == ANSWER:
            run.answer = event.content
        run.message = run.message or event.message
        if not run.awaited:
            assert run.result is not None
            self._finish_run(worker, record, run, run.result)

    def _finish_run(
        self, worker: WorkerRecord, record: TaskRecord, run: RunRecord, result: TaskResult
    ) -> None:
        del worker.tasks[record.task_id]
        self._actions.append(Send(worker.number, m.Kill(record.task_id)))
        self._unlink(worker, record)
        self._end(record, results.add_outputs(record, result))

    def _unlink(self, worker: WorkerRecord, record: TaskRecord) -> None:
        """Let the worker forget what no other task can use."""
        run = record.run
        if run is None:
            return
        names = [staged.cache_name for staged in run.inputs if not staged.cache]
        names += [cache_name for cache_name, _ in run.outputs.values()]
        self._actions.extend(Send(worker.number, m.Unlink(name)) for name in names)

    # -- workers ------------------------------------------------------------------------------------------------------

    def _on_connected(self, event: e.WorkerConnected) -> None:
        self.workers[event.worker] = WorkerRecord(
            event.worker, event.address, self._now, last_heard=self._now, last_check=self._now
        )

    def _on_gone(self, event: e.WorkerGone) -> None:
        worker = self.workers.get(event.worker)
        if worker is not None:
            self._lose(worker, event.reason)

    def _drop(self, worker: WorkerRecord, reason: str) -> None:
        self._actions.append(Drop(worker.number, reason))
        self._lose(worker, reason)

    def _lose(self, worker: WorkerRecord, reason: str) -> None:
        """Forget a worker; its tasks go back to the front of the queue, in their old order."""
        del self.workers[worker.number]
        self.placement.remove_worker(worker)
        self.counters.lost += worker.is_ready
        for environment in worker.environments.values():
            environment.told.pop(worker.number, None)
        suspects = set[int]() if worker.is_leaving else worker.find_suspects()
        for record in reversed(worker.tasks.values()):
            message = (
                f"{record.losses + 1} workers were lost while they ran this task, the last one: {reason}"
            )
            is_suspect = record.task_id in suspects
            self._retry(record, ResultCode.MAX_RETRIES, message, is_suspect=is_suspect)
        worker.tasks.clear()
        self._check_environments(list(worker.environments.values()))

    def _on_received(self, event: e.Received) -> None:
        worker = self.workers.get(event.worker)
        if worker is None:
            return
        worker.last_heard = self._now
        receive = self._receivers.get(type(event.message))
        if receive is None:
            return
        try:
            receive(worker, event.message, event)
        except greeting.Lie as lie:
            self._drop(worker, str(lie))

    def _receive_greeting(self, worker: WorkerRecord, message: m.Workqueue, _event: e.Received) -> None:
        try:
            greeting.note_greeting(worker, message)
        except greeting.Lie as lie:
            self.counters.refused += 1
            if message.hostname not in self.refused_hosts and len(self.refused_hosts) < 10_000:
                self.refused_hosts.add(message.hostname)
                self._actions.append(Warn(f"a worker on `{message.hostname}` is turned away: {lie}"))
            raise

    def _receive_info(self, worker: WorkerRecord, message: m.Info, _event: e.Received) -> None:
        greeting.note_info(worker, message)
        if worker.is_leaving:
            self.placement.remove_worker(worker)
        elif message.key == "end_of_resource_update":
            self._take_resources(worker)
        self._welcome(worker)

    def _receive_feature(self, worker: WorkerRecord, message: m.Feature, _event: e.Received) -> None:
        greeting.note_feature(worker, message)

    def _receive_resource(self, worker: WorkerRecord, message: m.Resource, _event: e.Received) -> None:
        greeting.note_resource(worker, message)
        self._welcome(worker)

    def _receive_name(self, worker: WorkerRecord, _message: m.Name, _event: e.Received) -> None:
        self._actions.append(Send(worker.number, m.ProjectName(self.options.name)))

    def _take_resources(self, worker: WorkerRecord) -> None:
        before = worker.total
        greeting.sum_up(worker)
        if worker.is_ready and worker.total != before:
            worker.refused.clear()
            self.placement.free(worker)

    def _welcome(self, worker: WorkerRecord) -> None:
        """Let a worker take tasks once its greeting is complete."""
        if worker.is_ready or worker.is_leaving or not greeting.is_greeting_complete(worker):
            return
        worker.is_ready = True
        worker.joined_epoch = self._epoch
        greeting.sum_up(worker)
        self.counters.joined += 1
        if worker.is_dialect:
            self._actions.append(Send(worker.number, m.Hello(1, self.options.session)))
        self.placement.add_worker(worker)

    def _receive_cache_invalid(
        self, worker: WorkerRecord, message: m.CacheInvalid, _event: e.Received
    ) -> None:
        worker.files.discard(message.name)

    # -- environments -------------------------------------------------------------------------------------------------

    def _offer(self, worker: WorkerRecord, environment: EnvironmentRecord) -> None:
        self._actions.append(OfferEnvironment(worker.number, environment.environment))

    def _find_staging(self, worker: WorkerRecord, digest: str) -> EnvironmentRecord | None:
        environment = worker.environments.get(digest)
        if environment is None:
            self._drop(worker, "it answers about an environment that it was not offered")
            return None
        return environment if environment.told.get(worker.number) is EnvironmentStage.STAGING else None

    def _receive_layers_wanted(
        self, worker: WorkerRecord, message: m.LayersWanted, _event: e.Received
    ) -> None:
        environment = self._find_staging(worker, message.environment)
        if environment is not None and message.digests:
            worker.transfers += 1
            self._actions.append(SendLayers(worker.number, environment.environment, message.digests))

    def _receive_ready(self, worker: WorkerRecord, message: m.EnvironmentReady, _event: e.Received) -> None:
        environment = self._find_staging(worker, message.environment)
        if environment is not None:
            environment.told[worker.number] = EnvironmentStage.READY
            self.placement.free(worker)

    def _receive_failed(self, worker: WorkerRecord, message: m.EnvironmentFailed, _event: e.Received) -> None:
        environment = worker.environments.get(message.environment)
        if environment is None or worker.number not in environment.told:
            return
        environment.told[worker.number] = EnvironmentStage.FAILED
        environment.failure = f"{message.message} (on worker {worker.label})"
        self._actions.append(Warn(f"an environment cannot be used on {worker.label}: {message.message}"))
        self._check_environments([environment])
        for lane in environment.lanes:
            if lane.count:
                self.placement.want_environment(lane)

    def _check_environments(self, environments: list[EnvironmentRecord]) -> None:
        """Fail the tasks whose environment no connected worker can use."""
        for environment in environments:
            if environment.failure and self.placement.is_hopeless(environment):
                self._fail_environment(environment, environment.failure)

    def _fail_environment(self, environment: EnvironmentRecord, message: str) -> None:
        for lane in environment.lanes:
            for record in lane.drain() if lane.is_call else ():
                self._end(record, results.make_result(record, ResultCode.ENVIRONMENT_FAILED, message))

    def _on_offer_failed(self, event: e.OfferFailed) -> None:
        environment = self.placement.environments.get(event.environment)
        if environment is None:
            return
        for number, stage in list(environment.told.items()):
            if stage is EnvironmentStage.STAGING:
                del environment.told[number]
                self.workers[number].environments.pop(event.environment, None)
        self._fail_environment(environment, event.message)

    def _on_transfer_ended(self, event: e.TransferEnded) -> None:
        worker = self.workers.get(event.worker)
        if worker is not None:
            self._end_transfer(worker)

    def _end_transfer(self, worker: WorkerRecord) -> None:
        worker.transfers = max(0, worker.transfers - 1)
        worker.last_heard = max(worker.last_heard, self._now)

    # -- time ---------------------------------------------------------------------------------------------------------

    def _on_tick(self, event: e.Tick) -> None:
        self._now, self._epoch = event.now, event.epoch
        for task_id in self._walls.iter_due(self._now):
            self._check_wall_time(task_id)
        for task_id in self._ends.iter_due(self._epoch):
            record = self.tasks.get(task_id)
            if record is not None and record.state is not TaskState.FETCHING:
                self._stop(record, ResultCode.END_TIME, "the task had not ended at its end time")

    def sweep(self) -> list[Action]:
        """Look at every worker and every waiting kind of task; to be called every second or so, after a `Tick`."""
        for worker in list(self.workers.values()):
            self._check_worker(worker)
        for lane in self.placement.iter_waiting():
            self._check_lane(lane)
        self.placement.reconsider()
        self._is_tick = True
        return self.handle()

    def _check_wall_time(self, task_id: int) -> None:
        record = self.tasks.get(task_id)
        if record is None or record.run is None or record.state is not TaskState.RUNNING:
            return
        limit, started = record.task.wall_time, record.run.started
        if limit is not None and started is not None and self._now >= started + limit:
            self._stop(record, ResultCode.WALL_TIME, f"the task ran longer than its wall time of {limit:g} s")

    def _check_worker(self, worker: WorkerRecord) -> None:
        options, now = self.options, self._now
        if not worker.is_ready:
            if not worker.version and now - worker.connected > options.greeting_timeout:
                self._drop(worker, "it did not say what it is")
            return
        if worker.transfers:
            worker.last_heard = worker.last_check = now
        elif worker.last_heard < worker.last_check:
            if now - worker.last_check > options.keepalive_timeout:
                self._drop(worker, f"it has not answered for {now - worker.last_heard:.0f} s")
        elif now - max(worker.last_check, worker.last_heard) > options.keepalive_interval:
            worker.last_check = now
            self._actions.append(Send(worker.number, _CHECK))

    def _check_lane(self, lane: Lane) -> None:
        workers = self.placement.workers.values()
        if not workers or any(self.placement.could_fit(lane, worker) for worker in workers):
            lane.unservable_since = None
        elif lane.unservable_since is None:
            lane.unservable_since = self._now
        elif not lane.is_warned and self._now - lane.unservable_since >= WARN_AFTER:
            lane.is_warned = True
            self._actions.append(Warn(describe_unservable(lane)))

    # -- what can be asked --------------------------------------------------------------------------------------------

    def summarise(self, *, bytes_sent: int = 0, bytes_received: int = 0) -> Statistics:
        """Count everything."""
        counters = self.counters
        waiting = self.placement.count_waiting()
        fetching = sum(
            record.state is TaskState.FETCHING
            for worker in self.workers.values()
            for record in worker.tasks.values()
        )
        ready = [worker for worker in self.workers.values() if worker.is_ready]
        return Statistics(
            tasks_submitted=counters.submitted,
            tasks_waiting=waiting,
            tasks_running=len(self.tasks) - waiting - fetching,
            tasks_fetching=fetching,
            tasks_unservable=sum(
                lane.count for lane in self.placement.iter_waiting() if lane.unservable_since is not None
            ),
            tasks_done=counters.done,
            tasks_failed=counters.failed,
            tasks_cancelled=counters.cancelled,
            retries=counters.retries,
            dispatches=counters.dispatches,
            workers_connected=len(ready),
            workers_busy=sum(bool(worker.tasks) for worker in ready),
            workers_joined=counters.joined,
            workers_lost=counters.lost,
            workers_refused=counters.refused,
            cores_total=sum(worker.total[0] for worker in ready) / 1000,
            cores_committed=sum(min(worker.used[0], worker.total[0]) for worker in ready) / 1000,
            bytes_sent=bytes_sent,
            bytes_received=bytes_received,
            seconds_executing=counters.seconds,
        )

    def count_hungry(self) -> int:
        """Count how many more tasks would be of use now: enough to fill every worker twice."""
        slots = sum(max(1, worker.total[0] // 1000) for worker in self.placement.workers.values())
        return max(0, 2 * max(slots, 1) - self.placement.count_waiting())

    def check(self) -> None:
        """Assert what must always hold; for tests."""
        for worker in self.workers.values():
            boxes = [record.box for record in worker.tasks.values() if record.state is TaskState.RUNNING]
            assert worker.used == [sum(amounts) for amounts in zip(*boxes, strict=True)] or not (
                boxes or any(worker.used)
            )
            assert all(record.worker is worker for record in worker.tasks.values())
        at_workers = sum(len(worker.tasks) for worker in self.workers.values())
        assert at_workers + self.placement.count_waiting() == len(self.tasks)
        for task_id, record in self.tasks.items():
            assert record.task_id == task_id
            assert record.state is not TaskState.DONE


def describe_unservable(lane: Lane) -> str:
    """Say why nobody can run the tasks of a lane."""
    wanted = lane.declared
    amounts = (
        (wanted.cores, "cores"),
        (wanted.memory_mb, "MB of memory"),
        (wanted.disk_mb, "MB of disk"),
        (wanted.gpus, "gpus"),
    )
    text = ", ".join(f"{amount:g} {what}" for amount, what in amounts if amount)
    return (
        f"{lane.count} tasks of category `{lane.category}` need {text}, and no connected worker has that much"
    )

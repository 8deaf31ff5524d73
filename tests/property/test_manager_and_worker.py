"""The manager's state machine with those of real workers: categories, environments, losses, cancellations, delays of all kinds."""

from __future__ import annotations

import itertools
import random
from collections import Counter, deque

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from manager_peers import FUNCTION
from wq_package.manager.state import ManagerState, StateOptions, placement
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.protocol import messages as m
from wq_package.resources import CategoryOptions, LabelMode
from wq_package.task import Call, Environment, Function, InputFile, OutputFile, Resources, ResultCode, Task
from wq_package.worker import actions as act
from wq_package.worker import events as ev
from wq_package.worker.actions import Box
from wq_package.worker.greeting import render_greeting
from wq_package.worker.state import WorkerState
from wq_package.worker.usage import Usage

CAPPED_MB = 200
CATEGORIES = {
    "fixed": CategoryOptions(),
    "adaptive": CategoryOptions(LabelMode.ADAPTIVE, window=2),
    "throughput": CategoryOptions(LabelMode.MAX_THROUGHPUT, window=2),
    "capped": CategoryOptions(LabelMode.ADAPTIVE, window=2, maximum=Resources(memory_mb=CAPPED_MB)),
}
LAYERS = {"1" * 64: ("a", "b"), "2" * 64: ("b", "c")}
ENVIRONMENTS = (None, *(Environment(digest, f"{digest}.tar.zst") for digest in LAYERS))
FUNCTIONS = (FUNCTION, Function("d" * 64, b"another"))
SHARED = e.StagedInput("file-abc-644", "in", content=b"x")
PRIVATE = e.StagedInput("", "own", content=b"y", cache=False)
FLAKY = e.StagedInput("file-gone-644", "gone", path="gone")
NEEDS_MB = (10, 10, 150, 300, 900)
WHOLE = Box(cores=8, memory_mb=1000, disk_mb=10_000, gpus=1)


class WorkerBehindALink:
    """A worker's state with its shell, and all that is on its way to it and back."""

    def __init__(self, number: int, capacity: Box, chance: random.Random, needs: dict[int, int]) -> None:
        self.number, self.capacity, self.chance, self.needs = number, capacity, chance, needs
        self.state = WorkerState(capacity, itertools.count(1))
        self.now = 0.0
        self.to_worker: deque[a.Action] = deque()
        self.to_manager: deque[e.Event] = deque()
        self.running: dict[int, act.StartRun | act.StartCall] = {}
        self.killed: set[int] = set()
        self.later: list[ev.Event] = []
        self.fetches: deque[a.Fetch] = deque()
        self.keys = itertools.count(1)
        self.failed_names: set[str] = set()
        self.is_reliable = False
        identity = m.Workqueue(9, f"host{number}", "Linux", "x86_64", "ours")
        for message in render_greeting(identity, f"w{number}", (m.DIALECT_FEATURE,), capacity, 0):
            self.say(message)

    def say(self, message: m.Message, body: bytes = b"") -> None:
        self.to_manager.append(e.Received(self.number, message, body))  # type: ignore[arg-type]  # a worker says it

    # -- the manager's shell, which sends ------------------------------------------------------------------------------

    def take_one(self) -> None:
        """Let the next thing that the manager wants arrive."""
        action = self.to_worker.popleft()
        match action:
            case a.Dispatch():
                self.take_task(action)
            case a.Send(message=m.ServePeers()):
                pass
            case a.Send():
                self.feed(action.message)  # type: ignore[arg-type]  # what a worker understands
            case a.Fetch():
                self.fetches.append(action)
                self.feed(m.Get(action.cache_name))
            case a.OfferEnvironment(_, environment):
                layers = tuple(m.LayerName(layer, 1) for layer in LAYERS[environment.digest])
                self.feed(m.EnvironmentOffer(environment.digest, layers, (), ""))
            case a.SendLayers(_, _, digests):
                for digest in digests:
                    self.to_manager.append(e.TransferEnded(self.number, 1))
                    is_broken = not self.is_reliable and self.chance.random() < 0.05
                    self.later.append(
                        ev.LayerBroken(digest, "damaged") if is_broken else ev.LayerStored(digest)
                    )
            case _:
                assert isinstance(action, a.Abandon)

    def take_task(self, action: a.Dispatch) -> None:
        message, failed = action.message, ""
        if action.function is not None:
            self.feed(ev.FunctionStored(action.function.digest))
        for staged in action.puts:
            if staged is FLAKY and (self.chance.random() < 0.5):
                failed = staged.cache_name
                self.failed_names.add(failed)
            else:
                self.failed_names.discard(staged.cache_name)
                self.feed(ev.EntryStored(staged.cache_name, next(self.keys)))
        lacking = {file.cache_name for file in message.inputs} & self.failed_names
        if lacking:
            name = failed or lacking.pop()
            self.to_manager.append(
                e.DispatchFailed(
                    self.number,
                    message.task_id,
                    name,
                    "gone",
                    is_dependent=not failed,
                    was_large=action.is_large,
                )
            )
            return
        self.feed(ev.CallArrived(message, action.body) if isinstance(message, m.CallTask) else message)
        if action.is_large:
            self.to_manager.append(e.DispatchSent(self.number, message.task_id))

    # -- the worker's shell --------------------------------------------------------------------------------------------

    def feed(self, event: ev.Event) -> None:
        for action in self.state.handle(event, self.now):
            self.carry_out(action)
        used, capacity = self.state.used, self.capacity
        assert used.cores <= capacity.cores + 0.001
        assert used.memory_mb <= capacity.memory_mb

    def carry_out(self, action: act.Action) -> None:
        match action:
            case act.Send(message):
                self.say(message)
            case act.StartRun() | act.StartCall():
                self.running[action.serial] = action
            case act.KillRun() | act.KillCall():
                self.killed.add(action.serial)
            case act.ReturnCall(serial):
                if self.chance.random() < 0.5:
                    self.later.append(ev.CallReturned(serial))
            case act.PushResult(ended):
                self.say(ended.result, b"x" * ended.result.size)
            case act.SendCallResult(result, body):
                self.say(result, body)
            case act.SendEntry(name, key):
                fetch = self.fetches.popleft()
                assert fetch.cache_name == name
                self.to_manager.append(
                    e.OutputFetched(self.number, fetch.task_id, fetch.sandbox_name, is_missing=key is None)
                )
            case _:
                self.carry_out_other(action)

    def carry_out_other(self, action: act.Action) -> None:
        match action:
            case act.ExamineEnvironment(offer):
                layers = tuple(layer.digest for layer in offer.layers if self.chance.random() < 0.7)
                self.later.append(ev.EnvironmentExamined(offer.digest, layers))
            case act.ComposeEnvironment(offer):
                self.later.append(ev.EnvironmentComposed(offer.digest))
            case _:
                assert not isinstance(action, act.Disconnect), action

    def go_on(self) -> None:
        """Let something end that was begun here."""
        if self.later and (not self.running or self.chance.random() < 0.5):
            event = self.later.pop(self.chance.randrange(len(self.later)))
            if isinstance(event, ev.CallReturned) and self.running.pop(event.serial, None) is None:
                return
            self.feed(event)
        elif self.running:
            serial = self.chance.choice(sorted(self.running))
            self.end(serial, self.running.pop(serial))

    def end(self, serial: int, start: act.StartRun | act.StartCall) -> None:
        task = start.task if isinstance(start, act.StartRun) else start.call
        need, given = self.needs[task.task_id], task.memory_mb or 0
        is_over = task.is_enforced and need > given
        usage = Usage(
            1000,
            given + 1 if is_over else need,
            1,
            limit="memory" if is_over else "",
            allowed=given,
            used=given + 1,
        )
        outputs = tuple((file.cache_name, next(self.keys)) for file in task.outputs)
        usec = self.chance.choice([100, 30_000, 5_000_000])
        if isinstance(start, act.StartRun):
            failure = ResultCode.RESOURCE_EXHAUSTION if is_over else None
            self.feed(ev.RunEnded(serial, usec=usec, outputs=outputs, failure=failure, usage=usage))
            return
        lost = ResultCode.INTERPRETER_LOST if serial in self.killed else ResultCode.SUCCESS
        code = ResultCode.RESOURCE_EXHAUSTION if is_over else lost
        self.feed(ev.CallEnded(serial, code, usec=usec, size=1, body=b"v", outputs=outputs, usage=usage))


class Cluster:
    """A manager and its workers."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.state = ManagerState(
            StateOptions(
                categories=CATEGORIES,
                look_ahead=chance.choice([0, 16]),
                fast_abort_multiplier=chance.choice([None, 1.0]),
                keepalive_interval=1e9,
                greeting_timeout=1e9,
                launcher=b"launch",
                run_call=b"run",
            )
        )
        self.workers: dict[int, WorkerBehindALink] = {}
        self.results: Counter[int] = Counter()
        self.codes: dict[int, ResultCode] = {}
        self.tasks: dict[int, Task] = {}
        self.needs: dict[int, int] = {}
        self.flaky: set[int] = set()
        self.cancelled: set[int] = set()
        self.numbers = itertools.count(1)
        self.now = 0.0

    def step(self) -> None:
        steps = {
            self.connect: 2, self.submit: 5, self.deliver: 25, self.hear: 25, self.work: 18, self.lose: 1, self.cancel: 1,
            self.tick: 2, self.trouble: 1,
        }  # fmt: skip
        self.chance.choices(list(steps), list(steps.values()))[0]()
        self.state.check()
        assert all(count == 1 for count in self.results.values()), "a task ended twice"
        assert len(self.results) + len(self.state.tasks) == len(self.tasks), "a task is lost"

    def handle(self, *events: e.Event) -> None:
        self.carry_out(self.state.handle(*events))

    def carry_out(self, actions: list[a.Action]) -> None:
        for action in actions:
            if isinstance(action, a.Finish):
                self.results[action.result.task_id] += 1
                self.codes[action.result.task_id] = action.result.code
            elif isinstance(action, a.Drop):
                assert action.reason.startswith("two tasks in a row"), (
                    f"an honest worker was dropped: {action.reason}"
                )
                del self.workers[action.worker]
            elif not isinstance(action, a.Warn) and action.worker in self.workers:
                self.workers[action.worker].to_worker.append(action)

    def pick(self) -> WorkerBehindALink | None:
        return self.workers[self.chance.choice(sorted(self.workers))] if self.workers else None

    def connect(self) -> None:
        if len(self.workers) < 4:
            chance = self.chance
            self.add_worker(Box(chance.randint(1, 4), 1000, chance.choice([500, 5000]), chance.randint(0, 1)))

    def add_worker(self, capacity: Box) -> WorkerBehindALink:
        number = next(self.numbers)
        self.workers[number] = WorkerBehindALink(number, capacity, self.chance, self.needs)
        self.handle(e.WorkerConnected(number, f"10.0.0.{number}:1"))
        return self.workers[number]

    def submit(self) -> None:
        chance = self.chance
        category = chance.choice(list(CATEGORIES))
        declared = Resources(
            chance.choice([None, 0.5, 1]), None, chance.choice([None, 100]), chance.choice([None, 1])
        )
        environment, is_call = chance.choice(ENVIRONMENTS), chance.random() < 0.7
        staged = tuple(each for each in (SHARED, PRIVATE, FLAKY) if chance.random() < 0.2)
        task = Task(
            command=None if is_call else "true",
            call=Call(chance.choice(FUNCTIONS), b"arguments") if is_call else None,
            environment=environment,
            resources=Resources(cores=1) if category == "fixed" else declared,
            category=category,
            max_retries=None,
            priority=chance.choice([0.0, 0.0, 1.0]),
            inputs=tuple(InputFile(each.sandbox_name, content=b"") for each in staged),
            outputs=(OutputFile("out", "out"),) if chance.random() < 0.2 else (),
        )
        for _ in range(chance.randint(1, 4)):
            number = len(self.tasks) + 1
            self.tasks[number], self.needs[number] = task, chance.choice(NEEDS_MB)
            self.flaky.update((number,) if FLAKY in staged else ())
            self.handle(e.Submitted(number, task, staged))

    def deliver(self) -> None:
        worker = self.pick()
        if worker is not None and worker.to_worker:
            worker.take_one()

    def hear(self) -> None:
        worker = self.pick()
        if worker is not None and worker.to_manager:
            count = self.chance.randint(1, 12)
            self.handle(*[worker.to_manager.popleft() for _ in range(min(count, len(worker.to_manager)))])

    def work(self) -> None:
        worker = self.pick()
        if worker is not None:
            worker.go_on()

    def lose(self) -> None:
        worker = self.pick()
        if worker is not None:
            del self.workers[worker.number]
            self.handle(e.WorkerGone(worker.number, "killed"))
            self.handle(*worker.to_manager)

    def cancel(self) -> None:
        if self.tasks:
            number = self.chance.randint(1, len(self.tasks))
            self.cancelled.add(number)
            self.handle(e.Cancelled(number))

    def trouble(self) -> None:
        """Let a worker's disk fill or be freed, or let it drain."""
        worker = self.pick()
        if worker is not None:
            disk = max(self.chance.choice([50, 600, 5000]), worker.state.used.disk_mb)
            worker.feed(ev.Drain() if self.chance.random() < 0.3 else ev.DiskChanged(disk))

    def tick(self) -> None:
        self.now += self.chance.choice([0.1, 1.0, 40.0])
        for worker in self.workers.values():
            worker.now = self.now
        self.handle(e.Tick(self.now, self.now))
        self.carry_out(self.state.sweep())

    def finish(self) -> None:
        """Leave one large worker, and no more trouble: everything ends."""
        while self.workers:
            self.lose()
        worker = self.add_worker(WHOLE)
        worker.is_reliable = True
        for _ in range(200 * len(self.tasks) + 200):
            self.hear()
            self.deliver()
            self.work()
            if not self.state.tasks:
                return


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), lanes=st.sampled_from([2, 10_000]), steps=st.integers(1, 500))
def test_manager_and_workers__in_any_order__every_task_ends_once_and_as_it_should(
    seed: int, lanes: int, steps: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placement, "LANES_KEPT", lanes)
        cluster = Cluster(random.Random(seed))
    for _ in range(steps):
        cluster.step()
    cluster.finish()
    assert not cluster.state.tasks, "a task waits for ever"
    for number, task in cluster.tasks.items():
        assert cluster.results[number] == 1
        code = cluster.codes[number]
        is_too_large = task.category == "capped" and cluster.needs[number] > CAPPED_MB
        assert (
            code is ResultCode.SUCCESS
            or (code is ResultCode.CANCELLED and number in cluster.cancelled)
            or (code is ResultCode.INPUT_MISSING and number in cluster.flaky)
            or (code is ResultCode.RESOURCE_EXHAUSTION and is_too_large)
            or (code is ResultCode.ENVIRONMENT_FAILED and task.environment is not None)
        ), (number, code, task)
    assert all(not any(worker.used) for worker in cluster.state.workers.values())

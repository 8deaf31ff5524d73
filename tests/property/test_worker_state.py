"""Whatever a manager says and whatever becomes of its tasks, in any order: nothing is lost, told twice or over-committed."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wq_package.protocol import messages as m
from wq_package.task import ResultCode
from wq_package.worker import actions as act
from wq_package.worker import events as ev
from wq_package.worker.actions import Box
from wq_package.worker.state import WorkerState

CAPACITY = Box(cores=4, memory_mb=100, disk_mb=100, gpus=1)
NAMES = ("a", "b", "c")
ENVIRONMENTS = ("", "e", "f")
LAYERS = {"e": ("1", "2"), "f": ("2", "3")}

boxes = st.one_of(
    st.just({"cores": None, "memory_mb": None, "disk_mb": None, "gpus": None}),
    st.fixed_dictionaries(
        {
            "cores": st.sampled_from([0.0, 0.5, 1.0, 2.0, 4.0, 5.0]),
            "memory_mb": st.sampled_from([None, 10, 60]),
            "disk_mb": st.sampled_from([None, 10, 60]),
            "gpus": st.sampled_from([None, 0, 1]),
        }
    ),
)
durations = st.integers(0, 20_000)


class WorkerMachine(RuleBasedStateMachine):
    """The shell, a manager of ours and the world around a `WorkerState`."""

    speaks_dialect = True

    def __init__(self) -> None:
        super().__init__()
        self.state = WorkerState(CAPACITY, itertools.count(1))
        self.now = 0.0
        self.keys = itertools.count(1)
        self.next_task = 0
        self.sent: set[int] = set()  # tasks and calls that the manager waits for
        self.cancelled: set[int] = set()
        self.told: list[int] = []
        self.running: dict[int, act.StartRun | act.StartCall] = {}
        self.killed: set[int] = set()
        self.wanted_back: list[int] = []
        self.live_keys: set[int] = set()
        self.names: dict[str, int] = {}
        self.examining: list[str] = []
        self.composing: list[str] = []
        self.coming: list[str] = []
        self.claims: set[str] = set()  # layers that are ours to fetch
        self.awaited: list[str] = []  # layers that other workers fetch
        self.resting: set[str] = set()
        self.is_answered = True
        self.is_announced = False
        if self.speaks_dialect:
            self.feed(m.Hello(1, "s"))
            self.feed(ev.FunctionStored("f"))

    def feed(self, event: Any) -> None:
        for action in self.state.handle(event, self.now):
            self.carry_out(action)

    def carry_out(self, action: act.Action) -> None:
        match action:
            case act.StartRun() | act.StartCall():
                assert action.serial not in self.running
                assert {file.key for file in action.inputs} <= self.live_keys, "an input is gone"
                self.running[action.serial] = action
                if isinstance(action, act.StartCall):
                    assert action.call.environment not in self.resting, "nobody has looked after it"
            case act.KillRun() | act.KillCall():
                assert action.serial in self.running
                self.killed.add(action.serial)
            case act.Send():
                self.hear(action.message)
            case act.ReturnCall():
                assert action.serial in self.running
                self.wanted_back.append(action.serial)
            case act.ExamineEnvironment():
                self.examining.append(action.offer.digest)
                self.resting.discard(action.offer.digest)
            case act.RestEnvironment():
                assert not self.is_used(action.environment)
                self.resting.add(action.environment)
            case act.ComposeEnvironment():
                self.composing.append(action.offer.digest)
            case act.ReleaseLayer():
                self.claims.remove(action.digest)
            case _:
                self.check(action)

    def is_used(self, environment: str) -> bool:
        starts = [start for start in self.running.values() if isinstance(start, act.StartCall)]
        return any(start.call.environment == environment for start in starts)

    def check(self, action: act.Action) -> None:
        match action:
            case act.RemoveEntry():
                assert action.key in self.live_keys, "removed twice"
                assert not any(file.key == action.key for run in self.running.values() for file in run.inputs)
                self.live_keys.remove(action.key)
            case act.SendResults():
                assert not self.speaks_dialect or not action.ended
                for ended in action.ended:
                    self.tell(ended.result.task_id)
            case act.PushResult():
                assert self.speaks_dialect
                self.tell(action.ended.result.task_id)
            case act.SendCallResult():
                self.tell(action.result.task_id)
            case act.SendEntry():
                assert action.name not in NAMES or action.key == self.names.get(action.name)
            case _:
                assert isinstance(action, act.DropCall)

    def hear(self, message: m.Message) -> None:
        if isinstance(message, m.AvailableResults):
            assert not self.is_announced
            self.is_announced = True
        elif isinstance(message, m.LayersWanted):
            assert not set(message.digests) & set(self.coming), "asked for twice"
            assert set(message.digests) <= self.claims, "asked for what is not ours to fetch"
            self.coming.extend(message.digests)
        elif isinstance(message, m.Recalled):
            assert set(message.task_ids) <= self.sent, "given back, but not waited for"
            self.sent.difference_update(message.task_ids)

    def tell(self, number: int) -> None:
        assert number in self.sent, "never asked for, or told twice"
        self.sent.remove(number)
        assert number not in self.cancelled, "the manager does not want it"
        self.told.append(number)

    # -- the manager ---------------------------------------------------------------------------------------------------

    @rule(box=boxes, names=st.sets(st.sampled_from(NAMES)), wall_time=st.sampled_from([None, 1.0, 5.0]))
    def submit_task(self, box: dict[str, Any], names: set[str], wall_time: float | None) -> None:
        self.next_task += 1
        self.sent.add(self.next_task)
        if not self.speaks_dialect:
            names &= set(self.names)  # a worker parts from a real manager that has forgotten to send an input
        inputs = tuple(m.TaskFile(name, name) for name in sorted(names))
        self.feed(m.TaskDescription(self.next_task, "true", inputs=inputs, wall_time=wall_time, **box))

    @precondition(lambda self: self.speaks_dialect)
    @rule(
        box=boxes,
        names=st.sets(st.sampled_from(NAMES), max_size=1),
        environment=st.sampled_from(ENVIRONMENTS),
        mode=st.sampled_from(["in-place", "fork"]),
        function=st.sampled_from(["f", "f", "f", "unknown"]),
    )
    def submit_call(
        self, box: dict[str, Any], names: set[str], environment: str, mode: str, function: str
    ) -> None:
        self.next_task += 1
        self.sent.add(self.next_task)
        inputs = tuple(m.TaskFile(name, name) for name in sorted(names))
        call = m.CallTask(self.next_task, environment, function, 1, mode, inputs=inputs, **box)
        self.feed(ev.CallArrived(call, b"x"))

    @rule(name=st.sampled_from(NAMES))
    def put(self, name: str) -> None:
        key = next(self.keys)
        self.live_keys.add(key)
        self.names[name] = key
        self.feed(ev.EntryStored(name, key))

    @rule(name=st.sampled_from(NAMES))
    def unlink(self, name: str) -> None:
        self.names.pop(name, None)
        self.feed(m.Unlink(name))

    @rule(name=st.sampled_from(NAMES))
    def get(self, name: str) -> None:
        self.feed(m.Get(name))

    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(1, max(1, self.next_task)))
        if number in self.sent:
            self.cancelled.add(number)
            self.sent.discard(number)
        self.feed(m.Kill(number))

    @precondition(lambda self: self.speaks_dialect)
    @rule(data=st.data())
    def recall(self, data: st.DataObject) -> None:
        numbers = data.draw(st.sets(st.integers(1, max(1, self.next_task)), max_size=6))
        self.feed(m.Recall(tuple(sorted(numbers))))

    @rule()
    def ask_for_results(self) -> None:
        self.is_announced = False
        self.feed(m.SendResults(-1))

    @precondition(lambda self: self.speaks_dialect)
    @rule(name=st.sampled_from(("e", "f")))
    def offer(self, name: str) -> None:
        layers = tuple(m.LayerName(layer, 1) for layer in LAYERS[name])
        self.feed(m.EnvironmentOffer(name, layers, (), ""))

    # -- the world -----------------------------------------------------------------------------------------------------

    @rule(disk_mb=st.sampled_from([5, 40, 100, 150]))
    def change_disk(self, disk_mb: int) -> None:
        # What tasks hold counts as theirs, whatever is free.
        self.feed(ev.DiskChanged(max(disk_mb, self.state.used.disk_mb)))

    @rule(name=st.sampled_from(("e", "f")))
    def end_interpreters(self, name: str) -> None:
        if not self.is_used(name):
            self.feed(ev.EnvironmentIdle(name))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), usec=durations, leaves=st.booleans())
    def end_one(self, data: st.DataObject, usec: int, leaves: bool) -> None:
        serial = data.draw(st.sampled_from(sorted(self.running)))
        self.finish(serial, usec, leaves=leaves)

    def finish(self, serial: int, usec: int, *, leaves: bool) -> None:
        action = self.running.pop(serial)
        outputs: tuple[tuple[str, int], ...] = ()
        if leaves:
            key = next(self.keys)
            self.live_keys.add(key)
            outputs = ((f"output {serial}", key),)
        if isinstance(action, act.StartRun):
            self.feed(ev.RunEnded(serial, usec=usec, outputs=outputs))
        else:
            code = ResultCode.INTERPRETER_LOST if serial in self.killed else ResultCode.SUCCESS
            self.feed(ev.CallEnded(serial, code, usec=usec, outputs=outputs))

    @precondition(lambda self: self.wanted_back)
    @rule()
    def take_back(self) -> None:
        serial = self.wanted_back.pop()
        if self.running.pop(serial, None) is not None:
            self.feed(ev.CallReturned(serial))

    @rule(seconds=st.sampled_from([0.5, 2.0, 10.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.feed(ev.Clock())

    @precondition(lambda self: self.examining)
    @rule(
        here=st.sets(st.sampled_from(["1", "2", "3"])),
        elsewhere=st.sets(st.sampled_from(["1", "2", "3"])),
        is_broken=st.booleans(),
    )
    def examine(self, here: set[str], elsewhere: set[str], is_broken: bool) -> None:
        name = self.examining.pop(0)
        if is_broken:
            self.feed(ev.EnvironmentBroken(name, "broken"))
        else:
            missing = [layer for layer in LAYERS[name] if layer not in here]
            awaited = tuple(layer for layer in missing if layer in elsewhere or layer in self.claims)
            mine = tuple(layer for layer in missing if layer not in awaited)
            self.claims.update(mine)
            self.awaited.extend(awaited)
            self.feed(ev.EnvironmentExamined(name, mine, awaited))

    @precondition(lambda self: self.awaited)
    @rule(is_given_up=st.booleans())
    def stop_waiting(self, is_given_up: bool) -> None:
        layer = self.awaited.pop(0)
        if is_given_up and layer not in self.claims:
            self.claims.add(layer)
            self.feed(ev.LayerClaimed(layer))
        else:
            self.feed(ev.LayerStored(layer))

    @precondition(lambda self: self.coming)
    @rule(data=st.data(), is_broken=st.booleans())
    def store_layer(self, data: st.DataObject, is_broken: bool) -> None:
        layer = data.draw(st.sampled_from(sorted(self.coming)))
        self.coming.remove(layer)
        self.claims.remove(layer)
        self.feed(ev.LayerBroken(layer, "damaged") if is_broken else ev.LayerStored(layer))

    @precondition(lambda self: self.composing)
    @rule(is_broken=st.booleans())
    def compose(self, is_broken: bool) -> None:
        name = self.composing.pop(0)
        self.feed(ev.EnvironmentBroken(name, "broken") if is_broken else ev.EnvironmentComposed(name))

    # -- what must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def the_worker_is_not_over_committed(self) -> None:
        used = self.state.used
        assert -0.001 <= used.cores <= CAPACITY.cores + 0.001
        assert 0 <= used.memory_mb <= CAPACITY.memory_mb
        assert 0 <= used.disk_mb <= self.state.capacity.disk_mb
        assert 0 <= used.gpus <= CAPACITY.gpus
        assert self.state.running == len(self.running)

    def teardown(self) -> None:
        """Let everything that is on its way end: then everything must have been told."""
        for _ in range(10_000):
            if self.examining:
                self.feed(ev.EnvironmentExamined(self.examining.pop(0), ()))
            elif self.coming:
                self.feed(ev.LayerStored(self.coming.pop(0)))
            elif self.awaited:
                self.feed(ev.LayerStored(self.awaited.pop(0)))
            elif self.composing:
                self.feed(ev.EnvironmentComposed(self.composing.pop(0)))
            elif self.running:
                self.finish(min(self.running), 1, leaves=False)
            else:
                break
        self.feed(m.SendResults(-1))
        assert self.sent == set(), "lost"
        assert self.state.is_idle
        assert abs(self.state.used.cores) < 0.001
        for name in self.names:
            self.feed(m.Unlink(name))
        left = {
            self.state.handle(m.Get(f"output {serial}"), self.now)[0]
            for serial in range(1, self.next_task + 1)
        }
        kept = {action.key for action in left if isinstance(action, act.SendEntry) and action.key is not None}
        assert self.live_keys == kept, "an entry is left over"


WorkerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestWorkerState = WorkerMachine.TestCase


class PlainWorkerMachine(WorkerMachine):
    """The same with a real manager."""

    speaks_dialect = False


PlainWorkerMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestPlainWorkerState = PlainWorkerMachine.TestCase

"""The manager's state machine among unreliable workers: no task is lost, none ends twice, no worker is over-committed."""

from __future__ import annotations

import random
from collections import Counter

import hypothesis.strategies as st
from hypothesis import given, settings

from manager_peers import SimulatedWorker, make_call
from wq_package.manager.state import ManagerState, StateOptions
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.protocol import messages as m
from wq_package.resources import CategoryOptions, LabelMode
from wq_package.task import Environment, InputFile, OutputFile, Resources, ResultCode, Task

ENVIRONMENTS = (None, None, Environment("1" * 64, "one.tar.gz"), Environment("2" * 64, "two.tar.zst"))
WHOLE = Resources(8, 10_000, 10_000, 8)
"""A worker that every task fits."""
INPUTS = (
    e.StagedInput("file-abc-644", "in", content=b"x"),
    e.StagedInput("", "own", content=b"y", cache=False),
)


class QueueAmongWorkers:
    """A state machine, simulated workers, and everything between them that is still on its way."""

    def __init__(
        self,
        chance: random.Random,
        *,
        look_ahead: int,
        fast_abort: float | None = None,
        mode: LabelMode = LabelMode.FIXED,
    ) -> None:
        self.chance = chance
        self.look_ahead = look_ahead
        self.mode = mode
        self.needs: dict[int, int] = {}
        self.exhausted: dict[int, list[int]] = {}
        self.state = ManagerState(
            StateOptions(
                look_ahead=look_ahead,
                fast_abort_multiplier=fast_abort,
                default_category=CategoryOptions(mode, window=3),
                launcher=b"launch",
                run_call=b"run",
            )
        )
        self.workers: dict[int, SimulatedWorker] = {}
        self.pending: dict[int, list[list[e.Event]]] = {}
        self.results: Counter[int] = Counter()
        self.codes: dict[int, ResultCode] = {}
        self.submitted = 0
        self.cancelled: set[int] = set()
        self.numbers = 0
        self.now = 0.0

    def step(self) -> None:
        """Let one thing happen."""
        steps = {
            self.connect: 2,
            self.submit: 6,
            self.deliver: 20,
            self.complete: 12,
            self.arrive: 16,
            self.lose: 1,
            self.cancel: 1,
            self.tick: 2,
        }
        self.chance.choices(list(steps), list(steps.values()))[0]()
        self.check()

    def handle(self, *events: e.Event) -> None:
        for event in events:
            if isinstance(event, e.Received) and isinstance(event.message, m.CallResult):
                self.note_exhaustion(event.worker, event.message)
        self.carry_out(self.state.handle(*events))

    def note_exhaustion(self, number: int, message: m.CallResult) -> None:
        """Note how much a task had that needed more, unless the machine does not wait for it there any more."""
        worker, record = self.state.workers.get(number), self.state.tasks.get(message.task_id)
        if (
            message.status == ResultCode.RESOURCE_EXHAUSTION.value
            and worker
            and record
            and record.worker is worker
        ):
            self.exhausted.setdefault(message.task_id, []).append(record.box[1])

    def carry_out(self, actions: list[a.Action]) -> None:
        for action in actions:
            if isinstance(action, a.Finish):
                self.results[action.result.task_id] += 1
                self.codes[action.result.task_id] = action.result.code
            elif isinstance(action, a.Drop):
                assert action.reason.startswith("two tasks in a row"), "an honest worker was dropped"
                del self.workers[action.worker], self.pending[action.worker]
            elif not isinstance(action, a.Warn) and action.worker in self.workers:
                self.workers[action.worker].inbox.append(action)

    def connect(self) -> None:
        if len(self.workers) < 5:
            total = Resources(self.chance.randint(1, 4), 1000, 1000, self.chance.randint(0, 1))
            self.add_worker(total, dialect=self.chance.random() < 0.5)

    def add_worker(self, total: Resources, *, dialect: bool) -> None:
        self.numbers += 1
        worker = self.workers[self.numbers] = SimulatedWorker(self.numbers, total, dialect=dialect)
        worker.needs = self.needs
        self.pending[self.numbers] = []
        self.handle(*worker.greet())

    def submit(self) -> None:
        chance = self.chance
        box = Resources(
            chance.choice([None, 0.5, 1, 2, 4]),
            chance.choice([None, 100, 900]) if self.mode is LabelMode.FIXED else None,
            chance.choice([None, 100]),
            chance.choice([None, None, 1]),
        )
        environment = chance.choice(ENVIRONMENTS)
        kind = chance.choice(["call", "command", "files"])
        priority = chance.choice([0.0, 1.0])
        for _ in range(chance.randint(1, 5)):
            self.submitted += 1
            if self.mode is not LabelMode.FIXED:
                self.needs[self.submitted] = chance.choice([10, 10, 300, 900])
            task = Task(
                command="true" if kind == "command" else None,
                call=None if kind == "command" else make_call().call,
                environment=environment,
                resources=box,
                max_retries=None,
                priority=priority,
                inputs=(InputFile("in", content=b"x"), InputFile("own", content=b"y"))
                if kind == "files"
                else (),
                outputs=(OutputFile("out", "out"),) if kind == "files" else (),
            )
            self.handle(e.Submitted(self.submitted, task, INPUTS if kind == "files" else ()))

    def pick_worker(self) -> SimulatedWorker | None:
        return self.workers[self.chance.choice(sorted(self.workers))] if self.workers else None

    def deliver(self) -> None:
        worker = self.pick_worker()
        if worker is not None and worker.inbox:
            self.pending[worker.number].append(worker.take_one())

    def complete(self) -> None:
        worker = self.pick_worker()
        if worker is not None and worker.running:
            usec = self.chance.choice([100, 30_000, 5_000_000])
            self.pending[worker.number].append(
                worker.complete(self.chance.randrange(len(worker.running)), usec=usec)
            )

    def arrive(self) -> None:
        worker = self.pick_worker()
        if worker is not None and self.pending[worker.number]:
            self.handle(*self.pending[worker.number].pop(0))

    def lose(self) -> None:
        worker = self.pick_worker()
        if worker is not None:
            self.remove(worker.number)

    def remove(self, number: int) -> None:
        late = self.pending.pop(number)
        self.handle(e.WorkerGone(number, "killed"))
        del self.workers[number]
        for events in late:
            self.handle(*events)

    def cancel(self) -> None:
        if self.submitted:
            task_id = self.chance.randint(1, self.submitted)
            self.cancelled.add(task_id)
            self.handle(e.Cancelled(task_id))

    def tick(self) -> None:
        self.now += self.chance.choice([0.1, 1.0])
        self.handle(e.Tick(self.now, self.now))
        self.carry_out(self.state.sweep())

    def check(self) -> None:
        self.state.check()
        assert all(count == 1 for count in self.results.values())
        assert len(self.results) + len(self.state.tasks) == self.submitted
        if not self.look_ahead:
            assert not any(worker.is_overcommitted() for worker in self.workers.values())

    def finish(self) -> None:
        """Give the machine one large worker, and no more trouble: every task ends, also without a `Tick`."""
        for number in list(self.workers):
            self.remove(number)
        self.add_worker(WHOLE, dialect=self.chance.random() < 0.7)
        for _ in range(40 * self.submitted + 40):
            for worker in self.workers.values():
                while worker.inbox:
                    self.handle(*worker.take_one())
                while worker.running:
                    self.handle(*worker.complete(0))
            if not self.state.tasks:
                return


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    look_ahead=st.sampled_from([0, 16]),
    fast_abort=st.sampled_from([None, None, 1.0]),
    steps=st.integers(1, 400),
)
def test_manager_state__workers_come_and_go__every_task_ends_exactly_once(
    seed: int, look_ahead: int, fast_abort: float | None, steps: int
) -> None:
    queue = QueueAmongWorkers(random.Random(seed), look_ahead=look_ahead, fast_abort=fast_abort)
    for _ in range(steps):
        queue.step()
    queue.finish()
    queue.check()
    assert len(queue.results) == queue.submitted
    ended = {ResultCode.SUCCESS, ResultCode.OUTPUT_MISSING}
    assert all(code in ended or task_id in queue.cancelled for task_id, code in queue.codes.items())
    assert all(not any(worker.used) for worker in queue.state.workers.values())


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    mode=st.sampled_from([mode for mode in LabelMode if mode is not LabelMode.FIXED]),
    steps=st.integers(1, 300),
)
def test_manager_state__labels_among_losses__retries_with_more_until_each_task_ends(
    seed: int, mode: LabelMode, steps: int
) -> None:
    queue = QueueAmongWorkers(random.Random(seed), look_ahead=0, mode=mode)
    for _ in range(steps):
        queue.step()
    queue.finish()
    queue.check()
    assert len(queue.results) == queue.submitted
    ended = {ResultCode.SUCCESS, ResultCode.OUTPUT_MISSING}  # every need fits every worker
    assert all(code in ended or task_id in queue.cancelled for task_id, code in queue.codes.items())
    for task_id, sizes in queue.exhausted.items():
        assert sizes == sorted(set(sizes)), f"task {task_id} was tried again with no more than before"
        assert sizes[-1] < queue.needs[task_id]
    assert all(worker.kept_for is None for worker in queue.state.workers.values())

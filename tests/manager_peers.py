"""Simulated workers for the manager's state machine: no sockets, no time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from wq_package.manager.state import ManagerState
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.protocol import messages as m
from wq_package.task import Call, Environment, Function, Resources, ResultCode, Task, TaskResult

FUNCTION = Function("f" * 64, b"function")
SMALL = Resources(1, 10, 10)


def make_call(
    *,
    environment: Environment | None = None,
    resources: Resources = SMALL,
    wall_time: float | None = None,
    max_retries: int | None = 3,
    priority: float = 0.0,
) -> Task:
    return Task(
        call=Call(FUNCTION, b"arguments"),
        environment=environment,
        resources=resources,
        wall_time=wall_time,
        max_retries=max_retries,
        priority=priority,
    )


def greet(
    number: int,
    *,
    cores: float = 2,
    memory: int = 1000,
    disk: int = 1000,
    gpus: int = 0,
    dialect: bool = True,
    version: int = 9,
) -> list[e.Event]:
    """Everything that a worker says until it may be given tasks."""
    said: list[m.ToManager] = [
        m.Workqueue(version, f"host{number}", "Linux", "x86_64", "8.0.0"),
        m.Info("worker-id", f"worker-{number}"),
    ]
    if dialect:
        said.append(m.Feature(m.DIALECT_FEATURE))
    amounts = {"workers": 1, "disk": disk, "memory": memory, "gpus": gpus, "cores": cores, "tag": 0}
    said += [m.Resource(name, amount, amount, amount) for name, amount in amounts.items()]
    said += [m.Info("end_of_resource_update", "0"), m.Info("worker-end-time", "0")]
    return [e.WorkerConnected(number, f"10.0.0.{number}:1"), *(e.Received(number, word) for word in said)]


def connect(state: ManagerState, number: int, **what: float) -> list[a.Action]:
    """Let a worker connect and give what the machine makes of it."""
    return state.handle(*greet(number, **what))  # type: ignore[arg-type]  # keywords of greet


def find_dispatched(actions: Iterable[a.Action], worker: int | None = None) -> list[int]:
    """The ids of the tasks that the actions send, in order."""
    return [
        action.message.task_id
        for action in actions
        if isinstance(action, a.Dispatch) and worker in (None, action.worker)
    ]


def find_results(actions: Iterable[a.Action]) -> dict[int, TaskResult]:
    return {action.result.task_id: action.result for action in actions if isinstance(action, a.Finish)}


def answer_call(worker: int, task_id: int, *, usec: int = 1_000_000, **more: object) -> e.Received:
    """A call's result as the worker pushes it."""
    body = b"value"
    message = m.CallResult(task_id, "success", 0, len(body), 0, usec, **more)  # type: ignore[arg-type]
    return e.Received(worker, message, body)


def answer_command(
    worker: int, task_id: int, *, status: int = 0, exit_code: int = 0, usec: int = 1_000_000
) -> e.Received:
    return e.Received(worker, m.Result(status, exit_code, 3, usec, task_id), b"out")


class SimulatedWorker:
    """A worker of ours or a real one, which takes its actions one by one, as late as the test likes."""

    def __init__(self, number: int, total: Resources, *, dialect: bool = True) -> None:
        self.number = number
        self.total = total
        self.dialect = dialect
        self.inbox: list[a.Action] = []
        self.given: dict[int, a.Dispatch] = {}
        self.running: list[int] = []
        self.ended: list[int] = []
        self.cache: set[str] = set()
        self.ready: set[str] = set()
        self.completions: Counter[int] = Counter()
        self.needs: dict[int, int] = {}
        """How many MB of memory calls need, if they are measured."""

    def greet(self) -> list[e.Event]:
        total = self.total
        return greet(
            self.number,
            cores=total.cores or 0,
            memory=total.memory_mb or 0,
            disk=total.disk_mb or 0,
            gpus=total.gpus or 0,
            dialect=self.dialect,
        )

    def take_one(self) -> list[e.Event]:
        """Do the next thing that the manager asked for."""
        action = self.inbox.pop(0)
        match action:
            case a.Dispatch():
                return self._take_task(action)
            case a.Send(message=m.Kill(task_id)):
                self.given.pop(task_id, None)
                self.running = [each for each in self.running if each != task_id]
                self.ended = [each for each in self.ended if each != task_id]
            case a.Send(message=m.Recall(task_ids)):
                return self._give_back(task_ids)
            case a.Send(message=m.SendResults()):
                return list(self._answer_results())
            case a.Send(message=m.Unlink(name)):
                self.cache.discard(name)
            case a.Fetch():
                return [e.OutputFetched(self.number, action.task_id, action.sandbox_name, content=b"answer")]
            case a.OfferEnvironment():
                self.ready.add(action.environment.digest)
                return [
                    e.Received(self.number, m.LayersWanted(action.environment.digest, ())),
                    e.Received(self.number, m.EnvironmentReady(action.environment.digest)),
                ]
            case _:
                pass
        self._start()
        return []

    def _take_task(self, action: a.Dispatch) -> list[e.Event]:
        message = action.message
        assert isinstance(message, m.CallTask) == (
            self.dialect and not isinstance(message, m.TaskDescription)
        )
        self.cache.update(staged.cache_name for staged in action.puts)
        missing = [file.cache_name for file in message.inputs if file.cache_name not in self.cache]
        assert not missing, "a task came before its inputs"
        assert message.task_id not in self.given, "a task was sent twice"
        if isinstance(message, m.CallTask) and message.environment:
            assert message.environment in self.ready, "a call came before its environment"
        self.given[message.task_id] = action
        self._start()
        return [e.DispatchSent(self.number, message.task_id)] if action.puts else []

    def _give_back(self, task_ids: tuple[int, ...]) -> list[e.Event]:
        assert self.dialect, "a real worker was sent our dialect"
        returned = [
            task_id
            for task_id in task_ids
            if task_id in self.given and task_id not in self.running and task_id not in self.ended
        ]
        for task_id in returned:
            del self.given[task_id]
        return [e.Received(self.number, m.Recalled(tuple(returned)))] if returned else []

    def _start(self) -> None:
        """Start what fits, as every worker does by itself."""
        for task_id in self.given:
            if (
                task_id not in self.running
                and task_id not in self.ended
                and self._fits([*self.running, task_id])
            ):
                self.running.append(task_id)

    def _fits(self, task_ids: list[int]) -> bool:
        messages = [self.given[task_id].message for task_id in task_ids]
        return (
            sum(message.cores or 0 for message in messages) <= (self.total.cores or 0) + 1e-6
            and sum(message.memory_mb or 0 for message in messages) <= (self.total.memory_mb or 0)
            and sum(message.disk_mb or 0 for message in messages) <= (self.total.disk_mb or 0)
            and sum(message.gpus or 0 for message in messages) <= (self.total.gpus or 0)
        )

    def is_overcommitted(self) -> bool:
        """Whether it was given more than could run at once."""
        return not self._fits([task_id for task_id in self.given if task_id not in self.ended])

    def complete(self, position: int, *, usec: int = 1_000_000) -> list[e.Event]:
        """End one of the running tasks."""
        task_id = self.running.pop(position)
        self.completions[task_id] += 1
        is_call = isinstance(self.given[task_id].message, m.CallTask)
        if is_call:
            events: list[e.Event] = [self._end_call(self.given.pop(task_id), usec)]
        else:
            self.ended.append(task_id)
            events = [e.Received(self.number, m.AvailableResults())]
        self._start()
        return events

    def _end_call(self, action: a.Dispatch, usec: int) -> e.Received:
        message = action.message
        assert isinstance(message, m.CallTask)
        task_id, need, given = message.task_id, self.needs.get(message.task_id), message.memory_mb or 0
        if need is not None and message.is_enforced and need > given:
            code = ResultCode.RESOURCE_EXHAUSTION.value
            return e.Received(
                self.number, m.CallResult(task_id, code, 0, 0, 0, usec, memory_mb=given + 1, disk_mb=1)
            )
        missing = tuple(file.sandbox_name for file in message.outputs)
        measured = {} if need is None else {"memory_mb": need, "disk_mb": 1, "cpu_usec": usec}
        return answer_call(self.number, task_id, usec=usec, missing=missing, **measured)

    def _answer_results(self) -> Iterator[e.Event]:
        for task_id in self.ended:
            del self.given[task_id]
            yield answer_command(self.number, task_id)
        self.ended.clear()
        self._start()

"""The desk for what workers say about tasks: results and outputs (logic module)."""

from __future__ import annotations

from wq_package.manager.state import events as e
from wq_package.manager.state import results
from wq_package.manager.state.actions import Fetch, Send
from wq_package.manager.state.descriptions import ANSWER
from wq_package.manager.state.ledger import Ledger
from wq_package.manager.state.records import RunRecord, TaskRecord, TaskState, WorkerRecord
from wq_package.protocol import messages as m
from wq_package.task import ResultCode, TaskResult

_SEND_RESULTS = m.SendResults(-1)
_REFUSED_SECONDS = 30.0
"""For how long a worker is not given what it gave back: its free disk may come and go without a word of it."""


class AnswerDesk:
    """Results, and the outputs that are fetched after them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def receive_available(
        self, worker: WorkerRecord, _message: m.AvailableResults, _event: e.Received
    ) -> None:
        """Ask for the results that the worker announces."""
        self._ledger.actions.append(Send(worker.number, _SEND_RESULTS))

    def forget_refusals(self, worker: WorkerRecord) -> None:
        """Let a worker be tried again with what it gave back a while ago."""
        now = self._ledger.now
        for key in [key for key, since in worker.refused.items() if now - since >= _REFUSED_SECONDS]:
            del worker.refused[key]

    def _find_running(self, worker: WorkerRecord, task_id: int) -> TaskRecord | None:
        """Find the task that a worker says has ended; drop the worker if it was never given it."""
        record = worker.tasks.get(task_id)
        if record is not None and record.state is TaskState.RUNNING:
            return record
        if worker.killed.pop(task_id, 0) is None:
            return None
        self._ledger.drop(worker, f"it returned task {task_id}, which it was not given")
        return None

    def receive_call_result(self, worker: WorkerRecord, message: m.CallResult, event: e.Received) -> None:
        """Take the result of a call."""
        record = self._find_running(worker, message.task_id)
        if record is None:
            return
        code = results.find_call_code(message.status)
        if code is None or record.task.call is None or message.output_size > len(event.body):
            self._ledger.drop(worker, f"its result of task {message.task_id} makes no sense")
            return
        result = results.make_call_result(record, message, code, event.body, worker.label)
        self._take_result(worker, record, result, message.usec)

    def receive_result(self, worker: WorkerRecord, message: m.Result, event: e.Received) -> None:
        """Take the result of a command."""
        record = self._find_running(worker, message.task_id)
        if record is None:
            return
        result = results.make_command_result(
            record, message, event.body, is_truncated=event.is_truncated, worker=worker.label
        )
        self._take_result(worker, record, result, message.usec)

    def _take_result(self, worker: WorkerRecord, record: TaskRecord, result: TaskResult, usec: int) -> None:
        code = result.code
        worker.last_result, worker.nudges = self._ledger.now, 0
        is_full = (
            code is ResultCode.DISK_FULL and worker.is_dialect
        )  # elsewhere it is what the task had for itself
        if code is ResultCode.FORSAKEN or code is ResultCode.INPUT_MISSING or is_full:
            self._take_back(worker, record, result)
            return
        if code is ResultCode.RESOURCE_EXHAUSTION and self._try_with_more(worker, record, result):
            return
        worker.give_back(record.box)
        worker.tasks_done += 1
        seconds = max(usec, 0) / 1_000_000
        self._ledger.counters.seconds += seconds
        self._ledger.placement.free(worker)
        record.lane.note_duration(seconds)
        category = self._ledger.find_category(record.task.category)
        category.ran += 1
        category.seconds += seconds
        worker.is_slow = False
        self._learn(record, result)
        run = record.run
        if run is None:
            del worker.tasks[record.task_id]
            self._ledger.end(record, result)
            return
        record.state = TaskState.FETCHING
        run.result = result
        self._fetch(worker, record, run, result)

    def _learn(self, record: TaskRecord, result: TaskResult) -> None:
        """Let the category know what the task used."""
        if result.measured.memory_mb is None or result.code is not ResultCode.SUCCESS:
            return
        placement = self._ledger.placement
        if self._ledger.categories.note_end(record, result.measured, placement.find_largest()):
            placement.reconsider()

    def _try_with_more(self, worker: WorkerRecord, record: TaskRecord, result: TaskResult) -> bool:
        """Queue a task again that needed more than its label; tell whether there is more that it may have."""
        categories, placement = self._ledger.categories, self._ledger.placement
        largest = placement.find_largest()
        if categories.note_exhaustion(record, result.measured, largest):
            placement.reconsider()
        is_last = not placement.count_waiting()
        allotment = categories.find_next(record, result.measured, largest, is_last=is_last)
        if allotment is None:
            return False
        self._ledger.take_from_worker(record)
        self._ledger.actions.append(Send(worker.number, m.Kill(record.task_id)))
        self._ledger.unlink(worker, record)
        record.lane = placement.find_lane(record.task, allotment)
        self._ledger.retry(record, result.code, result.message, is_suspect=False)
        return True

    def _take_back(self, worker: WorkerRecord, record: TaskRecord, result: TaskResult) -> None:
        """Try a task elsewhere that this worker gives back, or for which it has lost an input or has no room."""
        # A worker whose free disk has changed gives back what was cut to its size before: it may well run it now.
        is_forsaken = result.code is ResultCode.FORSAKEN
        is_outdated = is_forsaken and not self._ledger.placement.is_cut_to(record, worker)
        self._ledger.take_from_worker(record)
        self._ledger.actions.append(Send(worker.number, m.Kill(record.task_id)))
        if result.code is not ResultCode.INPUT_MISSING and not is_outdated:
            worker.refused[record.lane.key] = self._ledger.now
        if not is_forsaken and record.run is not None:
            worker.files.difference_update(staged.cache_name for staged in record.run.inputs)
        if record.task.call is not None:
            worker.functions.discard(record.task.call.function.digest)
        self._ledger.unlink(worker, record)
        sentence = result.message or "the worker gave the task back"
        self._ledger.retry(record, result.code, sentence, is_suspect=not is_outdated)

    def _fetch(self, worker: WorkerRecord, record: TaskRecord, run: RunRecord, result: TaskResult) -> None:
        known_missing = set(result.missing_outputs)
        run.missing.extend(name for name in run.outputs if name in known_missing)
        wanted = {name: where for name, where in run.outputs.items() if name not in known_missing}
        run.awaited = len(wanted)
        for sandbox_name, (cache_name, path) in wanted.items():
            self._ledger.actions.append(Fetch(worker.number, record.task_id, cache_name, sandbox_name, path))
        if not wanted:
            self._finish_run(worker, record, run, result)

    def on_output_fetched(self, event: e.OutputFetched) -> None:
        """Count an output; the last one ends the task."""
        worker, record = self._ledger.find_run(event.worker, event.task_id)
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
        if not worker.is_dialect:  # one of ours has forgotten it by now
            self._ledger.actions.append(Send(worker.number, m.Kill(record.task_id)))
        self._ledger.unlink(worker, record)
        complete = results.add_outputs(record, result)
        if (
            result.measured.memory_mb is None
        ):  # a call may have told itself, where its worker does not measure
            self._learn(record, complete)
        self._ledger.end(record, complete)

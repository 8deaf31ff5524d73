"""The Work Queue engine beside the original: managers and workers in all pairings, alternating.

    python benchmarks/engine.py [--rounds 3] [--tasks 1000] [--only rate,latency,put,calls,queue]

Needs Debian's Work Queue (`coop-computing-tools`, `python3-workqueue`). Everything runs on loopback and without a catalog.
Prints medians and, in brackets, the ratio to Debian's manager with Debian's worker in the same run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAIRINGS = (("debian", "debian"), ("ours", "debian"), ("debian", "ours"), ("ours", "ours"))
ENVIRONMENT = {**os.environ, "CATALOG_HOST": "127.0.0.1", "CATALOG_PORT": "9"}
PUT_SIZE = 200 * 2**20

DEBIAN_MANAGER = r"""
import json, resource, sys, time, work_queue
config = json.loads(sys.argv[1])
queue = work_queue.WorkQueue(port=0)
print(queue.port, flush=True)

def make(path=None):
    task = work_queue.Task("true")
    task.specify_cores(1); task.specify_memory(10); task.specify_disk(config["disk"])
    if path:
        task.specify_input_file(path, "input", cache=False)
    return task

def run(count, path=None):
    for _ in range(count):
        queue.submit(make(path))
    for _ in range(count):
        task = None
        while task is None:
            task = queue.wait(5)
        assert task.return_status == 0 and task.result == 0, (task.return_status, task.result)

run(5)
measured = {}
before = resource.getrusage(resource.RUSAGE_SELF)
began = time.perf_counter(); run(config["tasks"]); measured["seconds"] = time.perf_counter() - began
after = resource.getrusage(resource.RUSAGE_SELF)
measured["cpu"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
times = []
for _ in range(config["latencies"]):
    began = time.perf_counter(); run(1); times.append(time.perf_counter() - began)
measured["latency"] = sorted(times)[len(times) // 2] if times else None
if config["path"]:
    began = time.perf_counter(); run(1, config["path"]); measured["put"] = time.perf_counter() - began
print(json.dumps(measured), flush=True)
"""


def run_our_manager(config: dict[str, Any]) -> None:
    """Be the manager process of our side; speaks to its parent as Debian's does."""
    from wq_package.manager import BlockingManager, ManagerOptions
    from wq_package.task import InputFile, Resources, Task

    declared = Resources(1, 10, config["disk"])
    plain = Task(command="true", resources=declared)
    measured: dict[str, Any] = {}
    with BlockingManager(ManagerOptions(password=None)) as manager:
        print(manager.port, flush=True)

        def run(count: int, task: Task = plain) -> None:
            for _ in range(count):
                manager.submit(task)
            for _ in range(count):
                result = manager.wait(120)
                assert result is not None
                assert result.is_success, result

        run(5)
        before = _read_cpu()
        measured["seconds"] = _time(lambda: run(config["tasks"]))
        measured["cpu"] = _read_cpu() - before
        times = [_time(lambda: run(1)) for _ in range(config["latencies"])]
        measured["latency"] = statistics.median(times) if times else None
        if config["path"]:
            given = (InputFile("input", config["path"], cache=False),)
            measured["put"] = _time(lambda: run(1, Task(command="true", resources=declared, inputs=given)))
        if config["calls"]:
            measured["calls"] = _time_calls(manager, config["calls"])
        manager.stop()
    print(json.dumps(measured), flush=True)


def _time_calls(manager: Any, count: int) -> dict[str, float]:
    import hashlib
    import pickle

    from wq_package.task import Call, Function, Resources, Task

    body = pickle.dumps(abs)
    function = Function(hashlib.sha256(body).hexdigest(), body)
    arguments = pickle.dumps(((-1,), {}))

    def run(count: int) -> None:
        for _ in range(count):
            manager.submit(Task(call=Call(function, arguments), resources=Resources(1, 10, 10)))
        for _ in range(count):
            assert manager.wait(120).is_success

    run(10)
    before = _read_cpu()
    seconds = _time(lambda: run(count))
    cpu = _read_cpu() - before
    latency = statistics.median(_time(lambda: run(1)) for _ in range(200))
    return {"rate": count / seconds, "cpu": cpu / count, "latency": latency}


def _time(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _read_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def run_pairing(manager: str, worker: str, slots: int, config: dict[str, Any]) -> dict[str, Any]:
    """Run one manager with one worker, and give what the manager measured."""
    given = json.dumps({"disk": 10, "path": "", "latencies": 0, "calls": 0, **config})
    command = ["/usr/bin/python3", "-c", DEBIAN_MANAGER, given]
    if manager == "ours":
        command = [sys.executable, __file__, "--manager", given]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        started = _start_worker(worker, port, slots, Path(folder))
        try:
            answer = process.stdout.readline()
            process.wait(30)
            measured: dict[str, Any] = json.loads(answer)
            return measured
        finally:
            for each in (process, started):
                each.kill()
                each.wait()
            process.stdout.close()


def _start_worker(kind: str, port: str, slots: int, folder: Path) -> subprocess.Popen[bytes]:
    command = ["work_queue_worker"]
    if kind == "ours":
        command = [sys.executable, "-m", "wq_package_cli", "worker", "--store", str(folder / "store")]
    command += ["-s", str(folder), "--single-shot", "-t", "60", "--cores", str(slots)]
    command += ["--memory", "10000", "--disk", "2000", "127.0.0.1", port]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, env=ENVIRONMENT)


def compare(title: str, measure: Callable[[str, str], float], rounds: int, *, unit: str, more: bool) -> None:
    """Measure every pairing in turn, several times, and print medians."""
    seen: dict[tuple[str, str], list[float]] = {pairing: [] for pairing in PAIRINGS}
    for _ in range(rounds):
        for pairing in PAIRINGS:
            seen[pairing].append(measure(*pairing))
    base = statistics.median(seen[PAIRINGS[0]])
    print(f"\n{title} ({unit}, {'more' if more else 'less'} is better)")
    for (manager, worker), values in seen.items():
        median = statistics.median(values)
        span = f"{min(values):.4g} to {max(values):.4g}"
        print(
            f"  {manager:>6} manager, {worker:>6} worker: {median:10.4g}   [{median / base:.2f}]   {span}",
            flush=True,
        )


def measure_queue() -> None:
    """Measure what the length of the queue costs: bytes per task, and dispatches per second."""
    for length in (1_000, 100_000):
        done = subprocess.run(
            [sys.executable, __file__, "--queue", str(length)], capture_output=True, text=True, check=True
        )
        print(done.stdout.strip(), flush=True)


def run_queue(length: int) -> None:
    """Fill a state machine, and let a simulated worker take and end 20,000 of its tasks while it stays full."""
    from wq_package.manager.state import ManagerState
    from wq_package.manager.state import actions as a
    from wq_package.manager.state import events as e
    from wq_package.protocol import messages as m
    from wq_package.task import Call, Function, Resources, Task

    function = Function("f" * 64, b"function")

    def make(number: int) -> e.Submitted:
        return e.Submitted(number, Task(call=Call(function, bytes(20)), resources=Resources(1, 10, 10)))

    state = ManagerState()
    before = _read_memory()
    for number in range(1, length + 1):
        state.handle(make(number))
    per_task = (_read_memory() - before) / length
    words: list[Any] = [m.Workqueue(9, "h", "Linux", "x86_64", "8"), m.Feature(m.DIALECT_FEATURE)]
    amounts = {"disk": 1000, "memory": 1000, "cores": 4, "tag": 0}
    words += [m.Resource(name, amount, amount, amount) for name, amount in amounts.items()]
    words += [m.Info("worker-end-time", "0")]
    actions = state.handle(e.WorkerConnected(1, ""), *(e.Received(1, word) for word in words))
    began, dispatched, number = time.process_time(), 0, length
    while dispatched < 20_000:
        events: list[e.Event] = []
        for action in actions:
            if isinstance(action, a.Dispatch):
                dispatched += 1
                number += 1
                answer = m.CallResult(action.message.task_id, "success", 0, 5, 0, 1_000_000)
                events += [e.Received(1, answer, b"value"), make(number)]
        actions = state.handle(*events)
    rate = dispatched / (time.process_time() - began)
    print(
        f"  {length:>7} queued: {rate:8.0f} dispatches per second of processor time, {per_task:6.0f} bytes per queued task (submitted included)"
    )


def _read_memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--only", default="rate,latency,put,calls,queue")
    parser.add_argument("--manager", help=argparse.SUPPRESS)
    parser.add_argument("--queue", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.manager:
        run_our_manager(json.loads(args.manager))
    elif args.queue:
        run_queue(args.queue)
    else:
        _measure_all(args.only.split(","), args.tasks, args.rounds)


def _measure_all(what: list[str], tasks: int, rounds: int) -> None:
    if "rate" in what:
        for slots in (1, 4, 16):
            title = f"command tasks, {slots} slots"
            _compare_rates(title, slots, tasks, rounds)
    if "latency" in what:
        config = {"tasks": 1, "latencies": 100}
        compare(
            "one command task at a time",
            lambda manager, worker: 1000 * run_pairing(manager, worker, 1, config)["latency"],
            rounds,
            unit="ms",
            more=False,
        )
    if "put" in what:
        _compare_put(rounds)
    if "calls" in what:
        print("\ncalls, ours with ours")
        for slots in (1, 2, 4):
            calls = run_pairing("ours", "ours", slots, {"tasks": 1, "calls": 10 * tasks})["calls"]
            print(
                f"  {slots} slots: {calls['rate']:8.0f} calls/s, {1e6 * calls['cpu']:5.0f} µs of the manager's process each, "
                f"{1000 * calls['latency']:.2f} ms one at a time",
                flush=True,
            )
    if "queue" in what:
        print("\nlength of the queue, state machine alone")
        measure_queue()


def _compare_rates(title: str, slots: int, tasks: int, rounds: int) -> None:
    spent: dict[str, list[float]] = {"debian": [], "ours": []}

    def measure(manager: str, worker: str) -> float:
        measured = run_pairing(manager, worker, slots, {"tasks": tasks})
        spent[manager].append(1e6 * measured["cpu"] / tasks)
        return float(tasks / measured["seconds"])

    compare(title, measure, rounds, unit="tasks/s", more=True)
    costs = ", ".join(f"{manager} {statistics.median(values):.0f} µs" for manager, values in spent.items())
    print(f"  processor time of the manager's process per task: {costs}")


def _compare_put(rounds: int) -> None:
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(PUT_SIZE // 2**20):
            file.write(os.urandom(2**20))
        file.flush()
        config = {"tasks": 1, "path": file.name, "disk": 500}
        bare: list[float] = []

        def measure(manager: str, worker: str) -> float:
            if (manager, worker) == PAIRINGS[0]:
                bare.append(PUT_SIZE / 1e6 / _time_bare_copy(file.name))
            return float(PUT_SIZE / 1e6 / run_pairing(manager, worker, 1, config)["put"])

        compare("a task with a new input of 200 MB", measure, rounds, unit="MB/s", more=True)
        span = f"{min(bare):.4g} to {max(bare):.4g}"
        print(f"  the bytes alone, two processes and no queue: {statistics.median(bare):.4g}   {span}")


def _time_bare_copy(path: str) -> float:
    """Time what the machine needs to bring a file's bytes to another file through a connection."""
    with socket.create_server(("127.0.0.1", 0)) as server, tempfile.TemporaryFile(buffering=0) as target:
        sender = multiprocessing.Process(target=_send_bare, args=(path, server.getsockname()))
        sender.start()
        connection, _ = server.accept()
        buffer = memoryview(bytearray(2**20))
        began = time.perf_counter()
        with connection:
            connection.send(b"now")
            while count := connection.recv_into(buffer):
                target.write(buffer[:count])
        seconds = time.perf_counter() - began
        sender.join()
    return seconds


def _send_bare(path: str, address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection, Path(path).open("rb") as file:
        connection.recv(3)
        connection.sendfile(file)


if __name__ == "__main__":
    main()

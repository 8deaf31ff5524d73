"""Whether every task ends exactly once while workers die and the network between goes silent.

    python benchmarks/chaos.py [--tasks 5000] [--workers 8] [--kind ours|debian|mixed] [--cut 10] [--every 25] [--seed 1]

Workers reach the manager through a proxy. Every second one of them is killed (SIGKILL, with everything that it started) and
another one started; now and then the proxy carries nothing for `--cut` seconds, as a network that has gone. Every task
has an input and an output file; a third are function calls. Prints what happened; ends with 1 if a task was lost, ended
twice, or ended with anything but its own output.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from wq_package.manager import Manager, ManagerOptions
from wq_package.task import Call, Function, InputFile, OutputFile, Resources, Task, TaskResult

ENVIRONMENT = {**os.environ, "CATALOG_HOST": "127.0.0.1", "CATALOG_PORT": "9"}
PIECE = 64 * 1024
FUNCTION = pickle.dumps(divmod)
SMALL = Resources(1, 10, 10)


class Proxy:
    """Carries bytes between workers and the manager, unless it is cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def cut(self, seconds: float) -> None:
        """Carry nothing for some seconds; what was sent meanwhile arrives later."""
        self._is_open.clear()
        await asyncio.sleep(seconds)
        self._is_open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._is_open.wait()
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._carry(reader, there_writer), self._carry(there_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(PIECE):
                await self._is_open.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            await self._is_open.wait()  # the end of a connection does not arrive either
            writer.close()


@dataclass
class Crew:
    """The workers that are alive."""

    folder: Path
    port: int
    kinds: tuple[str, ...]
    chance: random.Random
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    started: int = 0
    killed: int = 0

    def fill(self, count: int) -> None:
        """Start as many as are missing."""
        self.processes = [process for process in self.processes if process.poll() is None]
        while len(self.processes) < count:
            self.processes.append(self._start(self.kinds[self.started % len(self.kinds)]))

    def _start(self, kind: str) -> subprocess.Popen[bytes]:
        self.started += 1
        workdir = self.folder / f"work{self.started}"
        workdir.mkdir()
        command = ["work_queue_worker"]
        if kind == "ours":
            command = [
                sys.executable,
                "-m",
                "wq_package_cli",
                "worker",
                "--store",
                str(self.folder / "store"),
            ]
        command += ["-P", str(self.folder / "password"), "-s", str(workdir), "-t", "60", "--cores", "2"]
        command += ["--memory", "1000", "--disk", "1000", "127.0.0.1", str(self.port)]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, stdout=quiet, stderr=quiet, env=ENVIRONMENT, start_new_session=True)

    def kill_one(self) -> None:
        """Kill one, and what Debian's leave behind."""
        if self.processes:
            self.killed += 1
            self._kill(self.processes.pop(self.chance.randrange(len(self.processes))))

    def kill_all(self) -> None:
        """Kill every one."""
        while self.processes:
            self._kill(self.processes.pop())

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def make_task(number: int, folder: Path, chance: random.Random) -> Task:
    """Make a task whose result can be told from every other one's."""
    if number % 3 == 0:
        function = Function(hashlib.sha256(FUNCTION).hexdigest(), FUNCTION)
        return Task(call=Call(function, pickle.dumps(((number, 7), {}))), resources=SMALL, max_retries=None)
    command = f"cat shared own; echo {number} > out; sleep {chance.choice([0, 0, 0, 0.05, 0.3])}"
    return Task(
        command=command,
        resources=SMALL,
        max_retries=None,
        inputs=(
            InputFile("shared", str(folder / "shared")),
            InputFile("own", content=b"%d\n" % number, cache=False),
        ),
        outputs=(OutputFile("out", str(folder / "out" / str(number))),),
    )


def find_fault(result: TaskResult, folder: Path) -> str:
    """Say what is wrong with a result, if anything is."""
    number = result.task_id
    if not result.is_success:
        return f"task {number} ended with {result.code}: {result.message}"
    if number % 3 == 0:
        is_right = pickle.loads(result.value) == (True, divmod(number, 7))
    else:
        found = (folder / "out" / str(number)).read_text()
        is_right = (result.output, found) == (b"shared\n%d\n" % number, f"{number}\n")
    return "" if is_right else f"task {number} has the result of another one"


async def harass(crew: Crew, proxy: Proxy, args: argparse.Namespace) -> None:
    """Kill a worker a second, and cut the network now and then."""
    cutting: asyncio.Task[None] | None = None
    next_cut = time.monotonic() + args.every / 2
    while True:
        crew.fill(args.workers)
        await asyncio.sleep(1)
        crew.kill_one()
        if time.monotonic() >= next_cut:
            next_cut = time.monotonic() + args.every
            args.cuts += 1
            cutting = asyncio.create_task(proxy.cut(args.cut))
        if cutting is not None and cutting.done():
            cutting = None


async def run(args: argparse.Namespace, folder: Path) -> list[str]:
    """Run everything; return what was wrong."""
    chance = random.Random(args.seed)
    (folder / "shared").write_text("shared\n")
    (folder / "out").mkdir()
    kinds = ("ours", "debian") if args.kind == "mixed" else (args.kind,)
    faults: list[str] = []
    seen = Counter[int]()
    async with Manager(ManagerOptions(keepalive_interval=5.0, keepalive_timeout=5.0)) as manager:
        manager.save_password(folder / "password")
        proxy = Proxy(manager.port)
        crew = Crew(folder, await proxy.start(), kinds, chance)
        for number in range(1, args.tasks + 1):
            manager.submit(make_task(number, folder, chance))
        trouble = asyncio.create_task(harass(crew, proxy, args))
        try:
            while (result := await manager.wait(args.patience)) is not None:
                seen[result.task_id] += 1
                faults += [fault] if (fault := find_fault(result, folder)) else []
        finally:
            trouble.cancel()
            crew.kill_all()
        numbers = manager.statistics()
    faults += [f"task {number} never ended" for number in range(1, args.tasks + 1) if not seen[number]]
    faults += [f"task {number} ended {count} times" for number, count in seen.items() if count > 1]
    print(
        f"{args.tasks} tasks, {args.kind} workers: {crew.killed} killed, network cut {args.cuts} times for {args.cut:g} s, "
        f"{numbers.workers_lost} workers lost, {numbers.dispatches} dispatches, {numbers.retries} retries, "
        f"{numbers.tasks_recalled} recalled"
    )
    return faults


def main() -> int:
    """Parse the command line, run, and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--kind", choices=["ours", "debian", "mixed"], default="mixed")
    parser.add_argument("--cut", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=25.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--patience", type=float, default=300.0, help="seconds without any result that are a fault"
    )
    args = parser.parse_args()
    args.cuts = 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="benchmark-chaos-", ignore_cleanup_errors=True) as folder:
        faults = asyncio.run(run(args, Path(folder)))
    print("\n".join(faults[:20]) or "every task ended exactly once, with its own result")
    print(f"{len(faults)} faults in {time.monotonic() - began:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""A manager of a few lines that drives our worker, for functional tests."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import io
import os
import pickle
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle

from wq_package.archive.index_text import render_index
from wq_package.archive.layer import (
    ArchiveIndex,
    Compression,
    IndexedLayer,
    LayerEntry,
    LayerHeader,
    LayerKind,
    StoredLayer,
)
from wq_package.archive.writer import compute_environment_digest, write_layer
from wq_package.link import Link, Server, serve
from wq_package.protocol import messages as m

SECONDS = 180.0
"""How long a test waits for what takes a moment."""


@dataclass(frozen=True)
class Answer:
    """What came of a call."""

    result: m.CallResult
    printed: bytes
    value: Any
    is_returned: bool

    @property
    def error(self) -> dict[str, Any]:
        assert not self.is_returned
        error: dict[str, Any] = self.value
        return error


@dataclass
class FakeManager:
    """Serves one worker; every method waits for what it needs."""

    speaks_dialect: bool = True
    only_protocol: int | None = None
    password: bytes | None = None
    greeting: list[m.Event] = field(default_factory=list)
    seen: list[m.Event] = field(default_factory=list)
    answers: dict[int, Answer] = field(default_factory=dict)
    is_closed: bool = False
    _link: Link | None = None
    _server: Server | None = None
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _last: int = 0
    _header: m.Event | None = None
    _body: bytearray = field(default_factory=bytearray)
    bodies: list[tuple[m.Event, bytes]] = field(default_factory=list)

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.port

    @property
    def link(self) -> Link:
        assert self._link is not None
        return self._link

    async def __aenter__(self) -> FakeManager:
        self._server = await serve(self._serve, "127.0.0.1", 0, password=self.password)
        return self

    async def __aexit__(self, *reason: object) -> None:
        assert self._server is not None
        await self._server.aclose()

    async def _serve(self, link: Link) -> None:
        self._link = link
        self.is_closed = False
        while not self.is_closed:
            events = await link.receive()
            async with self._changed:
                for event in events:
                    self._take(event)
                self._changed.notify_all()

    def _take(self, event: m.Event) -> None:
        if isinstance(event, m.Data):
            self._body += event.body
            return
        if isinstance(event, m.EndOfBody):
            assert self._header is not None
            self._end_body(self._header, bytes(self._body))
            return
        if self.is_closed:
            return
        if isinstance(event, m.Workqueue) and self.only_protocol not in (None, event.version):
            self.link.close()  # without a word, as real managers do
            self.is_closed = True
            return
        self.seen.append(event)
        self.is_closed = isinstance(event, m.ConnectionClosed)
        if isinstance(event, m.CallResult | m.Result | m.File | m.Update):
            self._header, self._body = event, bytearray()
        if isinstance(event, m.Info) and event.key == "worker-end-time":
            self.greeting = list(self.seen)
            if self.speaks_dialect:
                self.link.send(m.Hello(1, "test"))

    def _end_body(self, header: m.Event, body: bytes) -> None:
        self.bodies.append((header, body))
        if isinstance(header, m.CallResult):
            answer = body[header.output_size :]
            is_returned, value = pickle.loads(answer) if answer else (False, {})
            self.answers[header.task_id] = Answer(header, body[: header.output_size], value, is_returned)

    async def wait_for(self, condition: Callable[[], Any], seconds: float = SECONDS) -> None:
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(condition)

    async def wait_for_message(self, kind: type, seconds: float = SECONDS) -> Any:
        """Wait until a message of a kind has come; take it out and return it."""

        def find() -> list[m.Event]:
            return [event for event in self.seen if isinstance(event, kind)]

        await self.wait_for(find, seconds)
        found = find()[0]
        self.seen.remove(found)
        return found

    async def wait_for_worker(self) -> None:
        await self.wait_for(lambda: self.greeting)

    def send(self, message: m.Message, body: bytes | None = None) -> None:
        self.link.send(message)
        if body:
            self.link.send_body(body)

    def define(self, function: Callable[..., Any]) -> str:
        module = inspect.getmodule(function)
        if module is not None and module.__name__.startswith(("test_", "tests.")):
            cloudpickle.register_pickle_by_value(module)  # the worker cannot import the tests
        body = cloudpickle.dumps(function)
        digest = hashlib.sha256(body).hexdigest()
        self.send(m.FunctionDefinition(digest, len(body)), body)
        return digest

    def call(
        self, function: str | Callable[..., Any], *args: Any, environment: str = "", **options: Any
    ) -> int:
        """Send a call; return its number."""
        digest = function if isinstance(function, str) else self.define(function)
        body = cloudpickle.dumps((args, {}))
        self._last += 1
        options.setdefault("cores", 1.0)
        self.send(m.CallTask(self._last, environment, digest, len(body), **options), body)
        return self._last

    async def answer(self, task_id: int, seconds: float = SECONDS) -> Answer:
        await self.wait_for(lambda: task_id in self.answers, seconds)
        return self.answers[task_id]

    async def run(self, function: str | Callable[..., Any], *args: Any, **options: Any) -> Answer:
        return await self.answer(self.call(function, *args, **options))

    async def offer(self, environment: SmallEnvironment) -> m.EnvironmentReady | m.EnvironmentFailed:
        """Offer an environment, send what is wanted, and wait until the worker has made up its mind."""
        self.send(environment.offer)
        wanted = await self.wait_for_message(m.LayersWanted)
        for digest in wanted.digests:
            body = environment.bodies[digest]
            self.send(m.Layer(digest, len(body)), body)
        found = await self.wait_for_message((m.EnvironmentReady, m.EnvironmentFailed))  # type: ignore[arg-type]
        assert isinstance(found, m.EnvironmentReady | m.EnvironmentFailed)
        return found


@dataclass(frozen=True)
class SmallEnvironment:
    """An environment whose Python is a script that starts this one."""

    offer: m.EnvironmentOffer
    bodies: dict[str, bytes]

    @property
    def digest(self) -> str:
        return self.offer.digest


def make_environment(
    files: dict[str, bytes],
    *,
    imports: tuple[str, ...] = (),
    machine: str = "",
    glibc: tuple[int, int] | None = None,
) -> SmallEnvironment:
    """Make an environment of two layers: a Python, and files beside it that it can import."""
    python = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'.encode()
    if files:
        python = _make_python_with_path()
    layers = [
        _make_layer("python", LayerKind.INTERPRETER, {"bin/python3": (0o755, python)}, machine, glibc),
        _make_layer(
            "local", LayerKind.LOCAL, {f"site/{name}": (0o644, body) for name, body in files.items()}
        ),
    ]
    stored = [layer for layer, _ in layers]
    index = ArchiveIndex(
        1,
        compute_environment_digest([layer.digest for layer in stored]),
        Compression.ZSTD,
        "3.11",
        machine,
        glibc,
        tuple(IndexedLayer(layer, 0) for layer in stored),
    )
    names = tuple(m.LayerName(layer.digest, layer.stored_size) for layer in stored)
    offer = m.EnvironmentOffer(index.environment, names, imports, render_index(index))
    return SmallEnvironment(offer, {layer.digest: body for layer, body in layers})


def _make_python_with_path() -> bytes:
    """A script that is started as `python3 -I SCRIPT …` and puts the `site` folder beside it on the path."""
    code = (
        "import sys, runpy; sys.path.insert(0, sys.argv.pop(1)); sys.argv.pop(0); "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    return f'#!/bin/sh\nshift\nexec "{sys.executable}" -I -c "{code}" "${{0%/bin/*}}/site" "$@"\n'.encode()


def _make_layer(
    name: str,
    kind: LayerKind,
    files: dict[str, tuple[int, bytes]],
    machine: str = "",
    glibc: tuple[int, int] | None = None,
) -> tuple[StoredLayer, bytes]:
    header = LayerHeader(kind, name, "1", machine=machine, glibc=glibc)
    sink = io.BytesIO()
    entries = [LayerEntry(path, mode, body) for path, (mode, body) in files.items()]
    return write_layer(header, entries, (), sink, Compression.ZSTD), sink.getvalue()


@dataclass
class RunningWorker:
    """A worker process, and what it said when it has ended."""

    process: asyncio.subprocess.Process
    workdir: Path
    errors: str = ""

    async def wait(self, seconds: float = SECONDS) -> int:
        async with asyncio.timeout(seconds):
            _, errors = await self.process.communicate()
        self.errors = errors.decode()
        assert self.process.returncode is not None
        return self.process.returncode


@contextlib.asynccontextmanager
async def start_worker(
    port: int, folder: Path, *options: str, single_shot: bool = True
) -> AsyncIterator[RunningWorker]:
    """Start `wq-package worker` as a process; kill it in the end if it is still there."""
    workdir = folder / "workdir"
    command = [sys.executable, "-m", "wq_package_cli", "worker", "127.0.0.1", str(port)]
    command += ["--single-shot"] * single_shot + ["--connect-timeout", "100"]
    if "--private-store" not in options:
        command += ["--store", str(folder / "store")]
    command += ["--workdir", str(workdir), *options]
    process = await asyncio.create_subprocess_exec(
        *command, stderr=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONWARNINGS": "error"}
    )
    worker = RunningWorker(process, workdir)
    try:
        yield worker
    finally:
        if process.returncode is None:
            process.kill()
            await worker.wait()


@contextlib.asynccontextmanager
async def pair(folder: Path, *options: str) -> AsyncIterator[tuple[FakeManager, RunningWorker]]:
    """A fake manager and a worker of two cores that has greeted it."""
    async with (
        FakeManager() as manager,
        start_worker(manager.port, folder, "--cores", "2", *options) as worker,
    ):
        await manager.wait_for_worker()
        yield manager, worker

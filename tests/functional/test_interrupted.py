"""Builds that are told to end while a program works for them: every one of those ends, and nothing half-made is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it has no stubs
import pytest

from processes import wait_until_ended

_COMMAND = str(Path(sys.executable).with_name("wq-package"))
_SECONDS = 120
_SIGNALS = {signal.SIGINT: "interrupted\n", signal.SIGTERM: "ended by SIGTERM\n"}

_WHEEL = "wqp_only_here-1.0-py3-none-any.whl"
_PAGE = f'<a href="/{_WHEEL}" data-core-metadata="true">{_WHEEL}</a>'
_METADATA = "Metadata-Version: 2.1\nName: wqp-only-here\nVersion: 1.0\n"
_ANSWERS = {"/simple/wqp-only-here/": ("text/html", _PAGE), f"/{_WHEEL}.metadata": ("text/plain", _METADATA)}


class _Server(ThreadingHTTPServer):
    """Answers what it has an answer to; whoever asks for anything else waits until the test is over."""

    daemon_threads = True

    def __init__(self, answers: Mapping[str, tuple[str, str]]) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.answers = answers
        self.somebody_waits, self.is_over = threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answering(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        if self.path not in self.server.answers:
            self.server.somebody_waits.set()
            self.server.is_over.wait()
            return
        kind, text = self.server.answers[self.path]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_HEAD = do_GET  # noqa: N815 - the name that the base class calls

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def _serve(answers: Mapping[str, tuple[str, str]]) -> Iterator[_Server]:
    with _Server(answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.is_over.set()
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def _build(folder: Path, spec: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start a build as a terminal does: in a process group of its own, which Ctrl-C goes to."""
    (folder / "env.yml").write_text(spec)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    own = {"UV_CACHE_DIR": "uv", "WQ_PACKAGE_CACHE": "cache", "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "*"}
    with subprocess.Popen(
        [_COMMAND, "build", "env.yml", *options],
        cwd=folder,
        env={**clean, **own, "no_proxy": "*"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as build:
        try:
            yield build
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(build.pid, signal.SIGKILL)


def _list_programs(build: subprocess.Popen[str]) -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process(build.pid).children()
    return found


def _wait_for_compilers(build: subprocess.Popen[str]) -> list[psutil.Process]:
    while build.poll() is None:
        with contextlib.suppress(psutil.Error):  # a child that has ended meanwhile
            found = [
                each for each in _list_programs(build) if "compile_sources.py" in " ".join(each.cmdline())
            ]
            if found:
                return found
        time.sleep(0.01)
    raise AssertionError("the build has ended")


def _check_interrupted(
    build: subprocess.Popen[str], programs: list[psutil.Process], sign: signal.Signals, folder: Path
) -> None:
    assert programs
    # The kernel gives what is typed to the foreground group only: whatever else it did, a program cannot be hit by it.
    assert build.pid not in {os.getpgid(program.pid) for program in programs}
    os.killpg(build.pid, sign)
    words = build.communicate(timeout=_SECONDS)[1]

    assert (build.returncode, words) == (128 + sign, _SIGNALS[sign])
    wait_until_ended(programs)
    assert not list(folder.glob("env.tar*"))
    assert list((folder / "cache" / "tmp").glob("*")) == []


@pytest.mark.parametrize("sign", _SIGNALS)
def test_build__interrupted_while_it_compiles__leaves_nothing(sign: signal.Signals, tmp_path: Path) -> None:
    with _build(tmp_path, "dependencies: []\n") as build:
        _check_interrupted(build, _wait_for_compilers(build), sign, tmp_path)


@pytest.mark.parametrize("sign", _SIGNALS)
@pytest.mark.parametrize("answers", [{}, _ANSWERS], ids=["resolving", "installing"])
def test_build__interrupted_while_uv_waits_for_an_index__leaves_nothing(
    answers: Mapping[str, tuple[str, str]], sign: signal.Signals, tmp_path: Path
) -> None:
    spec = "dependencies:\n  - pip: [wqp-only-here]\n"
    with _serve(answers) as server, _build(tmp_path, spec, "--index-url", f"{server.url}/simple/") as build:
        assert server.somebody_waits.wait(_SECONDS)
        _check_interrupted(build, _list_programs(build), sign, tmp_path)


@pytest.mark.conda
@pytest.mark.parametrize("sign", _SIGNALS)
def test_build__interrupted_while_a_channel_is_asked__leaves_nothing(
    sign: signal.Signals, tmp_path: Path
) -> None:
    with _serve({}) as server, _build(tmp_path, _make_conda_spec(server)) as build:
        assert server.somebody_waits.wait(_SECONDS)
        _check_interrupted(build, _list_programs(build), sign, tmp_path)


@pytest.mark.conda
def test_build__killed_while_a_channel_is_asked__its_solver_ends_by_itself(tmp_path: Path) -> None:
    with _serve({}) as server, _build(tmp_path, _make_conda_spec(server)) as build:
        assert server.somebody_waits.wait(_SECONDS)
        programs = _list_programs(build)
        build.kill()

        assert programs
        wait_until_ended(programs)


def test_build__killed_while_it_compiles__its_compilers_end_by_themselves(tmp_path: Path) -> None:
    with _build(tmp_path, "dependencies: []\n") as build:
        programs = _wait_for_compilers(build)
        build.kill()

        wait_until_ended(programs)


def test_build__compiling_process_killed__fails_instead_of_waiting(tmp_path: Path) -> None:
    with _build(tmp_path, "dependencies: []\n") as build:
        for program in _wait_for_compilers(build):
            program.kill()
        words = build.communicate(timeout=_SECONDS)[1]

    assert build.returncode == 4
    assert "compiling bytecode failed" in words


def _make_conda_spec(server: _Server) -> str:
    return f"channels: ['{server.url}/channel']\ndependencies: [wqp-only-here]\n"

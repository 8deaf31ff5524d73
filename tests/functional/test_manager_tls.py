"""A manager that speaks TLS with a certificate of its own, our worker, and programs that know nothing of it."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager_programs import SECONDS, Programs
from wq_package.errors import QueueError
from wq_package.link import make_certificate
from wq_package.manager import BlockingManager, Manager, ManagerOptions
from wq_package.task import InputFile, Task


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path)
    yield programs
    programs.stop()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wq_package_cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_manager__beyond_loopback__speaks_tls_and_serves_workers_that_know_the_fingerprint(
    programs: Programs, tmp_path: Path
) -> None:
    with BlockingManager(ManagerOptions(host="0.0.0.0")) as manager:
        password = tmp_path / "made"
        manager.save_password(password)
        programs.start("ours", manager.port, "--tls-fingerprint", manager.tls_fingerprint, password=password)
        content = bytes(3_000_000)
        manager.submit(Task(command="wc -c < input", inputs=(InputFile("input", content=content),)))
        result = manager.wait(SECONDS)
        assert result is not None
        assert result.output == b"3000000\n", result
        shown = run(
            "status", "127.0.0.1", str(manager.port), "-P", str(password),
            "--tls-fingerprint", manager.tls_fingerprint,
        )  # fmt: skip
        assert shown.returncode == 0, shown.stderr
        assert "1 done" in shown.stdout


@pytest.mark.parametrize("fingerprint", ["", "00" * 32], ids=["none", "another"])
def test_worker__without_the_right_fingerprint__is_a_clear_error(
    programs: Programs, tmp_path: Path, fingerprint: str
) -> None:
    with BlockingManager(ManagerOptions(tls=True)) as manager:
        manager.save_password(tmp_path / "made")
        words = ["--tls-fingerprint", fingerprint] if fingerprint else []
        done = run(
            "worker", "127.0.0.1", str(manager.port), "-P", str(tmp_path / "made"), "--single-shot",
            "--connect-timeout", "0", "--workdir", str(tmp_path), *words,
        )  # fmt: skip
        assert done.returncode == 6, done.stderr
        assert "TLS" in done.stderr if not fingerprint else "fingerprint" in done.stderr
        assert "hint: " in done.stderr
        assert manager.statistics().workers_connected == 0


@pytest.mark.workqueue
def test_manager__tls_switched_off__serves_real_workers_beyond_loopback(
    programs: Programs, tmp_path: Path
) -> None:
    with BlockingManager(ManagerOptions(host="0.0.0.0", tls=False)) as manager:
        assert manager.tls_fingerprint == ""
        manager.save_password(tmp_path / "made")
        programs.start("debian", manager.port, password=tmp_path / "made")
        manager.submit(Task(command="echo served"))
        result = manager.wait(SECONDS)
        assert result is not None
        assert result.output == b"served\n"


def test_manager__given_certificate__is_used_and_not_made() -> None:
    certificate = make_certificate()

    async def test() -> tuple[str, bytes]:
        async with Manager(ManagerOptions(tls=certificate.context)) as manager:
            pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", manager.port))
            return manager.tls_fingerprint, ssl.PEM_cert_to_DER_cert(pem)

    fingerprint, binary = asyncio.run(test())
    assert fingerprint == ""
    assert hashlib.sha256(binary).hexdigest() == certificate.fingerprint


def test_manager__no_openssl__says_so_and_does_not_listen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "cryptography", None)
    manager = BlockingManager(ManagerOptions(tls=True))

    with pytest.raises(QueueError, match="neither a program `openssl` nor") as caught:
        manager.start()
    assert "tls=False" in str(caught.value.hint)


def test_manager__no_openssl_but_cryptography__makes_the_certificate_with_that(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    async def test() -> tuple[str, bytes]:
        async with Manager(ManagerOptions(tls=True)) as manager:
            pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", manager.port))
            return manager.tls_fingerprint, ssl.PEM_cert_to_DER_cert(pem)

    fingerprint, binary = asyncio.run(test())
    assert hashlib.sha256(binary).hexdigest() == fingerprint


@pytest.mark.parametrize(
    ("script", "word"), [("echo broken >&2; exit 1", "broken"), ("exit 3", "exit code 3")]
)
def test_manager__openssl_fails__says_what_it_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, word: str
) -> None:
    (tmp_path / "openssl").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(QueueError, match=word) as caught:
        make_certificate()
    assert caught.value.hint


def test_certificate__each__is_another_one() -> None:
    first, second = make_certificate(), make_certificate()

    assert len(first.fingerprint) == 64
    assert first.fingerprint != second.fingerprint

"""What users do wrong: one clear sentence, a hint, the documented exit code, and nothing left behind."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from installed import Installed


def _assert_refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: ") == 1, done.stderr
    assert "hint: " in done.stderr
    for word in words:
        assert word in done.stderr


def test_analyze__syntax_error__names_file_and_line(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import numpy\ndef broken(:\n    pass\n")

    done = installed.run("analyze", tmp_path / "app.py", "-o", tmp_path / "env.yml")

    _assert_refused(done, 3, "app.py", "line 2")
    assert not (tmp_path / "env.yml").exists()


def test_analyze__unresolvable_import__names_it_and_where(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import numpy\nimport no_such_module_anywhere\n")

    done = installed.run("analyze", tmp_path / "app.py", "-o", tmp_path / "env.yml")

    _assert_refused(done, 3, "no_such_module_anywhere", "app.py:2")
    assert not (tmp_path / "env.yml").exists()


def test_analyze__missing_file__says_so(installed: Installed, tmp_path: Path) -> None:
    done = installed.run("analyze", tmp_path / "nowhere.py")

    _assert_refused(done, 3, "nowhere.py")


def test_build__missing_spec__says_so(installed: Installed, tmp_path: Path) -> None:
    done = installed.run("build", tmp_path / "nowhere.yml", "-o", tmp_path / "env.tar.gz")

    _assert_refused(done, 3, "nowhere.yml")
    assert list(tmp_path.iterdir()) == []


def test_build__unknown_version__names_it_and_leaves_nothing(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "env.yml").write_text("dependencies:\n  - pip\n  - pip:\n      - six==99.99.99\n")

    done = installed.run("build", tmp_path / "env.yml", "-o", tmp_path / "env.tar.gz")

    _assert_refused(done, 4, "six")
    assert [path.name for path in tmp_path.iterdir()] == ["env.yml"]


def test_build__malformed_spec__names_every_issue(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "env.yml").write_text("dependencies: {numpy: 1}\n")

    done = installed.run("build", tmp_path / "env.yml", "-o", tmp_path / "env.tar.gz")

    _assert_refused(done, 3, "env.yml")


@pytest.fixture(scope="module")
def small_archive(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    (folder / "app.py").write_text("import dateutil\n")
    assert installed.run("analyze", folder / "app.py", "-o", folder / "env.yml").returncode == 0
    built = installed.run("build", folder / "env.yml", "-o", folder / "env.tar.gz")
    assert built.returncode == 0, built.stderr
    return folder / "env.tar.gz"


@pytest.mark.parametrize("command", ["run", "unpack", "inspect", "verify"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_archive__truncated__is_refused_and_nothing_is_unpacked(
    small_archive: Path, installed: Installed, tmp_path: Path, command: str, kept: float
) -> None:
    whole = small_archive.read_bytes()
    short = tmp_path / "short.tar.gz"
    short.write_bytes(whole[: int(len(whole) * kept)])
    rest = {"run": ["--", "python", "-V"], "unpack": [str(tmp_path / "env")]}.get(command, [])

    done = installed.run(
        command, short, *rest, env={"WQ_PACKAGE_STORE": str(tmp_path / "store"), "PATH": "/bin"}
    )

    _assert_refused(done, 5, "short.tar.gz")
    assert not (tmp_path / "env").exists()
    assert list(tmp_path.glob("store/envs/*")) == []


def test_run__missing_archive__says_so(installed: Installed, tmp_path: Path) -> None:
    _assert_refused(installed.run("run", tmp_path / "no.tar.gz", "--", "true"), 5, "no.tar.gz")


def test_worker__dead_manager__says_so(installed: Installed, tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = str(reserved.getsockname()[1])
        done = installed.run("worker", "127.0.0.1", port, "--timeout", "1", "--store", tmp_path / "store")

    _assert_refused(done, 6, port)


def test_worker__missing_password_file__says_so(installed: Installed, tmp_path: Path) -> None:
    done = installed.run("worker", "127.0.0.1", "9", "--password-file", tmp_path / "secret")

    _assert_refused(done, 6, "secret")


@contextlib.contextmanager
def _manager(password: bytes | None) -> Iterator[int]:
    from wq_package.manager import BlockingManager, ManagerOptions

    with BlockingManager(ManagerOptions(password=password)) as manager:
        yield manager.port


@pytest.mark.parametrize("given", [b"wrong\n", None], ids=["wrong", "missing"])
def test_worker__bad_password__says_so_and_is_not_let_in(
    installed: Installed, tmp_path: Path, given: bytes | None
) -> None:
    options = ["--timeout", "2", "--single-shot", "--store", str(tmp_path / "store")]
    if given is not None:
        (tmp_path / "secret").write_bytes(given)
        options += ["--password-file", str(tmp_path / "secret")]

    with _manager(b"right\n") as port:
        done = installed.run("worker", "127.0.0.1", str(port), *options)

    _assert_refused(done, 6, "password")

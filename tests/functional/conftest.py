"""What functional tests share: the built wheel in a fresh environment, and skips that fail in CI."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from conda_channels import make_channel
from installed import Installed

# What is started in the background, or by `nohup`, has some signals ignored and so would all that tests start.
for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)

ROOT = Path(__file__).resolve().parents[2]

_NEEDS = {
    "workqueue": ("work_queue_worker", "apt-get install coop-computing-tools python3-workqueue"),
    "root": ("chroot", "run as root"),
    "openssl": ("openssl", "apt-get install openssl"),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot do; fail instead where `CI` is set."""
    for marker, (program, remedy) in _NEEDS.items():
        if item.get_closest_marker(marker) and shutil.which(program) is None:
            message = f"`{program}` is missing: {remedy}"
            if os.environ.get("CI"):
                pytest.fail(message, pytrace=False)
            pytest.skip(message)


@pytest.fixture(autouse=True)
def _advertise_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A named manager of Debian's advertises to a public server unless it is told otherwise."""
    monkeypatch.setenv("CATALOG_HOST", "127.0.0.1")
    monkeypatch.setenv("CATALOG_PORT", "9")


@pytest.fixture(autouse=True, scope="session")
def _work_below_the_test_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let workers, Debian's and those that a provider kills too, leave nothing in the system's temporary folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_CONDOR_SCRATCH_DIR", str(tmp_path_factory.mktemp("scratch")))
        yield


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build the wheel once per test run and install it, with numpy, scipy and pandas, in a fresh environment."""
    shared = find_shared(tmp_path_factory)
    prefix = shared / "installed"
    with (shared / "installed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (prefix / "complete").exists():
            _install_wheel(shared, prefix)
            (prefix / "complete").touch()
    return Installed(prefix)


@pytest.fixture(scope="session")
def rattler() -> None:
    """What solves and installs conda packages."""
    if importlib.util.find_spec("rattler") is None:
        message = "py-rattler is missing: python -m pip install 'wq-package[conda]'"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


@pytest.fixture(scope="session")
def channel(rattler: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a channel once per test run: Python, numpy, scipy, pandas and the samples."""
    shared = find_shared(tmp_path_factory)
    folder = shared / "channel"
    with (shared / "channel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "noarch" / "repodata.json").exists():
            make_channel(folder, "--with", "numpy", "--with", "scipy", "--with", "pandas")
    return folder


def find_shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Find the folder that all processes of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own


def _install_wheel(folder: Path, prefix: Path) -> None:
    wheels = folder / "wheels"
    _check([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)], cwd=ROOT)
    venv.create(prefix, with_pip=False, symlinks=True)
    wheel = next(wheels.glob("*.whl"))
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    requirement = f"wq-package[examples] @ file://{wheel}"
    _check([uv, "pip", "install", "-q", "--python", str(prefix / "bin" / "python"), requirement], cwd=folder)


def _check(command: list[str], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

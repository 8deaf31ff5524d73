"""Parsl with conda's environments: those that the user names, and the one that the program itself runs in."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from parsl import bash_app, python_app

from conda_channels import install, run
from installed import Installed
from loaded_executor import loaded, make_executor

pytestmark = [pytest.mark.parsl, pytest.mark.conda]

PATIENCE = 600
BARE_WORKER = f"env -i PATH=/usr/bin:/bin {sys.executable} -m wq_package_cli worker"
"""A worker that has nothing of the environments of this machine."""


@pytest.fixture
def prefix(channel: Path, tmp_path: Path) -> Path:
    """Install an environment from the channel, as a user of conda would."""
    prefix = tmp_path / "conda" / "physics"
    names = ["python", "numpy", "wqp-greeting", "wqp-activate"]
    install(channel.as_uri(), names, prefix, tmp_path / "downloads")
    return prefix


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where layers are kept: those of Python and numpy are made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program is started."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def describe(n: int) -> tuple[str, str, int, str]:
    import os
    import sys

    import numpy
    import wqp_greeting  # type: ignore[import-not-found]  # in those environments alone

    home = os.environ["WQP_ACTIVATE_HOME"]
    return sys.prefix, wqp_greeting.make_greeting("you"), int(numpy.arange(n).sum()), home


@python_app
def in_folder(n: int) -> tuple[str, str, int, str]:
    return describe(n)


@python_app
def in_name(n: int) -> tuple[str, str, int, str]:
    return describe(n)


@python_app
def in_spec(n: int) -> tuple[str, str, int, str]:
    return describe(n)


@bash_app
def greet(stdout: str = "greeting.txt") -> str:
    return "wqp-greet me"


def test_conda__folder_name_and_spec__apps_run_in_copies_of_them(
    folder: Path,
    prefix: Path,
    channel: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("CONDA_ENVS_PATH", str(prefix.parent))
    (folder / "environment.yml").write_text(
        f"channels: ['{channel.as_uri()}']\ndependencies: [numpy, wqp-greeting, wqp-activate]\n"
    )
    environments = {
        "in_folder": str(prefix),
        "in_name": prefix.name,
        "in_spec": "environment.yml",
        "greet": str(prefix),
    }
    executor = make_executor(
        folder, environments=environments, cache_dir=str(cache), worker_executable=BARE_WORKER
    )
    with loaded(folder, executor):
        futures = [app(4) for app in (in_folder, in_name, in_spec)]
        greeted = greet()
        for future in futures:
            place, greeting, total, home = future.result(timeout=PATIENCE)
            assert place.startswith(f"{folder}/store/envs/")
            assert (greeting, total) == (f"hello you from {place}", 6)
            assert home == f"{place}/share/wqp-activate"
        assert greeted.result(timeout=PATIENCE) == 0
        digests = {packed.name: packed.environment.digest for packed in executor.list_packed()}
    assert digests["in_folder"] == digests["in_name"] == digests["greet"]
    assert "differs from this program" not in caplog.text
    assert (folder / "greeting.txt").read_text() == f"hello me from {futures[0].result()[0]}\n"


PROGRAM = """
import sys
import parsl
from parsl import Config, python_app
from parsl.providers import LocalProvider
from wq_package.executor import WQPackageExecutor
import mine

@python_app
def work(n):
    import sys, numpy, wqp_greeting
    return sys.prefix, wqp_greeting.make_greeting("you"), mine.double(int(numpy.arange(n).sum()))

if __name__ == "__main__":
    provider = LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1)
    executor = WQPackageExecutor(
        pack=True, cache_dir=sys.argv[2], worker_options="--cores 1 --store " + sys.argv[1], provider=provider
    )
    with parsl.load(Config(executors=[executor], strategy="none", initialize_logging=False)):
        print(*work(4).result(), sep="\\n")
        (packed,) = executor.list_packed()
    print(*(f"{layer.kind} {layer.name}" for layer in packed.built.layers), sep="\\n")
"""


def test_conda__program_that_runs_in_its_environment__each_app_gets_what_it_imports(
    folder: Path, prefix: Path, cache: Path, installed: Installed
) -> None:
    wheel = next((installed.prefix.parent / "wheels").glob("*.whl"))
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    requirement = f"wq-package[parsl,conda] @ file://{wheel}"
    done = run(uv, "pip", "install", "-q", "--python", prefix / "bin" / "python", requirement)
    assert done.returncode == 0, done.stderr
    (folder / "program.py").write_text(PROGRAM)
    (folder / "mine.py").write_text("def double(x):\n    return 2 * x\n")
    variables = {"PATH": f"{prefix}/bin:/usr/bin:/bin", "CONDA_PREFIX": str(prefix), "HOME": str(folder)}
    variables |= {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_"))}
    done = run(prefix / "bin" / "python", "program.py", folder / "store", cache, cwd=folder, env=variables)
    assert done.returncode == 0, done.stderr
    place, greeting, total, *layers = done.stdout.splitlines()
    assert place.startswith(f"{folder}/store/envs/")
    assert (greeting, total) == (f"hello you from {place}", "12")
    assert layers == [
        "conda python",
        "launcher launcher",
        "conda numpy",
        "conda wqp-greeting",
        "wheel cloudpickle",
        "local mine",
    ]

"""Where environments come from, and where workers find the executor: everything that a user may name."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cloudpickle
import pytest
from parsl import python_app

from loaded_executor import loaded, make_executor
from wq_package.build import build_environment, lock_environment
from wq_package.build.options import BuildOptions
from wq_package.catalog import find_managers, parse_catalogs
from wq_package.executor import WQPackageExecutor
from wq_package.executor.failures import EnvironmentUnavailableError
from wq_package.spec.environment import EnvironmentSpec, WheelRequirement

pytestmark = pytest.mark.parsl

PATIENCE = 240
LOADER = EnvironmentSpec(wheels=(WheelRequirement("cloudpickle"),))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program is started."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@python_app
def in_archive() -> str:
    return sys.prefix


@python_app
def in_digest() -> str:
    return sys.prefix


@python_app
def in_lock() -> str:
    return sys.prefix


@python_app
def in_prefix() -> str:
    import only_there  # type: ignore[import-not-found]  # in that environment alone

    return f"{only_there.WORD} {sys.prefix}"


@python_app
def in_conda() -> str:
    return sys.prefix


@python_app
def in_bare() -> str:
    return sys.prefix


@python_app
def lacks() -> str:
    import only_there

    return str(only_there.WORD)


def make_environment(folder: Path) -> Path:
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    (site / "only_there.py").write_text("WORD = 'there'\n")
    return folder


def test_environment__every_form__is_used_by_its_app(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = BuildOptions(cache=folder / "cache")
    archive = build_environment(LOADER, folder / "env.tar.gz", options)
    (folder / "env.lock").write_text(lock_environment(LOADER, options))
    kept = folder / "cache" / "environments" / "kept.tar.zst"
    kept.parent.mkdir(exist_ok=True)
    digest = build_environment(LOADER, kept, options).digest
    build_environment(EnvironmentSpec(), folder / "bare.tar.gz", options)
    environments = {
        "in_bare": "bare.tar.gz",
        "in_archive": "env.tar.gz",
        "in_digest": digest[:12],
        "in_lock": "env.lock",
        "in_prefix": str(make_environment(folder / "own")),
        "in_conda": "no-such-environment",
        "lacks": "env.tar.gz",
        "in_archve": "env.tar.gz",
    }
    with loaded(folder, make_executor(folder, environments=environments)):
        assert archive.digest in in_archive().result(timeout=PATIENCE)
        assert digest in in_digest().result(timeout=PATIENCE)
        assert digest in in_lock().result(timeout=PATIENCE)
        word, prefix = in_prefix().result(timeout=PATIENCE).split()
        assert word == "there"
        assert str(folder / "store") in prefix
        missing = lacks().exception(timeout=PATIENCE)
        assert isinstance(missing, ModuleNotFoundError)
        assert "`env.tar.gz` has no `only_there`" in missing.__notes__[0]
        for app, reason in (
            (in_conda, "there is no environment `no-such-environment`"),
            (in_bare, "it has no cloudpickle"),
        ):
            error = app().exception(timeout=PATIENCE)
            assert isinstance(error, EnvironmentUnavailableError)
            assert reason in str(error)
            assert error.hint is not None
    told = [record.getMessage() for record in caplog.records if "no app of that name" in record.getMessage()]
    assert told == ["`environments` names app `in_archve`, and no app of that name was called"]


PROGRAM = """
import sys
import parsl
from parsl import Config, python_app
from parsl.providers import LocalProvider
from wq_package.executor import WQPackageExecutor
import library

@python_app
def direct(x):
    import cloudpickle
    from tools import units
    return units.double(x), cloudpickle.__version__

provider = LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1)
options = "--cores 1 --store store"
names = {"direct": sys.argv[1], "indirect": sys.argv[2]}
executor = WQPackageExecutor(environments=names, cache_dir="cache", worker_options=options, provider=provider)
with parsl.load(Config(executors=[executor], strategy="none", initialize_logging=False)):
    print(direct(4).result()[0], library.indirect(4).result())
    for packed in sorted(executor.list_packed(), key=lambda each: each.name):
        own = [source.import_name for source in packed.spec.local]
        print(packed.name, packed.given, packed.built.layers_built, *(pin.text for pin in packed.spec.wheels), *own)
"""


def run_program(folder: Path, *environments: str) -> list[list[str]]:
    done = subprocess.run(
        [sys.executable, "program.py", *environments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def test_environment__that_is_named__modules_of_the_users_own_join_it(folder: Path) -> None:
    (folder / "program.py").write_text(PROGRAM)
    (folder / "library.py").write_text(
        "from parsl import python_app\nimport measures\n@python_app\ndef indirect(x):\n    return measures.area(x)\n"
    )
    (folder / "measures.py").write_text("def area(x):\n    return x * x\n")
    (folder / "tools").mkdir()
    (folder / "tools" / "__init__.py").write_text("")
    (folder / "tools" / "units.py").write_text("def double(x):\n    return 2 * x\n")
    (folder / "environment.yml").write_text("dependencies: [pip, {pip: [cloudpickle]}]\n")
    build_environment(LOADER, folder / "env.tar.gz", BuildOptions(cache=folder / "cache"))
    pin = f"cloudpickle=={cloudpickle.__version__}"

    first = run_program(folder, "env.tar.gz", "environment.yml")
    (folder / "measures.py").write_text("def area(x):\n    return 100 * x\n")
    second = run_program(folder, "env.tar.gz", "environment.yml")

    direct, indirect = ["direct", "env.tar.gz"], ["indirect", "environment.yml"]
    assert first == [["8", "16"], [*direct, "1", pin, "tools"], [*indirect, "1", pin, "measures"]]
    assert second == [["8", "400"], [*direct, "0", pin, "tools"], [*indirect, "1", pin, "measures"]]


@contextmanager
def started_catalog() -> Iterator[str]:
    command = [sys.executable, "-m", "wq_package_cli", "catalog", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()


def list_projects(catalog: str) -> list[str]:
    found = asyncio.run(find_managers(parse_catalogs(catalog), ".*"))
    return [manager.project for manager in found]


@python_app
def double(x: int) -> int:
    return x * 2


def test_project_name__workers_find_the_executor_in_the_catalog(folder: Path) -> None:
    with started_catalog() as catalog:
        executor = make_executor(folder, project_name="my-app+1", catalog=catalog)
        with loaded(folder, executor):
            assert double(2).result(timeout=PATIENCE) == 4
            assert list_projects(catalog) == ["my-app+1"]
        assert re.search(rf"-M 'my-app\\\+1' -C {catalog}$", executor.worker_command)


def test_project_name__catalog_elsewhere_in_the_variables_alone__nothing_is_told_without_a_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started_catalog() as catalog:
        monkeypatch.setenv("CATALOG_HOST", catalog)
        with loaded(folder, make_executor(folder)):
            assert double(2).result(timeout=PATIENCE) == 4
            assert list_projects(catalog) == []


def test_worker__whose_own_python_has_other_versions__is_told_in_one_table(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "site" / "numpy-0.0.1.dist-info").mkdir(parents=True)
    worker = f"env PYTHONPATH={folder / 'site'} {sys.executable} -m wq_package_cli worker"
    with loaded(folder, make_executor(folder, worker_executable=worker)) as executor:
        assert double(2).result(timeout=PATIENCE) == 4
        executor.scale_out_facade(2)  # the first of them is the strategy's
        wait_for_blocks(executor, 2)
    tables = [record.getMessage() for record in caplog.records if "another Python" in record.getMessage()]
    assert len(tables) == 1
    assert re.search(r"numpy +[\d.]+ +0\.0\.1$", tables[0], re.MULTILINE)


def wait_for_blocks(executor: WQPackageExecutor, count: int) -> None:
    limit = time.monotonic() + PATIENCE
    while len(executor.count_tasks_by_block()) < count:
        assert time.monotonic() < limit
        time.sleep(0.02)

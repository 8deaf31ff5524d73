"""Environments for other versions of Python than the one that builds them, for as many as this machine has."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from wq_package.build import BuildOptions, build_environment, lock_environment
from wq_package.build.bytecode import Compiler
from wq_package.build.interpreter import Interpreter, find_interpreter
from wq_package.errors import BackendNotFoundError, BuildError
from wq_package.spec.environment import EnvironmentSpec, LocalSource


@pytest.fixture(params=["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    try:
        return find_interpreter(request.param, None)
    except BackendNotFoundError:
        pytest.skip(f"no Python {request.param} is installed")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("layers")


@pytest.fixture
def spec(tmp_path: Path) -> EnvironmentSpec:
    (tmp_path / "helpers.py").write_text("def double(x):\n    return 2 * x\n")
    return EnvironmentSpec(python="2.7", local=(LocalSource("helpers", str(tmp_path / "helpers.py"), ""),))


def test_build__python_of_another_version__runs_without_any_other(
    interpreter: Interpreter, spec: EnvironmentSpec, cache: Path, tmp_path: Path
) -> None:
    options = BuildOptions(cache=cache, python=interpreter.short_version, bytecode=False)
    built = build_environment(spec, tmp_path / "env.tar.zst", options)
    prefix = tmp_path / "else where"
    prefix.mkdir()
    subprocess.run(["tar", "-xf", built.path, "-C", prefix], check=True)

    code = "import bz2, ctypes, helpers, sqlite3, ssl, sys; print(sys.version.split()[0], helpers.double(4))"
    done = subprocess.run(
        [prefix / "bin" / "python3", "-c", code], env={}, capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == [interpreter.version, "8"], done.stderr
    assert built.index.python == interpreter.version


def test_compile__for_another_version__that_python_takes_it(interpreter: Interpreter, tmp_path: Path) -> None:
    source = tmp_path / "there.py"
    source.write_text("word = 'compiled'\n")
    with Compiler(interpreter, 1) as compiler:
        (compiled,) = compiler.compile_all([(str(source), "there.py")])
    (tmp_path / "there.pyc").write_bytes(compiled)
    source.unlink()

    command = [interpreter.executable, "-c", "import there; print(there.word)"]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=False)
    assert done.stdout == "compiled\n", done.stderr


def test_build__python_that_nobody_has__one_sentence(
    spec: EnvironmentSpec, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(BackendNotFoundError, match=r"`Python 3\.99` was not found") as caught:
        build_environment(spec, tmp_path / "env.tar.zst", BuildOptions(cache=cache, python="3.99"))
    assert caught.value.__context__ is None  # a traceback tells of nothing else
    assert not (tmp_path / "env.tar.zst").exists()


def test_build__lock_of_another_python_than_asked_for__is_refused(cache: Path, tmp_path: Path) -> None:
    lock = lock_environment(EnvironmentSpec(), BuildOptions(cache=cache, bytecode=False))
    options = BuildOptions(cache=cache, lock=lock, python="3.99")
    with pytest.raises(BuildError, match=r"the lock has Python .* and --python asks for 3\.99"):
        build_environment(EnvironmentSpec(), tmp_path / "env.tar.zst", options)

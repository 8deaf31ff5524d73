"""Environments for machines of another kind: what can be shown without one."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from wq_package.archive.reader import ArchiveReader
from wq_package.build import BuildOptions, Indexes, build_environment, lock_environment
from wq_package.build.elf import read_elf
from wq_package.build.foreign import find_foreign_interpreter
from wq_package.build.interpreter import describe_running_interpreter
from wq_package.build.libraries import is_host_library
from wq_package.build.platforms import Platform
from wq_package.errors import BackendFailedError, BackendNotFoundError, BuildError
from wq_package.spec.environment import EnvironmentSpec, LocalSource, WheelRequirement

_HERE = describe_running_interpreter()
_OTHER = "aarch64" if os.uname().machine == "x86_64" else "x86_64"
_ELF_MACHINES = {"x86_64": 62, "aarch64": 183}


def _make_program(path: Path, machine: str) -> Path:
    """Copy a program that needs the C library only, and say in its head that it is for another architecture."""
    program = bytearray(Path(shutil.which("true") or "/bin/true").read_bytes())
    facts = read_elf(bytes(program))
    if facts is None or not all(map(is_host_library, facts.needed)):
        pytest.skip("`true` of this machine needs more than the C library")
    program[18:20] = _ELF_MACHINES[machine].to_bytes(2, "little")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(program)
    path.chmod(0o755)
    return path


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Make the smallest Python for another architecture."""
    prefix = tmp_path / "foreign"
    header = prefix / "include" / _HERE.name / "patchlevel.h"
    header.parent.mkdir(parents=True)
    header.write_text(f'#define PY_VERSION              "{_HERE.short_version}.99"\n')
    library = prefix / "lib" / _HERE.name
    library.mkdir(parents=True)
    (library / "os.py").write_text("name = 'posix'\n")
    return _make_program(prefix / "bin" / _HERE.name, _OTHER)


def _write_wheel(folder: Path, name: str, tag: str) -> None:
    folder.mkdir(exist_ok=True)
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-{tag}.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", f"tag = '{tag}'\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


@pytest.fixture
def options(foreign: Path, tmp_path: Path) -> BuildOptions:
    python = f"cp{_HERE.short_version.replace('.', '')}"
    for machine in (_OTHER, os.uname().machine):
        _write_wheel(tmp_path / "wheels", "everywhere", f"{python}-{python}-manylinux_2_17_{machine}")
    _write_wheel(tmp_path / "wheels", "onlyhere", f"{python}-{python}-manylinux_2_17_{os.uname().machine}")
    indexes = Indexes(find_links=(str(tmp_path / "wheels"),), no_index=True)
    return BuildOptions(cache=tmp_path / "cache", platform=_OTHER, interpreter=str(foreign), indexes=indexes)


def test_build__for_another_architecture__has_its_wheels_and_its_python(
    options: BuildOptions, tmp_path: Path
) -> None:
    (tmp_path / "helpers.py").write_text("x = 1\n")
    local = (LocalSource("helpers", str(tmp_path / "helpers.py"), ""),)
    spec = EnvironmentSpec(wheels=(WheelRequirement("everywhere"),), local=local)

    built = build_environment(spec, tmp_path / "env.tar.zst", options)

    assert (built.index.machine, built.index.python) == (_OTHER, f"{_HERE.short_version}.99")
    with ArchiveReader(built.path) as archive:
        assert f"manylinux_2_17_{_OTHER}" in archive.index.lock
        assert f"manylinux_2_17_{os.uname().machine}" not in archive.index.lock
    lock = lock_environment(spec, options)
    assert lock == built.index.lock
    again = build_environment(spec, tmp_path / "again.tar.zst", replace(options, lock=lock))
    assert again.path.read_bytes() == built.path.read_bytes()


def test_build__no_wheel_for_that_architecture__one_sentence(options: BuildOptions, tmp_path: Path) -> None:
    spec = EnvironmentSpec(wheels=(WheelRequirement("onlyhere==1.0"),))
    with pytest.raises(BackendFailedError) as caught:
        build_environment(spec, tmp_path / "env.tar.zst", options)

    assert "no wheel fits this Python and platform" in str(caught.value)
    assert "onlyhere" in str(caught.value)
    assert not (tmp_path / "env.tar.zst").exists()


def test_build__no_python_for_that_architecture__says_what_is_missing(tmp_path: Path) -> None:
    options = BuildOptions(cache=tmp_path / "cache", platform=_OTHER, python="3.1")
    with pytest.raises(BackendNotFoundError, match=f"Python 3.1 for {_OTHER}` was not found") as caught:
        build_environment(EnvironmentSpec(), tmp_path / "env.tar.zst", options)
    assert "--interpreter" in str(caught.value.hint)


def test_find_foreign__one_that_uv_keeps__is_found(
    foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "uv"
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(kept))
    (foreign.parent / "python3").symlink_to(foreign.name)
    kept.mkdir()
    for version in (f"{_HERE.short_version}.99", "3.99.1"):
        (kept / f"cpython-{version}-linux-{_OTHER}-gnu").symlink_to(foreign.parent.parent)

    found = find_foreign_interpreter(_HERE.short_version, None, Platform(_OTHER))

    assert (found.executable, found.version) == (str(foreign), f"{_HERE.short_version}.99")
    assert found.program == found.runner != found.executable
    with pytest.raises(BackendNotFoundError):
        find_foreign_interpreter("3.98", None, Platform(_OTHER))


def test_build__program_of_this_machine_named_for_another__is_refused(tmp_path: Path) -> None:
    options = BuildOptions(cache=tmp_path / "cache", platform=_OTHER, interpreter=sys.executable)
    with pytest.raises(BuildError, match="is a program for"):
        build_environment(EnvironmentSpec(), tmp_path / "env.tar.zst", options)


def test_build__conda_packages_for_another_architecture__are_refused(tmp_path: Path) -> None:
    options = BuildOptions(cache=tmp_path / "cache", platform=_OTHER)
    with pytest.raises(BuildError, match="machines like this one"):
        build_environment(EnvironmentSpec(channels=("file:///nowhere",)), tmp_path / "env.tar.zst", options)


def test_build__older_c_library_than_the_interpreter_needs__is_refused(
    options: BuildOptions, foreign: Path, tmp_path: Path
) -> None:
    facts = read_elf(foreign.read_bytes())
    if facts is None or facts.glibc is None or facts.glibc <= (2, 17):
        pytest.skip("the programs of this machine run with a C library of 2014")
    with pytest.raises(BuildError, match=r"has glibc 2\.17, and more is needed by `python`"):
        build_environment(
            EnvironmentSpec(), tmp_path / "env.tar.zst", replace(options, platform=f"manylinux2014_{_OTHER}")
        )
    assert not (tmp_path / "env.tar.zst").exists()


def test_find_foreign__a_real_python__is_described_as_it_describes_itself() -> None:
    described = find_foreign_interpreter(None, _HERE.executable, Platform(os.uname().machine))

    for field in ("executable", "version", "name", "stdlib", "dynload", "include", "cache_tag"):
        assert getattr(described, field) == getattr(_HERE, field), field
    assert described.machine == os.uname().machine

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from wq_package.archive.launcher import (
    make_environment_variables,
    make_launcher_entries,
    render_launcher,
)


def test_make_launcher_entries__what_old_tools_look_for__is_there() -> None:
    entries = {
        entry.path: entry for entry in make_launcher_entries("3.12.1", conda_spec="dependencies: []\n")
    }
    assert set(entries) == {
        "bin/activate", "bin/conda-unpack", "bin/poncho_package_run", "bin/run_in_env", "conda_spec.yml",
    }  # fmt: skip
    assert all(entry.mode == (0o755 if path.startswith("bin/") else 0o644) for path, entry in entries.items())
    activate = entries["bin/activate"].source
    assert isinstance(activate, bytes)
    assert b"python3.12/" in activate
    assert b"@PYTHON@" not in activate
    assert entries["bin/poncho_package_run"].source == render_launcher().encode()


def test_make_launcher_entries__same_python__same_bytes() -> None:
    assert make_launcher_entries("3.12.1") == make_launcher_entries("3.12.9")


def test_conda_unpack__with_its_header__is_python() -> None:
    entries = {entry.path: entry.source for entry in make_launcher_entries("3.12.1")}
    source = entries["bin/conda-unpack"]
    assert isinstance(source, bytes)
    # 3.8 is the oldest Python that it must run on.
    ast.parse(source.decode(), feature_version=(3, 8))


def test_make_environment_variables__python_of_the_caller__is_left_out() -> None:
    base = {
        "PATH": "/usr/bin",
        "PYTHONPATH": "/x",
        "PYTHONHOME": "/y",
        "VIRTUAL_ENV": "/z",
        "HOME": "/home/me",
    }
    assert make_environment_variables(Path("/e nv"), base) == {
        "PATH": "/e nv/bin:/usr/bin",
        "HOME": "/home/me",
        "CONDA_PREFIX": "/e nv",
        "CONDA_DEFAULT_ENV": "/e nv",
        "PYTHONNOUSERSITE": "1",
    }


def test_make_environment_variables__nothing_set__has_a_path() -> None:
    assert make_environment_variables(Path("/e"), {})["PATH"] == "/e/bin:/usr/local/bin:/usr/bin:/bin"


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ({}, "{prefix}/lib/python3.11/site-packages/certifi/cacert.pem"),
        ({"SSL_CERT_FILE": "/my/own.pem"}, "/my/own.pem"),
        ({"SSL_CERT_DIR": "/my/certs"}, None),
    ],
)
def test_make_environment_variables__certificates__are_the_environments_unless_named(
    tmp_path: Path, base: dict[str, str], expected: str | None
) -> None:
    folder = tmp_path / "lib/python3.11/site-packages/certifi"
    folder.mkdir(parents=True)
    (folder / "cacert.pem").touch()
    found = make_environment_variables(tmp_path, base).get("SSL_CERT_FILE")
    assert found == (expected and expected.format(prefix=tmp_path))

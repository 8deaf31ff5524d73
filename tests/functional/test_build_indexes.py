"""Wheels from where pip's settings and the options say, as a user meets them: no network is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

_COMMAND = str(Path(sys.executable).with_name("wq-package"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wheels").mkdir()
    name, info = "wqp_only_here-1.0", "wqp_only_here-1.0.dist-info"
    with zipfile.ZipFile(tmp_path / "wheels" / f"{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("wqp_only_here.py", "x = 1\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: wqp-only-here\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(
            f"{info}/RECORD", f"wqp_only_here.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    (tmp_path / "spec.yml").write_text("dependencies:\n  - pip: [wqp-only-here]\n")
    return tmp_path


def _build(folder: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    own = {"UV_CACHE_DIR": "uv", "WQ_PACKAGE_CACHE": "cache", "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        [_COMMAND, "build", "spec.yml", "-o", "env.tar.zst", "--json", *options],
        cwd=folder,
        env={**clean, **own, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def _list_layers(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [layer["name"] for layer in json.loads(done.stdout)["layers"]]


def test_indexes__options__are_where_wheels_come_from(folder: Path) -> None:
    assert "wqp-only-here" in _list_layers(_build(folder, "--no-index", "--find-links", "wheels"))


def test_indexes__pip_s_variables__count(folder: Path) -> None:
    done = _build(folder, PIP_FIND_LINKS=str(folder / "wheels"), PIP_NO_INDEX="1")
    assert "wqp-only-here" in _list_layers(done)


def test_indexes__pip_s_file__counts(folder: Path) -> None:
    (folder / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {folder / 'wheels'}\n")
    assert "wqp-only-here" in _list_layers(_build(folder, PIP_CONFIG_FILE=str(folder / "pip.conf")))


def test_indexes__folder_without_the_wheel__one_sentence(folder: Path) -> None:
    (folder / "empty").mkdir()
    done = _build(folder, "--no-index", "--find-links", "empty")

    assert done.returncode == 4
    assert done.stderr.splitlines()[0] == "error: no folder of wheels has `wqp-only-here`"
    assert not (folder / "env.tar.zst").exists()

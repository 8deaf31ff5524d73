"""Wheels from where pip's settings and the options say, as a user meets them: no network is asked."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.pylock import Pylock

_COMMAND = str(Path(sys.executable).with_name("wq-package"))


def _write_wheel(folder: Path, code: str) -> Path:
    name, info = "wqp_only_here-1.0", "wqp_only_here-1.0.dist-info"
    path = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("wqp_only_here.py", code)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: wqp-only-here\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(
            f"{info}/RECORD", f"wqp_only_here.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wheels").mkdir()
    _write_wheel(tmp_path / "wheels", "x = 1\n")
    (tmp_path / "spec.yml").write_text("dependencies:\n  - pip: [wqp-only-here]\n")
    return tmp_path


def _build(folder: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return _run(folder, "build", "spec.yml", "-o", "env.tar.zst", "--json", *options, **settings)


def _run(folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    own = {"UV_CACHE_DIR": "uv", "WQ_PACKAGE_CACHE": "cache", "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        [_COMMAND, *words],
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


def test_lock__wheel__is_named_with_its_digest(folder: Path) -> None:
    done = _run(folder, "lock", "spec.yml", "--no-index", "--find-links", "wheels")

    assert done.returncode == 0, done.stderr
    wheel = next((folder / "wheels").iterdir())
    artefact = json.loads(done.stdout)["artefacts"][-1]
    assert artefact["file"] == wheel.name
    assert artefact["sha256"] == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert artefact["size"] == wheel.stat().st_size
    assert artefact["tags"] == ["py3-none-any"]
    assert str(folder) not in done.stdout
    assert _build(folder, "--no-index", "--find-links", "wheels").returncode == 0
    assert _run(folder, "inspect", "env.tar.zst", "--lock").stdout == done.stdout


def test_build__index_was_asked__its_lock_names_the_files(folder: Path) -> None:
    assert _build(folder, "--no-index", "--find-links", "wheels").returncode == 0

    artefact = json.loads(_run(folder, "inspect", "env.tar.zst", "--lock").stdout)["artefacts"][-1]
    assert artefact["sha256"] == hashlib.sha256(next((folder / "wheels").iterdir()).read_bytes()).hexdigest()


def test_build__lock_in_the_archive__depends_on_nothing_that_a_cache_knows(folder: Path) -> None:
    places = ("--no-index", "--find-links", "wheels")
    archives = []
    for cache in ("cold", "cold", "other"):  # from nothing, once more with all layers there, from nothing
        assert _build(folder, *places, WQ_PACKAGE_CACHE=cache).returncode == 0
        archives.append((folder / "env.tar.zst").read_bytes())

    assert archives[0] == archives[1] == archives[2]


def test_build__from_what_is_installed__lock_is_the_same_before_and_after_an_index_was_asked(
    folder: Path,
) -> None:
    with zipfile.ZipFile(next((folder / "wheels").iterdir())) as wheel:
        wheel.extractall(folder / "site")
    (folder / "spec.yml").write_text("dependencies:\n  - pip: [wqp-only-here==1.0]\n")
    here = {"PYTHONPATH": str(folder / "site")}
    places = ("--no-index", "--find-links", "wheels")

    assert _build(folder, **here).returncode == 0
    before = (folder / "env.tar.zst").read_bytes()
    asked = _run(folder, "lock", "spec.yml", "-o", "env.lock", *places, **here)
    assert asked.returncode == 0, asked.stderr
    assert json.loads((folder / "env.lock").read_text())["artefacts"][-1]["sha256"]
    again = _build(folder, **here)

    assert json.loads(again.stdout)["layers_built"] == 0
    assert (folder / "env.tar.zst").read_bytes() == before
    lock = json.loads(_run(folder, "inspect", "env.tar.zst", "--lock").stdout)
    assert lock["artefacts"][-1]["tags"] == ["py3-none-any"]
    assert "sha256" not in lock["artefacts"][-1]


def test_locked__wheel_with_an_address__is_taken_from_there(folder: Path) -> None:
    wheel = next((folder / "wheels").iterdir())
    (folder / "spec.yml").write_text(f"dependencies:\n  - pip:\n    - wqp-only-here @ {wheel.as_uri()}\n")
    assert _run(folder, "lock", "spec.yml", "-o", "env.lock", "--no-index").returncode == 0
    assert json.loads((folder / "env.lock").read_text())["artefacts"][-1]["requirement"].endswith(
        wheel.as_uri()
    )

    done = _build(folder, "--locked", "env.lock", "--no-index", WQ_PACKAGE_CACHE="cache2")

    assert "wqp-only-here" in _list_layers(done)
    assert str(folder) not in _run(folder, "inspect", "env.tar.zst", "--lock").stdout


def test_locked__wheel_replaced_on_the_index__refused_with_both_digests(folder: Path) -> None:
    places = ("--no-index", "--find-links", "wheels")
    assert _run(folder, "lock", "spec.yml", "-o", "env.lock", *places).returncode == 0
    assert _build(folder, "--locked", "env.lock", *places).returncode == 0
    (folder / "env.tar.zst").unlink()
    wheel = next((folder / "wheels").iterdir())
    old = hashlib.sha256(wheel.read_bytes()).hexdigest()
    new = hashlib.sha256(_write_wheel(folder / "wheels", "x = 'evil'\n").read_bytes()).hexdigest()

    done = _build(folder, "--locked", "env.lock", *places, UV_CACHE_DIR="uv2", WQ_PACKAGE_CACHE="cache2")

    assert done.returncode == 4
    sentence = f"has sha256:{new}, and sha256:{old} in the lock"
    assert sentence in done.stderr.splitlines()[0]
    assert not (folder / "env.tar.zst").exists()


def _analyze(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Analyse a program that imports what is installed of the wheel, and a module of its own."""
    site = folder / "site-packages"
    if not site.exists():
        with zipfile.ZipFile(next((folder / "wheels").iterdir())) as wheel:
            wheel.extractall(site)
    (folder / "app.py").write_text("import wqp_only_here, helpers\n")
    (folder / "helpers.py").write_text("y = 2\n")
    words = ("analyze", "app.py", "--path", str(site), "--format", "pylock", "--no-index", *options)
    return _run(folder, *words)


def test_analyze__lock_file__is_valid_and_can_be_built(folder: Path) -> None:
    done = _analyze(folder, "--find-links", "wheels", "-o", "pylock.toml")

    assert (done.returncode, done.stderr) == (0, "")
    lock = Pylock.from_dict(tomllib.loads((folder / "pylock.toml").read_text()))
    digest = hashlib.sha256(next((folder / "wheels").iterdir()).read_bytes()).hexdigest()
    assert [(package.name, str(package.version)) for package in lock.packages] == [("wqp-only-here", "1.0")]
    assert [wheel.hashes for wheel in lock.packages[0].wheels or ()] == [{"sha256": digest}]
    places = ("--no-index", "--find-links", "wheels")
    built = _run(folder, "build", "pylock.toml", "-o", "env.tar.zst", "--json", *places)
    assert {"wqp-only-here", "helpers"} <= set(_list_layers(built))


def test_analyze__lock_file_of_what_no_index_has__is_one_sentence(folder: Path) -> None:
    (folder / "empty").mkdir()
    done = _analyze(folder, "--find-links", "empty", "-o", "pylock.toml")

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error: no folder of wheels has `wqp-only-here`\nhint: ")
    assert not (folder / "pylock.toml").exists()

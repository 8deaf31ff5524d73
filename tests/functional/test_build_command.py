"""`wq-package build` and `cache` as a user meets them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wq_package.build.installed import find_running_distributions

_COMMAND = str(Path(sys.executable).with_name("wq-package"))
_VERSION = find_running_distributions()["cloudpickle"].version


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("layers")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "helpers.py").write_text("x = 1\n")
    (tmp_path / "env.yml").write_text(
        f"dependencies:\n  - pip\n  - pip:\n      - cloudpickle=={_VERSION}\n"
        "wq-package:\n  local:\n    - {import: helpers, path: ./helpers.py}\n"
    )
    return tmp_path


def _run(folder: Path, cache: Path, *arguments: str, limit: str = "") -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'{limit}\nexec "$@"', "sh", _COMMAND, *arguments]
    variables = {**os.environ, "WQ_PACKAGE_CACHE": str(cache)}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def test_build__quiet_without_a_terminal__digest_and_file_on_standard_output(
    folder: Path, cache: Path
) -> None:
    done = _run(folder, cache, "build", "env.yml")

    assert done.returncode == 0, done.stderr
    digest, path = done.stdout.split()
    assert len(digest) == 64
    assert path == "env.tar.gz"
    assert (folder / path).stat().st_size > 10**6
    assert done.stderr.count("\n") == 1
    assert "4 layers" in done.stderr


def test_build__json__says_what_was_built(folder: Path, cache: Path) -> None:
    done = _run(folder, cache, "build", "env.yml", "-o", "my.tar.zst", "--json", "--offline")

    built = json.loads(done.stdout)
    assert done.stderr == ""
    assert built["path"] == "my.tar.zst"
    assert [layer["name"] for layer in built["layers"]] == ["python", "launcher", "cloudpickle", "helpers"]
    assert built["layers_built"] + built["layers_reused"] == 4


def test_build__folder_in_place_of_a_spec__is_told(folder: Path, cache: Path) -> None:
    done = _run(folder, cache, "build", ".")

    assert done.returncode == 3
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize("output", ["env.zip", "env", "missing/env.tar.gz"])
def test_build__unusable_output__is_refused_at_once(output: str, folder: Path, cache: Path) -> None:
    done = _run(folder, cache, "build", "env.yml", "-o", output)

    assert done.returncode == 4
    assert done.stderr.startswith("error: ")
    assert "\nhint: " in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["env.yml", "helpers.py"]


def test_build__no_room__one_sentence_and_nothing_left(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = tmp_path_factory.mktemp("small")

    done = _run(folder, cache, "build", "env.yml", limit="ulimit -f 2048")  # blocks of 512 bytes

    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("error: ")
    assert "\nhint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["env.yml", "helpers.py"]
    assert list((cache / "tmp").iterdir()) == []


def test_build__local_source_gone__names_it(folder: Path, cache: Path) -> None:
    (folder / "helpers.py").unlink()

    done = _run(folder, cache, "build", "env.yml")

    assert done.returncode in {3, 4}
    assert "helpers" in done.stderr
    assert "\nhint: " in done.stderr


def test_cache__list_size_verify_prune(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = tmp_path_factory.mktemp("own")
    assert _run(folder, cache, "build", "env.yml").returncode == 0

    listed = json.loads(_run(folder, cache, "cache", "list", "--json").stdout)
    assert {layer["name"] for layer in listed} == {"python", "launcher", "cloudpickle", "helpers"}
    assert "cloudpickle" in _run(folder, cache, "cache", "list").stdout
    size = json.loads(_run(folder, cache, "cache", "size", "--json").stdout)
    assert size["size"] == sum(layer["size"] for layer in listed)
    assert _run(folder, cache, "cache", "verify").returncode == 0

    victim = next(layer for layer in listed if layer["name"] == "cloudpickle")
    stored = cache / "layers" / f"{victim['digest']}.gz"
    stored.write_bytes(stored.read_bytes()[:-1] + b"x")
    verified = _run(folder, cache, "cache", "verify")
    assert verified.returncode == 5
    assert str(stored) in verified.stderr
    assert _run(folder, cache, "build", "env.yml").returncode == 0
    assert _run(folder, cache, "cache", "verify").returncode == 0

    assert _run(folder, cache, "cache", "prune", "--keep", "1K").returncode == 0
    assert all(
        layer["size"] <= 1000 for layer in json.loads(_run(folder, cache, "cache", "list", "--json").stdout)
    )
    assert _run(folder, cache, "cache", "prune", "--keep", "nonsense").returncode == 2
    assert _run(folder, cache, "cache", "prune").returncode == 0
    assert json.loads(_run(folder, cache, "cache", "list", "--json").stdout) == []


def test_build__on_a_terminal__draws_progress_and_leaves_none(folder: Path, tmp_path: Path) -> None:
    command = f"{_COMMAND} build env.yml -o drawn.tar.gz"
    # Only what takes a while is drawn: here, all layers have to be made.
    variables = {**os.environ, "WQ_PACKAGE_CACHE": str(tmp_path / "new"), "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "making layers" in done.stdout
    assert "drawn.tar.gz" in done.stdout


def test_lock__build_from_it__is_the_same_or_nothing(folder: Path, cache: Path) -> None:
    assert _run(folder, cache, "lock", "env.yml", "-o", "env.lock").returncode == 0
    (folder / "env.yml").write_text((folder / "env.yml").read_text().replace(f"=={_VERSION}", ""))

    first = _run(folder, cache, "build", "env.yml", "-o", "a.tar.zst", "--locked", "env.lock", "--offline")
    again = _run(folder, cache, "build", "env.yml", "-o", "b.tar.zst", "--locked", "env.lock", "--offline")
    (folder / "helpers.py").write_text("x = 2\n")
    changed = _run(folder, cache, "build", "env.yml", "-o", "c.tar.zst", "--locked", "env.lock")

    assert first.returncode == again.returncode == 0, first.stderr
    assert (folder / "a.tar.zst").read_bytes() == (folder / "b.tar.zst").read_bytes()
    assert changed.returncode == 4
    assert "`helpers`" in changed.stderr
    assert changed.stderr.count("sha256:") == 2
    assert not (folder / "c.tar.zst").exists()


def test_lock__to_standard_output__is_the_lock_of_the_archive(folder: Path, cache: Path) -> None:
    printed = _run(folder, cache, "lock", "env.yml")

    names = [artefact["name"] for artefact in json.loads(printed.stdout)["artefacts"]]
    assert names == ["python", "cloudpickle", "helpers"]
    assert _run(folder, cache, "build", "env.yml", "--locked", "none.lock").returncode == 3

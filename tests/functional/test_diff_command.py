"""`wq-package diff` and `export` as a user meets them, on environments that were really built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wq_package.build.installed import find_running_distributions

_COMMAND = str(Path(sys.executable).with_name("wq-package"))
_INSTALLED = find_running_distributions()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diff")
    for name, distributions, text in (
        ("a", ("cloudpickle", "idna"), "x = 1\n"),
        ("b", ("cloudpickle", "tblib"), "x = 2\n"),
    ):
        (folder / name).mkdir()
        (folder / name / "helpers.py").write_text(text)
        pins = "".join(f"      - {each}=={_INSTALLED[each].version}\n" for each in distributions)
        (folder / name / "env.yml").write_text(
            f"dependencies:\n  - pip\n  - pip:\n{pins}"
            "wq-package:\n  local:\n    - {import: helpers, path: ./helpers.py}\n"
        )
        done = _run(folder, "build", f"{name}/env.yml", "-o", f"{name}.tar.zst", "--offline")
        assert done.returncode == 0, done.stderr
    return folder


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "WQ_PACKAGE_CACHE": str(folder / "cache")}
    command = [_COMMAND, *arguments]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def test_diff__two_archives__names_what_differs(folder: Path) -> None:
    done = _run(folder, "diff", "a.tar.zst", "b.tar.zst")

    removed, added, changed = done.stdout.splitlines()
    assert removed == f"- idna {_INSTALLED['idna'].version}"
    assert added == f"+ tblib {_INSTALLED['tblib'].version}"
    assert changed.startswith("~ helpers ")
    assert changed.endswith(", 1 files differ")
    assert done.stderr.startswith("1 added, 1 removed, 1 changed; files: ")
    assert done.returncode == 0


def test_diff__archive_and_itself__nothing(folder: Path) -> None:
    done = _run(folder, "diff", "a.tar.zst", "a.tar.zst")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "nothing differs\n")


def test_diff__archive_of_what_is_installed_here__only_lacks_something(folder: Path) -> None:
    found = json.loads(_run(folder, "diff", "a.tar.zst", ".", "--json").stdout)

    assert found["removed"] == found["changed"] == []
    assert found["files"]["changed"] == found["files"]["removed"] == 0
    assert {"name": "tblib", "version": _INSTALLED["tblib"].version, "kind": "wheel"} in found["added"]


def test_diff__no_archive__says_so(folder: Path) -> None:
    done = _run(folder, "diff", "a.tar.zst", "a/env.yml")

    assert done.returncode == 5
    assert "`a/env.yml` is damaged" in done.stderr


def test_export__archive__bill_of_materials_in_a_file(folder: Path) -> None:
    done = _run(folder, "export", "--sbom", "a.tar.zst", "-o", "bom.json")

    assert done.returncode == 0, done.stderr
    text = (folder / "bom.json").read_text()
    document = json.loads(text)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert [each["name"] for each in document["components"]] == ["python", "cloudpickle", "idna", "helpers"]
    assert all("licenses" in each for each in document["components"][:3])
    assert str(folder) not in text

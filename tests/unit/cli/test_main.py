from __future__ import annotations

import re
from pathlib import Path

import pytest

from wq_package_cli.commands import COMMANDS
from wq_package_cli.exit_codes import ExitCode
from wq_package_cli.main import main

REFERENCE = (Path(__file__).resolve().parents[3] / "docs" / "reference.md").read_text()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_reference__every_command__stands_in_it(name: str) -> None:
    assert f"`wq-package {name} " in REFERENCE


@pytest.mark.parametrize("code", list(ExitCode), ids=lambda code: code.name)
def test_reference__every_exit_code__stands_in_it(code: ExitCode) -> None:
    assert re.search(rf"^\| {int(code)} \|", REFERENCE, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help__every_command__explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == ExitCode.DONE

    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: wq-package {name}")
    assert "options:" in shown


def test_help__no_command__lists_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == ExitCode.DONE

    shown = capsys.readouterr().out
    assert [name for name in COMMANDS if name not in shown] == []


@pytest.mark.parametrize("argv", [[], ["no-such-command"], ["run"], ["analyze", "--no-such-option"]])
def test_main__wrong_usage__exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == ExitCode.USAGE

    assert capsys.readouterr().err.startswith("usage: wq-package")


def test_version__asked__is_the_package_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == ExitCode.DONE
    assert re.fullmatch(r"wq-package \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize("days", ["-3", "nan", "inf", "many"])
def test_cache_prune__days_that_are_none__removes_nothing(
    days: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", "prune", "--cache", str(tmp_path), f"--days={days}"]) == ExitCode.USAGE
    assert f"`{days}` is not a number of days" in capsys.readouterr().err

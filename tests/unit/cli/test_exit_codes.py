from __future__ import annotations

import pytest

from wq_package import errors
from wq_package_cli.exit_codes import ExitCode, find_exit_code


def _make_errors() -> list[tuple[errors.WQPackageError, ExitCode]]:
    return [
        (errors.SourceSyntaxError("a.py", 3, "invalid syntax"), ExitCode.ANALYSIS),
        (errors.AppNotFoundError("a.py", "f", ("g",)), ExitCode.ANALYSIS),
        (errors.UnresolvedImportsError(("x",)), ExitCode.ANALYSIS),
        (errors.InvalidSpecError("env.yml", ("bad",)), ExitCode.ANALYSIS),
        (errors.BackendNotFoundError("uv", ("PATH",)), ExitCode.BUILD),
        (errors.BackendFailedError(("uv", "pip"), 2, "no"), ExitCode.BUILD),
        (errors.NotRelocatableError("no"), ExitCode.BUILD),
        (errors.CorruptArchiveError("e.tar.gz", ("short",)), ExitCode.ARCHIVE),
        (errors.UnsafeMemberError("../x", "leaves the target"), ExitCode.ARCHIVE),
        (errors.RemoteProtocolError("no"), ExitCode.QUEUE),
        (errors.ManagerUnreachableError("no"), ExitCode.QUEUE),
        (errors.WQPackageError("no"), ExitCode.UNEXPECTED),
    ]


@pytest.mark.parametrize(("error", "code"), _make_errors(), ids=lambda value: type(value).__name__)
def test_find_exit_code__every_branch_of_the_tree__has_its_code(
    error: errors.WQPackageError, code: ExitCode
) -> None:
    assert find_exit_code(error) is code


def test_exit_code__values__are_the_documented_ones() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "UNEXPECTED": 1,
        "USAGE": 2,
        "ANALYSIS": 3,
        "BUILD": 4,
        "ARCHIVE": 5,
        "QUEUE": 6,
        "COMMAND_NOT_EXECUTABLE": 126,
        "COMMAND_NOT_FOUND": 127,
        "HUNG_UP": 129,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }

from __future__ import annotations

import pickle

import pytest

from wq_package import errors


def _make_all() -> list[errors.WQPackageError]:
    return [
        errors.WQPackageError("it broke", hint="mend it"),
        errors.SourceSyntaxError("a.py", 3, "invalid syntax"),
        errors.AppNotFoundError("a.py", "f", ("g", "h")),
        errors.UnresolvedImportsError(("a.py:1 `x`", "a.py:2 `y`")),
        errors.InvalidSpecError("env.yml", ("bad",)),
        errors.BackendNotFoundError("uv", ("PATH", "the wheel")),
        errors.BackendFailedError(("uv", "pip"), 2, "no such version\n"),
        errors.ChannelUnreachableError("the channel does not answer", ("numpy==2.4.6",), hint="wait"),
        errors.CorruptArchiveError("e.tar.gz", ("short",)),
        errors.UnsafeMemberError("../x", "it leaves the target"),
        errors.ManagerUnreachableError("no manager answers at `localhost:1`", hint="is it running?"),
    ]


@pytest.mark.parametrize("error", _make_all(), ids=lambda error: type(error).__name__)
def test_pickle__every_error__keeps_type_sentence_and_data(error: errors.WQPackageError) -> None:
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.__dict__ == error.__dict__


@pytest.mark.parametrize("error", _make_all(), ids=lambda error: type(error).__name__)
def test_str__every_error__is_a_sentence_without_a_full_stop(error: errors.WQPackageError) -> None:
    assert str(error)
    assert not str(error).endswith(".")


def test_str__several_issues__lists_each_on_its_own_line() -> None:
    error = errors.UnresolvedImportsError(("first", "second"))

    assert str(error).splitlines() == ["unresolved import:", "  - first", "  - second"]


def test_hint__app_not_found__names_the_apps_there_are() -> None:
    assert errors.AppNotFoundError("a.py", "f", ("g", "h")).hint == "apps in this file: `g`, `h`"
    assert errors.AppNotFoundError("a.py", "f", ()).hint == "the file defines no Parsl apps"


def test_backend_failed__credentials_of_urls__are_kept_nowhere() -> None:
    command = ("git", "clone", "https://user:pa@ss@host/x", "--index-url=http://token@host:1/simple", "a@b")
    error = errors.BackendFailedError(command, 1, "fatal: 'https://user:secret@host/x' is gone")

    assert error.command == ("git", "clone", "https://host/x", "--index-url=http://host:1/simple", "a@b")
    assert str(error) == "`git` failed with exit code 1: fatal: 'https://host/x' is gone"
    assert not any("secret" in str(value) or "token" in str(value) for value in error.__dict__.values())

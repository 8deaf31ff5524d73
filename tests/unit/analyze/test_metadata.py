from __future__ import annotations

import pytest

from wq_package.analyze.metadata import (
    Metadata,
    is_requirement,
    iter_needs,
    parse_editable_folder,
    parse_finder_mapping,
    parse_metadata,
    parse_need,
)
from wq_package.analyze.target import make_target

HERE = make_target(None)


def test_parse_metadata__head__is_read_and_description_is_not() -> None:
    text = "Metadata-Version: 2.1\nName: Foo\nversion: 1.0\nRequires-Dist: bar>=1\n\nName: Other\nRequires-Dist: no\n"

    assert parse_metadata(text) == Metadata("Foo", "1.0", ("bar>=1",))


@pytest.mark.parametrize("text", ["", "Name: x\n", "Version: 1\n", "\nName: x\nVersion: 1\n"])
def test_parse_metadata__no_name_or_version__is_none(text: str) -> None:
    assert parse_metadata(text) is None


def needs(*requires: str, extras: tuple[str, ...] = (), python: str | None = None) -> list[str]:
    target = make_target(python) if python else HERE
    return [need.name for need in iter_needs(requires, frozenset(extras), target)]


@pytest.mark.parametrize(
    ("text", "extras", "python", "holds"),
    [
        ("foo", (), None, True),
        ("foo (>=1)", (), None, True),
        ("foo; extra == 'test'", (), None, False),
        ('foo; "test" == extra', ("test",), None, True),
        ("foo; extra == 'All_Of.It'", ("all-of-it",), None, True),
        ("foo; python_version >= '3.8' and extra == 'test'", (), None, False),
        ("foo; python_version >= '3.8' and extra == 'test'", ("test",), None, True),
        ("foo; python_version < '3'", (), None, False),
        ("foo; python_version < '3.10'", (), "3.9", True),
        ("foo; python_full_version < '3.9.2'", (), "3.9.1", True),
        ("foo; sys_platform == 'win32'", (), None, False),
        ("foo; extra == 'a' or extra == 'b'", ("b",), None, True),
        ("foo; extra == 'a' or python_version > '3'", (), None, True),
        ("foo; this is no marker", (), None, True),
        ("@@@", (), None, False),
    ],
)
def test_iter_needs__markers__are_evaluated(
    text: str, extras: tuple[str, ...], python: str | None, holds: bool
) -> None:
    assert bool(needs(text, extras=extras, python=python)) is holds


def test_parse_need__every_part__is_found() -> None:
    need = parse_need("Foo.Bar [Extra_One, two] (>=1,<2) ; python_version > '3'")

    assert need is not None
    assert (need.key, need.extras, need.constraint) == ("foo-bar", frozenset({"extra-one", "two"}), ">=1,<2")
    assert need.marker == "python_version > '3'"


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ('{"url": "file:///my%20code/x", "dir_info": {"editable": true}}', "/my code/x"),
        ('{"url": "file:///x", "dir_info": {}}', None),
        ('{"url": "https://example.org/x.git", "dir_info": {"editable": true}}', None),
        ("{", None),
        ("[]", None),
    ],
)
def test_parse_editable_folder__only_editable_installs__have_one(text: str, folder: str | None) -> None:
    assert parse_editable_folder(text) == folder


@pytest.mark.parametrize(
    ("text", "mapping"),
    [
        ("MAPPING: dict[str, str] = {'a': '/x/a'}\nNAMESPACES: dict = {}\n", {"a": "/x/a"}),
        ("MAPPING = {'a': '/x/a', 'b': 3}\n", {"a": "/x/a"}),
        ("MAPPING = {f(): 1}\n", {}),
        ("nothing", {}),
    ],
)
def test_parse_finder_mapping__literal_only__is_read(text: str, mapping: dict[str, str]) -> None:
    assert parse_finder_mapping(text) == mapping


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("numpy", True),
        ("numpy==2.1.0", True),
        ("numpy>=2,<3; python_version < '3.13'", True),
        ("six @ https://example.org/six.whl", True),
        ("num py", False),
        ("numpy=2", False),
        ("", False),
    ],
)
def test_is_requirement__only_if_all_of_it_is(text: str, expected: bool) -> None:
    assert is_requirement(text) is expected
